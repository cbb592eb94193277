"""What datasets that are fetched have in common: a folder with a manifest, and what `list` says about it."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pytest_vtc.datasets.base import Dataset, DatasetError, Progress, Sample
from pytest_vtc.datasets.manifest import read_header, read_manifest, write_manifest

_Item = TypeVar("_Item")


class FetchedDataset(Dataset):
    """A dataset that lies under `home / name` once it is fetched: `manifest.jsonl`, as a rule with `images/` beside it.

    The manifest is written last, so that it is there only if everything is.
    """

    about_mb: ClassVar[int]
    """Approximate size of the download."""

    @abstractmethod
    def fetch(self, home: Path, source: Path | None, progress: Progress) -> Path: ...

    def manifest_path(self, home: Path) -> Path:
        return home / self.name / "manifest.jsonl"

    def images_folder(self, home: Path) -> Path:
        return home / self.name / "images"

    def state(self, home: Path) -> str:
        path = self.manifest_path(home)
        if path.is_file():
            try:
                facts = read_header(path).extra
            except DatasetError:
                return f"damaged: {path} (fetch it again)"
            return f"fetched, {facts.get('samples', 0):,} samples, {facts.get('image_bytes', 0) / 1e6:,.0f} MB"
        begun = "fetched in part" if self.images_folder(home).is_dir() else "not fetched"
        return f"{begun} (about {self.about_mb:,} MB)"

    def load(self, home: Path, prompt_style: str | None = None) -> Sequence[Sample]:
        path = self.manifest_path(home)
        if not path.is_file():
            raise DatasetError(f"{self.name} is not fetched; run: python -m pytest_vtc fetch {self.name}")
        return read_manifest(path, prompt_style).samples

    def announce(self, progress: Progress, source: Path | None) -> None:
        origin = f"from {source}" if source is not None else f"about {self.about_mb:,} MB from the Hub"
        progress(f"{self.name}: {self.description}; {origin}; licence: {self.licence}")

    def write(self, home: Path, rows: Iterable[Mapping[str, Any]], **facts: Any) -> Path:
        """Write the manifest of this dataset. `facts` go into its header: source, revision, samples, image_bytes."""
        path = self.manifest_path(home)
        header = {
            "name": self.name,
            "scoring": self.scoring,
            "max_new_tokens": self.max_new_tokens,
            "licence": self.licence,
            "prompt_style": self.prompt_style,
            "whole_groups": self.whole_groups,
            **({"scorings": dict(self.scorings)} if self.scorings else {}),
            **({"published": self.published} if self.published else {}),
            **facts,
        }
        write_manifest(path, header, rows)
        return path


def counted(items: Iterable[_Item], total: int, unit: str) -> Iterable[_Item]:
    """The items, with a progress bar on stderr where that is a terminal."""
    from tqdm import tqdm  # only when something is fetched

    return tqdm(items, total=total, unit=unit, file=sys.stderr, disable=None)


def check_source(source: Path) -> None:
    """Raise DatasetError unless `--source` is a folder."""
    if not source.is_dir():
        what = "is a file" if source.exists() else "does not exist"
        raise DatasetError(f"--source {source}: {what}; give the folder that holds the downloaded files")
