"""Writes a file whole or not at all: what a reader, or a killed process, leaves is the old file or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def write_whole(path: Path, text: Iterable[str]) -> None:
    """Write UTF-8 text beside `path`, sync it to disk, and move it there; makes the folder. Raises OSError."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A model can emit half a surrogate pair; backslashreplace writes it as the JSON escape that it needs.
        with part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.writelines(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
