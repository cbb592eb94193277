"""A folder of images, and what else may lie in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.folder import folder_samples


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("RGB", (4, 4)).save(tmp_path / "cat.png")
    return tmp_path


@pytest.mark.parametrize(("files", "named"), [(["manifest.jsonl"], "manifest"), (["questions.jsonl"], "questions"),
                                              (["manifest.jsonl", "a.jsonl"], "manifest")])  # fmt: skip
def test_manifest_beside_images_is_not_dropped_in_silence(folder: Path, files: list[str], named: str) -> None:
    for name in files:
        (folder / name).touch()
    with pytest.raises(DatasetError, match=rf"give the file itself, --vtc-data {folder}/{named}\.jsonl, and to have"):
        folder_samples(folder)


def test_other_files_are_left_alone(folder: Path) -> None:
    for name in ("notes.txt", ".hidden.jsonl"):
        (folder / name).touch()
    assert [sample.id for sample in folder_samples(folder)] == ["cat.png"]
