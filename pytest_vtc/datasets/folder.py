"""A folder of images as a dataset: each is described by the model, and nothing is scored."""

from __future__ import annotations

from pathlib import Path

from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.datasets.images import SUFFIXES, ImageFile

PROMPT = "Describe this image."
SCORING = "none"
MAX_NEW_TOKENS = 128


def folder_samples(folder: Path) -> list[Sample]:
    """One sample for each image that lies in `folder` itself, by name. Hidden files and sub-folders are left out.

    Raises DatasetError if there is none.
    """
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    if not paths:
        manifests = sorted(folder.glob("*.jsonl"))
        hint = f"; to use the manifest in it, ask for {manifests[0]}" if manifests else ""
        raise DatasetError(f"{folder}: no images in this folder (looked for {' '.join(sorted(SUFFIXES))}){hint}")
    return [Sample(path.name, (ImageFile(path),), PROMPT, group=path.name) for path in paths]
