"""Opens datasets by what a person asks for (a known name, a manifest, a folder of images) and draws samples of them."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_vtc.datasets.base import Dataset, DatasetError, Sample, SampleSet, nearest
from pytest_vtc.datasets.details import Details, DetailsLarge
from pytest_vtc.datasets.easyvqa import EasyVqa
from pytest_vtc.datasets.folder import MAX_NEW_TOKENS, SCORING, folder_samples
from pytest_vtc.datasets.gqa import Gqa
from pytest_vtc.datasets.manifest import read_manifest
from pytest_vtc.datasets.mmmu_pro import MmmuPro, MmmuPro10, MmmuProVision
from pytest_vtc.datasets.probes import Probes


def known_datasets() -> dict[str, Dataset]:
    """Every dataset by name."""
    every: list[Dataset] = [
        Probes(),
        EasyVqa(),
        Details(),
        DetailsLarge(),
        MmmuPro(),
        MmmuPro10(),
        MmmuProVision(),
        Gqa(),
    ]
    return {dataset.name: dataset for dataset in every}


def data_home() -> Path:
    """Where fetched datasets lie: $VTC_HOME, or `pytest-vtc` in the platform's folder for caches."""
    if named := os.environ.get("VTC_HOME"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        caches = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        caches = Path.home() / "Library" / "Caches"
    else:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "pytest-vtc"


def open_samples(spec: str, home: Path, n: int | None, seed: int) -> SampleSet:
    """The samples that `spec` names: all of them, or a draw of exactly `n` if that is not None.

    spec: a known name, which wins over a folder of that name; a path to a *.jsonl manifest; a folder of images.
    A draw takes whole groups in an order that depends on the seed and the groups' names alone, cuts the last one short
    if need be, and keeps the dataset's order. So a smaller draw is part of a larger one of the same seed.
    Raises DatasetError.
    """
    data = _whole(spec, home)
    seen: set[str] = set()
    for sample in data.samples:
        if sample.id in seen:
            raise DatasetError(f"{spec}: two samples have the id {sample.id!r}; ids must be unique")
        seen.add(sample.id)
    if n is None:
        return data
    if n < 1:
        raise DatasetError(f"{spec}: asked for {n} samples; ask for at least 1")
    if n > data.size:
        raise DatasetError(
            f"{spec}: asked for {n:,} samples, but it has {data.size:,}; ask for at most that many, or for all of them"
        )
    return SampleSet(data.name, _draw(data.samples, n, seed), data.scoring, data.max_new_tokens, data.size)


def in_random_order(data: SampleSet, seed: int) -> SampleSet:
    """The same samples, their images in an order that depends on the seed and the images' names alone.

    Samples of an image stay side by side, in the dataset's order. The order has nothing to do with that of a draw.
    """
    groups: dict[str, list[int]] = {}
    for position, sample in enumerate(data.samples):
        groups.setdefault(f"group {sample.group}" if sample.group else f"sample {sample.id}", []).append(position)
    shuffled = [position for group in _by_hash(groups, f"order {seed}") for position in groups[group]]
    own_order = [0] * len(shuffled)
    for place, position in enumerate(shuffled):
        own_order[position] = place
    return replace(data, samples=[data.samples[position] for position in shuffled], own_order=own_order)


def _by_hash(names: Iterable[str], seed: str) -> list[str]:
    # By hash, not by shuffling: the order of two groups must not depend on which others there are.
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}\x00{name}".encode()).digest())


def _whole(spec: str, home: Path) -> SampleSet:
    known = known_datasets()
    if (dataset := known.get(spec)) is not None:
        samples = dataset.load(home)
        return SampleSet(dataset.name, samples, dataset.scoring, dataset.max_new_tokens, len(samples))
    path = Path(spec).expanduser()
    if path.is_dir():
        samples = folder_samples(path)
        return SampleSet(_name(path.resolve().name), samples, SCORING, MAX_NEW_TOKENS, len(samples))
    if path.suffix == ".jsonl" and path.exists():
        manifest = read_manifest(path)
        # A file called manifest.jsonl says nothing; the folder it lies in does.
        name = manifest.header.name or _name(path.resolve().parent.name if path.stem == "manifest" else path.stem)
        header = manifest.header
        return SampleSet(name, manifest.samples, header.scoring, header.max_new_tokens, len(manifest.samples))
    if path.exists():
        raise DatasetError(f"{spec}: neither a manifest (*.jsonl) nor a folder of images")
    if _looks_like_path(spec):
        raise DatasetError(f"{spec}: no such file or folder (looked in {Path.cwd()})")
    raise DatasetError(
        f"unknown dataset {spec!r}: {nearest(spec, list(known))}; or give a manifest.jsonl or a folder of images"
    )


def _looks_like_path(spec: str) -> bool:
    return "/" in spec or os.sep in spec or spec.startswith((".", "~")) or Path(spec).suffix != ""


def _name(text: str) -> str:
    """A name that may stand in a cell's id, whose parts are divided by slashes."""
    return re.sub(r"[^\w.+-]+", "_", text) or "data"


def _draw(samples: Sequence[Sample], n: int, seed: int) -> list[Sample]:
    groups: dict[str, list[int]] = {}
    for position, sample in enumerate(samples):
        groups.setdefault(sample.group or sample.id, []).append(position)
    chosen: list[int] = []
    for group in _by_hash(groups, str(seed)):
        chosen += groups[group]
        if len(chosen) >= n:
            break
    return [samples[position] for position in sorted(chosen[:n])]
