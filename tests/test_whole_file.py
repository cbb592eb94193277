"""A file is there whole, or as it was before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_vtc.whole_file import write_whole


def test_the_folder_is_made_and_the_file_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    write_whole(path, ["old\n"])
    write_whole(path, ["new ", "text\n"])
    assert path.read_text() == "new text\n"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]


def test_text_that_breaks_off_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_whole(path, ["old\n"])

    def broken() -> Iterator[str]:
        yield "new"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, broken())
    assert path.read_text() == "old\n"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
