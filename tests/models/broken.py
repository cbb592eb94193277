"""Copies of the embedded checkpoint, for tests to break."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from pytest_vtc.models.catalogue import CATALOGUE, TINY

WEIGHTS = "model.safetensors"


def copy_tiny(folder: Path) -> Path:
    """The embedded checkpoint in a new folder."""
    shutil.copytree(CATALOGUE[TINY].location, folder)
    return folder


def edit_json(file: Path, **values: Any) -> None:
    """Set keys of a JSON file; None takes one away."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
