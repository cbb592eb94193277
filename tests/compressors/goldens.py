"""Reads the golden files: what the original authors' own functions return; see tests/goldens/README.md.

The environment variable VTC_GOLDENS names another folder of the same layout to be compared instead.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pytest_vtc.compression import Compressor
from pytest_vtc.discovery import resolve

_SHIPPED = Path(__file__).parent.parent / "goldens"
GOLDENS = Path(os.environ.get("VTC_GOLDENS", _SHIPPED))

of_the_shipped_files = pytest.mark.skipif(GOLDENS != _SHIPPED, reason="VTC_GOLDENS names other golden files")


@cache
def load(file: str) -> dict[str, Any]:
    """The arrays of a file, `meta` as what its JSON says. file: relative to the folder of all, with /."""
    with np.load(GOLDENS / file) as arrays:
        return {key: json.loads(str(arrays[key])) if key == "meta" else arrays[key] for key in arrays.files}


def tensor(file: str, key: str) -> Tensor:
    """An array as a tensor of its own."""
    return torch.from_numpy(load(file)[key].copy())


def files(folder: str) -> list[str]:
    """All golden files of one method."""
    return sorted(str(path.relative_to(GOLDENS)) for path in (GOLDENS / folder).glob("*.npz"))


def compressor_of(spec: str) -> Compressor:
    (compressor,) = resolve([spec])
    return compressor
