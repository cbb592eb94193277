"""Rows as datasets are published, with images of the tests' own making."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.hub_dataset import HubDataset

Rows = list[dict[str, Any]]
Publish = Callable[[Path, Rows], None]


class FetchRows(Protocol):
    """The samples of rows that were published with their `datasets.Features` and fetched."""

    def __call__(self, dataset: HubDataset, rows: Rows, features: Any, style: str | None = None) -> list[Sample]: ...


def encoded(colour: str | int, kind: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (6, 4)) -> dict[str, Any]:
    """An image cell as parquet holds it."""
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, kind)
    return {"bytes": buffer.getvalue(), "path": None}


def mmmu_row(n: int, **changes: Any) -> dict[str, Any]:
    images = {f"image_{k}": None for k in range(1, 8)}
    return {
        "id": f"test_History_{n}",
        "question": "Which is older? <image 1>",
        "options": "['left', 'right']",
        "explanation": "",
        **images,
        "image_1": encoded("red"),
        "img_type": "['Paintings']",
        "answer": "B",
        "topic_difficulty": "Easy",
        "subject": "History",
        **changes,
    }


def contents(sample: Sample) -> list[bytes]:
    """The bytes of a sample's images."""
    return [Path(str(image)).read_bytes() for image in sample.images]
