"""What `fetch --n` transfers of a table on the Hub: bytes and requests, counted by a Hub of this machine's own.

    python benchmarks/harness/partial_fetch.py

Two tables in row groups of 100 rows, as the `datasets` library writes tables with images: one of VQAv2's shape at a
tenth of its rows (five questions an image), one of AI2D's (an image each). Of each, parts of several sizes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "datasets"))

from fake_hub import served

from pytest_vtc.datasets.base import Draw
from pytest_vtc.datasets.hub_dataset import HubDataset, Question, Row

ROW_GROUP = 100
IMAGE_BYTES = 20_000
SHAPES = {"VQAv2's shape": (21_435, 4_050, 4), "AI2D's shape": (3_088, 3_088, 1)}
"""Rows, images, files."""
PARTS = (50, 200, 500)


class Table(HubDataset):
    """Questions that name their image."""

    name: ClassVar[str] = "table"
    description: ClassVar[str] = "made up"
    licence: ClassVar[str] = "none"
    scoring: ClassVar[str] = "exact"
    max_new_tokens: ClassVar[int] = 8
    about_mb: ClassVar[int] = 100
    repositories: ClassVar[tuple[str, ...]] = ("owner/table",)
    split: ClassVar[str] = "test"
    columns: ClassVar[tuple[str, ...]] = ("question_id", "image_id", "question", "answers")

    def question(self, row: Row, where: str) -> Question:  # noqa: ARG002
        return Question(str(row["question_id"]), {"own": row["question"]}, row["answers"], group=str(row["image_id"]))


def picture(number: int) -> bytes:
    """Bytes that Pillow takes for an image and no codec makes smaller."""
    import io

    import numpy as np
    from PIL import Image

    side = round((IMAGE_BYTES / 3) ** 0.5)
    noise = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def publish(folder: Path, n: int, n_images: int, n_files: int) -> int:
    """Write the table; its bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("question_id", pa.int64()), ("image_id", pa.int64()), ("question", pa.string()),
                        ("answers", pa.list_(pa.string())), ("image", image)])  # fmt: skip

    def rows(first: int, last: int) -> Iterator[dict[str, Any]]:
        for number in range(first, last):
            of = number * n_images // n
            yield {"question_id": number, "image_id": of, "question": f"What is to the left of the {number}th thing?",
                   "answers": ["yes"] * 10, "image": {"bytes": picture(of), "path": None}}  # fmt: skip

    for part in range(n_files):
        first, last = part * n // n_files, (part + 1) * n // n_files
        with pq.ParquetWriter(folder / f"test-{part:05}-of-{n_files:05}.parquet", schema) as writer:
            for start in range(first, last, ROW_GROUP):
                some = list(rows(start, min(start + ROW_GROUP, last)))
                writer.write_table(pa.Table.from_pylist(some, schema=schema), row_group_size=ROW_GROUP)
    return sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    lines: list[list[str]] = []
    for shape, (n, n_images, n_files) in SHAPES.items():
        with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
            folder = Path(name)
            with served(folder / "hub", patch, folder / "cache") as hub:
                total = publish(hub.folder("owner/table") / "data", n, n_images, n_files)
                for part in PARTS:
                    hub.forget()
                    shutil.rmtree(folder / "cache", ignore_errors=True)  # what a part before this one has left
                    began = time.perf_counter()
                    Table().fetch(folder / str(part), None, lambda _: None, Draw(part, 42))
                    seconds = time.perf_counter() - began
                    kept = sum(image.stat().st_size for image in (folder / str(part) / "table" / "images").iterdir())
                    lines.append(
                        [f"{shape}: {n:,} rows, {total / 1e6:.0f} MB", str(part), f"{hub.n_bytes / 1e6:.1f}",
                         f"{100 * hub.n_bytes / total:.0f} %", f"{kept / 1e6:.1f}", str(len(hub.requests)),
                         f"{seconds:.1f}"]
                    )  # fmt: skip
    headers = ["table", "samples", "MB transferred", "of all", "MB of images", "requests", "s here"]
    print(tabulate(lines, headers, disable_numparse=True, tablefmt="github"))


if __name__ == "__main__":
    main()
