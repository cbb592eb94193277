"""A made-up table of questions, as a dataset: what tests of fetching fetch."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row

N, PER_GROUP, PER_ROW_GROUP = 120, 3, 5
IMAGE_BYTES = 20_000


class Shapes(HubDataset):
    """Three questions on each image; some rows are videos, which are no part of it."""

    name: ClassVar[str] = "shapes"
    description: ClassVar[str] = "made-up shapes"
    licence: ClassVar[str] = "none of your business"
    scoring: ClassVar[str] = "exact"
    prompt_style: ClassVar[str] = "lmms"
    max_new_tokens: ClassVar[int] = 8
    about_mb: ClassVar[int] = 1
    repositories: ClassVar[tuple[str, ...]] = ("owner/shapes",)
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("id", "picture", "question", "kind")
    grouped: ClassVar[bool] = True

    def question(self, row: Row, where: str) -> Question | None:
        if row["kind"] == "video":
            return None
        if not row["question"]:
            raise DatasetError(f"{where}: no question")
        prompts = {"lmms": str(row["question"])}
        return Question(str(row["id"]), prompts, ["x"], group=str(row["picture"]) if self.grouped else None)


class Ungrouped(Shapes):
    grouped: ClassVar[bool] = False


class Pairs(Shapes):
    whole_groups: ClassVar[bool] = True


def picture(number: int) -> dict[str, Any]:
    """An image that no compression makes smaller."""
    noise = np.random.default_rng(number).integers(0, 256, (82, 82, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    assert len(buffer.getvalue()) > IMAGE_BYTES
    return {"bytes": buffer.getvalue(), "path": None}


def rows(n: int = N, video: Callable[[int], bool] = lambda _: False) -> list[dict[str, Any]]:
    return [
        {
            "id": n,
            "picture": f"p{n // PER_GROUP}",
            "question": f"which {n}?",
            "kind": "video" if video(n) else "image",
            "image": picture(n // PER_GROUP),
        }
        for n in range(n)
    ]


def put(folder: Path, table: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(table), folder / "test-00000-of-00001.parquet", row_group_size=PER_ROW_GROUP)
    return folder


def ids(dataset: HubDataset, home: Path) -> list[str]:
    return [sample.id for sample in dataset.load(home)]
