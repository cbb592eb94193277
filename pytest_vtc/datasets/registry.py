"""Opens datasets by what a person asks for (a known name, a manifest, a folder of images) and draws samples of them."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pytest_vtc.datasets.ai2d import Ai2d
from pytest_vtc.datasets.base import OWN_STYLE, Dataset, DatasetError, Draw, SampleSet, nearest
from pytest_vtc.datasets.chartqa import ChartQa
from pytest_vtc.datasets.csv_file import SUFFIXES as CSV_SUFFIXES
from pytest_vtc.datasets.csv_file import csv_in, csv_samples
from pytest_vtc.datasets.details import Details, DetailsLarge
from pytest_vtc.datasets.docvqa import DocVqa
from pytest_vtc.datasets.draws import drawn_from
from pytest_vtc.datasets.easyvqa import EasyVqa
from pytest_vtc.datasets.fetched import FetchedDataset, check_whole, command_for, held_by
from pytest_vtc.datasets.folder import MAX_NEW_TOKENS, SCORING, folder_samples
from pytest_vtc.datasets.gqa import Gqa
from pytest_vtc.datasets.hallusionbench import HallusionBench
from pytest_vtc.datasets.llava_bench import LlavaBench
from pytest_vtc.datasets.manifest import DEFAULT_MAX_NEW_TOKENS, DEFAULT_SCORING, read_header, read_manifest
from pytest_vtc.datasets.mathvision import MathVision, MathVisionTest
from pytest_vtc.datasets.mathvista import MathVista
from pytest_vtc.datasets.mia_bench import MiaBench
from pytest_vtc.datasets.mm_vet import MmVet
from pytest_vtc.datasets.mmbench import MmBenchCn, MmBenchEn
from pytest_vtc.datasets.mme import Mme
from pytest_vtc.datasets.mmmu import Mmmu
from pytest_vtc.datasets.mmmu_pro import MmmuPro, MmmuPro10, MmmuProVision
from pytest_vtc.datasets.mmstar import MmStar
from pytest_vtc.datasets.ocrbench import OcrBench
from pytest_vtc.datasets.own_columns import parse
from pytest_vtc.datasets.own_tables import PREFIX, manifest_of
from pytest_vtc.datasets.pope import Pope
from pytest_vtc.datasets.probes import Probes
from pytest_vtc.datasets.realworldqa import RealWorldQa
from pytest_vtc.datasets.scienceqa import ScienceQaImage
from pytest_vtc.datasets.seedbench import SeedBench
from pytest_vtc.datasets.seedbench2_plus import SeedBench2Plus
from pytest_vtc.datasets.textvqa import TextVqa
from pytest_vtc.datasets.vizwiz import VizWiz
from pytest_vtc.datasets.vqav2 import VqaV2
from pytest_vtc.scoring import GROUP_SIZE, ScoringError, any_rule
from pytest_vtc.scoring.answerable import unanswerable
from pytest_vtc.scoring.published import metric_of

WHOSE = ("official", "lmms", "vlmevalkit")
"""Whose rules can be asked for by these names: the authors' own, lmms-eval's, VLMEvalKit's."""


def known_datasets() -> dict[str, Dataset]:
    """Every dataset by name."""
    every: list[Dataset] = [
        *(Probes(), EasyVqa(), Details(), DetailsLarge(), MmmuPro(), MmmuPro10(), MmmuProVision(), Gqa()),
        *(Mmmu(), MmBenchEn(), MmBenchCn(), Mme(), Pope(), HallusionBench(), ScienceQaImage()),
        *(SeedBench(), SeedBench2Plus(), Ai2d(), MmStar(), RealWorldQa()),
        *(VqaV2(), TextVqa(), VizWiz(), OcrBench(), ChartQa(), DocVqa()),
        *(MathVista(), MathVision(), MathVisionTest()),
        *(MmVet(), LlavaBench(), MiaBench()),
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


def open_samples(
    spec: str,
    home: Path,
    n: int | None,
    seed: int,
    scoring: str | None = None,
    prompt_style: str | None = None,
    columns: str | None = None,
) -> SampleSet:
    """The samples that `spec` names: all of them, or a draw of `n` if that is not None.

    spec: a known name, which wins over a folder of that name; a path to a *.jsonl manifest or a *.csv; a folder of
    images, maybe with a *.csv; `hf:` and a table that is fetched (see `own_tables`).
    scoring: `official`, `lmms` or `vlmevalkit`, or a rule's name; the dataset's own if None. prompt_style: as it says.
    columns: of tables and CSV files, which is what (see `own_columns`); None to go by their names.
    A draw is by group and seed, see `draws.draw`, and keeps the dataset's order. Raises DatasetError.
    """
    data = _whole(spec, home, scoring, prompt_style, columns)
    if data.whole_groups:
        data = _with_group_sizes(data)
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
        _check_part(spec, home, columns, data.size, Draw(n, seed))
    return drawn_from(data, n, seed)


def _check_part(spec: str, home: Path, columns: str | None, size: int, draw: Draw) -> None:
    """Raise DatasetError, saying what to do, unless the `size` samples that are fetched are a part for such a draw."""
    known = known_datasets().get(spec)
    path = known.manifest_path(home) if isinstance(known, FetchedDataset) else None
    if known is None and spec.startswith(PREFIX):
        path = manifest_of(spec, columns, home)
    held = None if path is None else held_by(path)
    asked = f"{spec}: asked for {draw.n:,} samples, but"
    if path is None or held is None or held.drawn is None:
        raise DatasetError(f"{asked} it has {size:,}; ask for at most that many, or for all of them by --vtc-n all")
    if draw.n > held.of:
        every = command_for(spec, path, None)
        raise DatasetError(
            f"{asked} it has {held.of:,}, of which {size:,} are fetched; ask for at most {size:,}, or for all of those "
            f"by --vtc-n all; the others are fetched by: {every}"
        )
    # Of whole groups a part for n may have fewer samples; nothing larger would have more of them.
    if draw.n > held.drawn.n:
        more = command_for(spec, path, draw)
        raise DatasetError(f"{asked} of its {held.of:,} only {size:,} are fetched; run: {more}")


def name_of(spec: str, home: Path, columns: str | None = None) -> str:
    """What tables call the dataset that `spec` names; no sample is read for it. Raises DatasetError.

    What is nothing that can be opened has a name as well: `open_samples` says what is wrong with it.
    """
    if spec in known_datasets():
        return spec
    path = manifest_of(spec, columns, home) if spec.startswith(PREFIX) else Path(spec).expanduser()
    named = read_header(path).name if path.suffix == ".jsonl" and path.is_file() else None
    return named or _name_of_path(path)


def takes_columns(spec: str) -> bool:
    """Whether --vtc-columns means anything for what `spec` names."""
    path = Path(spec).expanduser()
    if spec.startswith(PREFIX) or path.suffix.lower() in CSV_SUFFIXES:
        return True
    return spec not in known_datasets() and path.is_dir() and csv_in(path) is not None


def _with_group_sizes(data: SampleSet) -> SampleSet:
    """The same samples, each of which knows how many its group has: a run may be of some of them."""
    sizes = Counter(sample.group for sample in data.samples)
    facts = {size: {GROUP_SIZE: str(size)} for size in sizes.values()}
    samples = [
        replace(sample, facts={**sample.facts, **facts[sizes[sample.group]]} if sample.facts else facts[size])
        for sample in data.samples
        if (size := sizes[sample.group])
    ]
    return replace(data, samples=samples)


def _whole(spec: str, home: Path, scoring: str | None, prompt_style: str | None, columns: str | None) -> SampleSet:
    known = known_datasets()
    if (dataset := known.get(spec)) is not None:
        if prompt_style not in (None, dataset.prompt_style, *dataset.prompt_styles):
            raise _no_such_style(spec, prompt_style, (dataset.prompt_style, *dataset.prompt_styles))
        samples = dataset.load(home, prompt_style)
        whole = SampleSet(
            dataset.name,
            samples,
            dataset.scoring,
            dataset.max_new_tokens,
            len(samples),
            published=dataset.published,
            prompt_style=prompt_style or dataset.prompt_style,
            whole_groups=dataset.whole_groups,
            drawn_from=dataset.drawn_from(home),
        )
        return _scored_by(whole, scoring, dataset.scorings)
    if spec.startswith(PREFIX):
        path = manifest_of(spec, columns, home)
        held = held_by(path)
        check_whole(path, spec)
        return replace(_of_manifest(path, scoring, prompt_style), drawn_from=held and held.whole)
    path = Path(spec).expanduser()
    csv = csv_in(path) if path.is_dir() else path if path.suffix.lower() in CSV_SUFFIXES and path.exists() else None
    if (csv is not None or path.is_dir()) and prompt_style not in (None, OWN_STYLE):
        raise _no_such_style(spec, prompt_style, (OWN_STYLE,))
    if csv is not None:
        rule_of_file = "none" if scoring == "none" else DEFAULT_SCORING
        samples = csv_samples(csv, parse(columns or ""), rule_of_file)
        whole = SampleSet(_name_of_path(path), samples, rule_of_file, DEFAULT_MAX_NEW_TOKENS, len(samples))
        return _scored_by(whole, scoring, {})
    if path.is_dir():
        samples = folder_samples(path)
        whole = SampleSet(_name_of_path(path), samples, SCORING, MAX_NEW_TOKENS, len(samples))
        return _scored_by(whole, scoring, {})
    if path.suffix == ".jsonl" and path.exists():
        return _of_manifest(path, scoring, prompt_style)
    if path.exists():
        raise DatasetError(f"{spec}: neither a manifest (*.jsonl), nor a *.csv, nor a folder of images")
    if _looks_like_path(spec):
        raise DatasetError(f"{spec}: no such file or folder (looked in {Path.cwd()})")
    raise DatasetError(
        f"unknown dataset {spec!r}: {nearest(spec, list(known))}; or give a manifest.jsonl, a *.csv, a folder of "
        "images, or a table as hf:owner/name"
    )


def _of_manifest(path: Path, scoring: str | None, prompt_style: str | None) -> SampleSet:
    manifest = read_manifest(path, prompt_style)
    header = manifest.header
    whole = SampleSet(
        header.name or _name_of_path(path),
        manifest.samples,
        header.scoring,
        header.max_new_tokens,
        len(manifest.samples),
        published=header.published,
        prompt_style=prompt_style or header.prompt_style,
        whole_groups=header.whole_groups,
    )
    return _scored_by(whole, scoring, header.scorings)


def _no_such_style(spec: str, style: str | None, known: Sequence[str]) -> DatasetError:
    return DatasetError(f"{spec}: there are no prompts of the style {style!r}; known here: {', '.join(known)}")


def _scored_by(data: SampleSet, asked: str | None, scorings: Mapping[str, str]) -> SampleSet:
    """The same samples, scored as was asked for."""
    if asked is None or asked == "none":
        return data if asked is None else replace(data, scoring="none", published=None)
    if asked in WHOSE:
        if asked not in scorings:
            has = ", ".join(scorings) or "none of others"
            raise DatasetError(f"{data.name}: no scoring called {asked!r} is known of it (there is {has}); name a rule")
        return replace(data, scoring=scorings[asked], literal=True, published=metric_of(data.published, asked))
    try:
        any_rule(asked, ("none", *WHOSE))
    except ScoringError as error:
        raise DatasetError(f"{data.name}: {error}") from error
    if bare := next((sample for sample in data.samples if not sample.answers), None):
        raise DatasetError(f"{data.name}: it cannot be scored by {asked!r}: sample {bare.id!r} has no answers")
    for sample in data.samples:
        if (reason := unanswerable(asked, sample.answers, sample.options)) is not None:
            raise DatasetError(f"{data.name}: it cannot be scored by {asked!r}: sample {sample.id!r}: {reason}")
    # A foreign rule reads other things than what the metric is made of.
    published = data.published if asked in (data.scoring, *scorings.values()) else None
    return replace(data, scoring=asked, published=published)


def _looks_like_path(spec: str) -> bool:
    return "/" in spec or os.sep in spec or spec.startswith((".", "~")) or Path(spec).suffix != ""


def _name_of_path(path: Path) -> str:
    """A name that may stand in a cell's id, whose parts are divided by slashes."""
    if path.is_dir():
        text = path.resolve().name
    else:
        # A file called manifest.jsonl says nothing; the folder it lies in does.
        text = path.resolve().parent.name if path.name == "manifest.jsonl" else path.stem
    return re.sub(r"[^\w.+-]+", "_", text) or "data"
