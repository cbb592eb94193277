"""Published images on disk, byte for byte."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from pytest_vtc.datasets.originals import write_original


def bitmap(colour: str) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(written, "BMP")
    return written.getvalue()


def test_another_image_of_the_same_name_and_size_replaces_the_one_that_lies_there(tmp_path: Path) -> None:
    red, blue = bitmap("red"), bitmap("blue")
    assert len(red) == len(blue)
    path = write_original(tmp_path, "q1", red, "row 1")
    assert write_original(tmp_path, "q1", blue, "row 1") == path
    assert path.read_bytes() == blue


def test_an_image_that_lies_there_is_not_written_again(tmp_path: Path) -> None:
    before = write_original(tmp_path, "q1", bitmap("red"), "row 1").stat()
    after = write_original(tmp_path, "q1", bitmap("red"), "row 1").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
