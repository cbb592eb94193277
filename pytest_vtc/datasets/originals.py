"""Writes a dataset's images into a folder, byte for byte as they were published."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from pytest_vtc.datasets.base import DatasetError

_ENDINGS = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


def image_bytes(cell: Mapping[str, Any] | None) -> bytes | None:
    """The bytes in an image cell of a parquet row, or None where there is no image."""
    data = None if cell is None else cell.get("bytes")
    return bytes(data) if data else None


def write_original(folder: Path, stem: str, data: bytes, where: str) -> Path:
    """Put `data` into `folder` and return its path; the ending follows its format, whatever it was called.

    An image that lies there already, byte for byte, is left alone. `where` names the row in the error that is raised
    if `data` is no image: DatasetError, as for a folder that cannot be written.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            kind = str(image.format)
    except (OSError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{where}: not an image that Pillow can read ({len(data):,} bytes)") from error
    path = folder / (re.sub(r"[^\w.-]", "_", stem) + _ENDINGS.get(kind, f".{kind.lower()}"))
    try:
        if path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            part.write_bytes(data)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DatasetError(f"{path}: cannot write the image ({error.strerror})") from error
    return path
