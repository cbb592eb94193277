"""A folder of images as a dataset: each is described by the model, and nothing is scored."""

from __future__ import annotations

from pathlib import Path

from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.datasets.images import SUFFIXES, ImageFile
from pytest_vtc.datasets.kept_images import MANIFEST

PROMPT = "Describe this image."
SCORING = "none"
MAX_NEW_TOKENS = 128


def folder_samples(folder: Path) -> list[Sample]:
    """One sample for each image that lies in `folder` itself, by name. Hidden files and sub-folders are left out.

    Raises DatasetError if there is none, or if a manifest lies beside them: questions are not dropped in silence.
    """
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    manifests = _manifests(folder)
    if paths and len(manifests) == 1:
        raise DatasetError(
            f"{folder}: beside its images lies {manifests[0].name}; to ask its questions give the file itself, "
            f"--vtc-data {manifests[0]}, and to have the images described move it elsewhere"
        )
    if not paths:
        hint = f"; to use the manifest in it, ask for {manifests[0]}" if manifests else ""
        raise DatasetError(f"{folder}: no images in this folder (looked for {' '.join(sorted(SUFFIXES))}){hint}")
    return [Sample(path.name, (ImageFile(path),), PROMPT, group=path.name) for path in paths]


def _manifests(folder: Path) -> list[Path]:
    """What is called one, or else every JSONL file."""
    found = sorted(path for path in folder.glob("*.jsonl") if not path.name.startswith("."))
    return [path for path in found if path.name == MANIFEST] or found
