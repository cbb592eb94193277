"""Rows as MMMU-Pro publishes them, with images of the tests' own making."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

Rows = list[dict[str, Any]]
Publish = Callable[[Path, Rows], None]


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
