"""The template works as its own text says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pytest_vtc.compressed import run_compressor
from pytest_vtc.discovery import SpecError, resolve, shipped_folder, shipped_names

TEMPLATE = shipped_folder() / "_template.py"


def test_a_copy_with_another_name_works(tmp_path: Path) -> None:
    copy = tmp_path / "contrast.py"
    copy.write_text(TEMPLATE.read_text().replace('"my_compressor"', '"contrast"').replace("MyCompressor", "Contrast"))
    (compressor,) = resolve([f"{copy}:Contrast(p=1.0)"])
    features = torch.tensor([[0.0, 0.0], [0.0, 0.0], [9.0, 0.0], [0.0, 0.0], [0.0, -8.0]])
    compressed = run_compressor(compressor, features, 2, {"grid": (1, 5)})
    assert compressor.spec == "contrast(p=1.0)"
    assert compressed.indices is not None
    assert compressed.indices.tolist() == [2, 4]


def test_a_bad_parameter_of_a_copy_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "mine.py"
    copy.write_text(TEMPLATE.read_text())
    with pytest.raises(SpecError, match="p is -1; it must be more than 0"):
        resolve([f"{copy}(p=-1)"])


def test_the_template_itself_is_not_offered() -> None:
    assert "_template" not in shipped_names()
    with pytest.raises(SpecError, match="unknown compressor 'my_compressor'"):
        resolve(["my_compressor"])
