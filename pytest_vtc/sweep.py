"""The grid of a run: which cells, which samples, in which order. Nothing of it opens an image or loads a model."""

from __future__ import annotations

import bisect
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vtc import discovery
from pytest_vtc.cells import MEANINGLESS, Cell, SkippedCell
from pytest_vtc.datasets.base import Sample, SampleSet
from pytest_vtc.datasets.draws import drawn_from, in_random_order
from pytest_vtc.datasets.registry import data_home, known_datasets, name_of, open_samples, takes_columns
from pytest_vtc.gates import Gate, quoted, unmatched, without_category
from pytest_vtc.judge.choice import JudgeChoice, choose_judge
from pytest_vtc.models.catalogue import TINY, ModelLocation, locate
from pytest_vtc.models.random_catalogue import locate_random
from pytest_vtc.option_values import OptionError, of_datasets
from pytest_vtc.options import Settings
from pytest_vtc.power import CHANGE_CORRELATION, CHANGED_SHARE, POWER, detectable_drop
from pytest_vtc.schedule import Schedule, image_numbers
from pytest_vtc.shards import orders_of_shard

EMBEDDED_DATA = ("probes", "easyvqa")
DEFAULT_DATA = ("mmmu_pro",)


@dataclass(frozen=True)
class Block:
    """Everything on one model and one dataset: the cells, stock first, their common samples, the longest answer.

    start: order of its first case. Its cases are sample-major: all cells of the first sample, then of the second.
    skipped: cells that were asked for and that the model cannot run. They have no cases.
    """

    model: ModelLocation
    data: SampleSet
    cells: tuple[Cell, ...]
    max_new_tokens: int
    start: int = 0
    skipped: tuple[SkippedCell, ...] = ()

    @property
    def stop(self) -> int:
        """One past the order of its last case."""
        return self.start + len(self.cells) * len(self.data.samples)


@dataclass(frozen=True)
class Case:
    """One sample in one cell, by its place in the whole sweep: what a run's items, windows and results are keyed by.

    order: by it results are sorted, whatever order the cases ran in.
    """

    __slots__ = ("block", "order")
    block: Block
    order: int

    @property
    def cell(self) -> Cell:
        return self.block.cells[(self.order - self.block.start) % len(self.block.cells)]

    @property
    def sample(self) -> Sample:
        return self.block.data.samples[(self.order - self.block.start) // len(self.block.cells)]

    @property
    def id(self) -> str:
        return f"{self.cell.id}/{self.sample.id}"

    @property
    def stock(self) -> Case:
        """The same sample in the stock cell."""
        return Case(self.block, self.order - (self.order - self.block.start) % len(self.block.cells))


@dataclass(frozen=True)
class Sweep:
    """A run: blocks in order (model by model, so that each is loaded once), compressors by their spec.

    shard_orders: the cases of the shard that was asked for; None if the sweep is run whole.
    seed_groups: spec of a compressor that is measured with several seeds, as it was asked for -> the specs measured.
    judge: by whom answers are judged, if a dataset's are.
    """

    settings: Settings
    blocks: tuple[Block, ...]
    compressors: dict[str, Any]
    gates: tuple[Gate, ...]
    shard_orders: NDArray[np.int64] | None = None
    seed_groups: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    judge: JudgeChoice | None = None

    @property
    def cells(self) -> list[Cell]:
        return [cell for block in self.blocks for cell in block.cells]

    @property
    def skipped(self) -> list[SkippedCell]:
        return [skipped for block in self.blocks for skipped in block.skipped]

    @property
    def n_cases(self) -> int:
        return self.blocks[-1].stop

    def case(self, order: int) -> Case:
        """The case at a place in the sweep, 0 <= order < n_cases."""
        return Case(self.block(order), order)

    def orders(self) -> Sequence[int]:
        """The places of the cases that are to be collected, ascending: all, or those of the shard."""
        if self.shard_orders is None:
            return range(self.n_cases)
        return self.shard_orders.tolist()

    def block(self, order: int) -> Block:
        """The block that the case at a place in the sweep belongs to."""
        return self.blocks[bisect.bisect_right(self.blocks, order, key=lambda block: block.start) - 1]

    def describe(self, schedule: Schedule) -> list[str]:
        """Lines for the header of a run. schedule: what of the sweep was selected."""
        detectable = [self._detectable(block, schedule) for block in self.blocks]
        lines = [
            f"vtc: {block.model.label} on {block.data.name}: "
            f"{len(block.data.samples):,} of {block.data.size:,} samples"
            + (f", drawn from {block.data.drawn_from:,}" if block.data.drawn_from is not None else "")
            + f", {len(block.cells)} cells"
            + (f"; {len(block.skipped)} more cannot be run on this model" if block.skipped else "")
            + can_detect
            for block, can_detect in zip(self.blocks, detectable, strict=True)
        ]
        if any(detectable):
            lines.append(
                f"vtc: detect: find significant in {100 * POWER:g} % of runs, if {100 * CHANGED_SHARE:g} % of the "
                f"answers change, correlated by {CHANGE_CORRELATION:g} within an image"
            )
        if any(block.model.random for block in self.blocks):
            lines.append(f"vtc: {MEANINGLESS}")
        if self.judge is not None:
            lines.append(self.judge.describe())
        ratios = " ".join(f"{ratio:g}" for ratio in self.settings.ratios)
        lines.append(f"vtc: compressors {self._compressors()}; ratios {ratios}; seed {self.settings.seed}")
        if left_out := [] if self.settings.compressors else discovery.left_out():
            lines.append(f"vtc: {len(left_out)} more with --vtc-compressors all: {', '.join(left_out)}")
        if self.shard_orders is not None:
            lines.append(
                f"vtc: shard {self.settings.shard}, by image: {len(self.shard_orders):,} of {self.n_cases:,} cases; "
                "gates are judged by `python -m pytest_vtc merge`"
            )
        return lines

    def _detectable(self, block: Block, schedule: Schedule) -> str:
        """What drop the selected samples of a block can detect; of a shard, what all shards together can."""
        if block.data.scoring == "none" or block.model.random is not None:
            return ""
        images = schedule.images(block)
        if images and self.shard_orders is not None:
            images = np.bincount(image_numbers(block.data.samples)).tolist()
        drop = detectable_drop(images) if images else None
        if drop is None:
            return ""
        n = sum(images)
        selected = "" if n == len(block.data.samples) else f"the {n:,} selected "
        who = "all shards together " if self.shard_orders is not None else selected
        what = "groups" if block.data.whole_groups else "images"
        where = f" ({len(images):,} {what})" if len(images) < n else ""
        return f"; {who}can detect a drop of {drop:.1f} points{where}"

    def _compressors(self) -> str:
        repeats = {spec for specs in self.seed_groups.values() for spec in specs}
        shown = [
            f"{spec} ({len(self.seed_groups[spec])} seeds)" if spec in self.seed_groups else spec
            for spec in self.compressors
            if spec in self.seed_groups or spec not in repeats
        ]
        return ", ".join(shown)


def build_sweep(settings: Settings) -> Sweep:
    """Look up everything that was asked for.

    Raises OptionError, ModelError, DatasetError, SpecError or GateError: whatever is wrong, before any case runs.
    """
    _check_columns(settings)
    locations = [locate_random(name) for name in settings.random_weights]
    locations = locations or [locate(name) for name in settings.models or (TINY,)]
    labels = [location.label for location in locations]
    if repeated := {label for label in labels if labels.count(label) > 1}:
        raise OptionError(f"two models are called {repeated.pop()!r}; rename one folder, or leave one of the names out")
    asked = discovery.resolve_with_seeds(list(settings.compressors or [discovery.DEFAULT]), settings.random_seeds)
    compressors = {item.compressor.spec: item.compressor for item in asked}
    seed_groups: dict[str, list[str]] = {}
    for item in asked:
        if item.seed_group is not None:
            seed_groups.setdefault(item.seed_group, []).append(item.compressor.spec)
    _check_supported(compressors)
    variants = [(spec, ratio) for spec in compressors for ratio in settings.ratios]
    specs = list(dict.fromkeys(spec for location in locations for spec in _data_of(location, settings)))
    shown = {spec: name_of(spec, data_home(), settings.columns) for spec in specs}
    scorings = of_datasets("scoring", settings.scoring, shown)
    styles = of_datasets("prompt-style", settings.prompt_style, shown)
    opened: dict[str, SampleSet] = {}
    blocks: list[Block] = []
    for location in locations:
        cannot = _cannot_run(location, compressors, settings.trust_remote_code)
        for spec in _data_of(location, settings):
            if spec not in opened:
                drawn = _drawn(settings, spec, scorings[spec], styles[spec])
                opened[spec] = in_random_order(drawn, settings.seed) if settings.sequential else drawn
            data = opened[spec]
            _check_answers(settings, data)
            asked = [Cell(location.label, data.name, *variant) for variant in variants]
            cells = (Cell(location.label, data.name), *(c for c in asked if c.compressor not in cannot))
            skipped = tuple(SkippedCell(c, cannot[c.compressor]) for c in asked if c.compressor in cannot)
            longest = settings.max_new_tokens or data.max_new_tokens
            blocks.append(Block(location, data, cells, longest, blocks[-1].stop if blocks else 0, skipped))
    names = {spec: data.name for spec, data in opened.items()}
    if len(set(names.values())) < len(names):
        raise OptionError(f"--vtc-data: two datasets have one name: {', '.join(names)}; rename one manifest")
    judge = choose_judge(
        settings.judge, settings.judge_model, settings.judge_prompts, opened.values(), known_datasets()
    )
    _check_gates(settings.gates, blocks)
    _check_folder(settings)
    shard_orders = None if settings.shard is None else orders_of_shard(blocks, settings.shard)
    sweep = Sweep(settings, tuple(blocks), compressors, settings.gates, shard_orders, seed_groups, judge)
    if settings.sequential:
        _check_sequential(sweep)
    return sweep


def _check_columns(settings: Settings) -> None:
    if settings.columns is not None and not any(map(takes_columns, settings.data)):
        raise OptionError("--vtc-columns is for CSV files and hf: tables; --vtc-data names none")


def _check_sequential(sweep: Sweep) -> None:
    """A run that is to end early needs something to decide."""
    from pytest_vtc.sequential_trials import trials_of

    if sweep.settings.shard is not None:
        raise OptionError(
            "--vtc-sequential cannot be had with --vtc-shard: a shard judges no gates; leave one of the two out"
        )
    if sweep.settings.baseline is not None:
        raise OptionError(
            "--vtc-sequential cannot be had with --vtc-baseline: comparing with an earlier run needs all samples; "
            "leave one of the two out"
        )
    if not sweep.gates:
        raise OptionError(
            '--vtc-sequential needs a gate to decide: add one, such as --vtc-gate "*: max_drop=2.5", or leave it out'
        )
    if not any(any(True for _ in trials_of(sweep, block)) for block in sweep.blocks):
        raise OptionError(
            "--vtc-sequential: no cell here can end early, as each has a gate that needs all samples; early decisions "
            "are for max_drop, min_accuracy and min_retained without category= and rule=point"
        )


def _check_gates(gates: Sequence[Gate], blocks: Sequence[Block]) -> None:
    """A gate that can never be judged is a mistake in writing."""
    every = [cell for block in blocks for cell in (*block.cells, *(skipped.cell for skipped in block.skipped))]
    if lost := unmatched(gates, every):
        called = [cell.variant for cell in every if not cell.is_stock][:3]
        raise OptionError(f"{lost[0].called} matches no cell of this run; cells are called {', '.join(called)} ...")
    if not any(gate.category is not None for gate in gates):
        return
    categories = {block.data.name: {sample.category for sample in block.data.samples} for block in blocks}
    if lost := without_category(gates, every, categories):
        known = sorted({name for cell in every if lost[0].matches(cell) for name in categories[cell.dataset]})
        raise OptionError(
            f"{lost[0].called}: no sample of this run has such a category; categories are called "
            f"{', '.join(map(quoted, known[:5]))}{' ...' if len(known) > 5 else ''}"
        )


def _check_folder(settings: Settings) -> None:
    """A shard must not write over another one's results."""
    path = settings.output / "results.json"
    if settings.shard is None or not path.exists():
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))["manifest"]["run"]["shard"]
    except (OSError, ValueError, KeyError, TypeError):
        return  # no results of ours, or broken ones: there is nothing to lose
    if before not in (None, str(settings.shard)):
        raise OptionError(
            f"--vtc-shard {settings.shard}: {path} holds the results of shard {before}; give each shard a folder of "
            "its own with --vtc-output"
        )


def _check_supported(compressors: dict[str, Any]) -> None:
    from pytest_vtc.image_compression import check_supported  # imports torch: only when a sweep is really built

    for compressor in compressors.values():
        check_supported(compressor)


def _cannot_run(location: ModelLocation, compressors: dict[str, Any], trust_remote_code: bool) -> dict[str, str]:
    """The specs of the compressors that a model cannot give what they need, each with the reason."""
    if not any(compressor.needs for compressor in compressors.values()):
        return {}  # nothing is to be known of the model yet
    from pytest_vtc.image_compression import unsupported
    from pytest_vtc.models.families import family_of

    family = family_of(location, trust_remote_code)
    lacks = family.lacked_by_all()
    if location.card is None and any(compressor.needs & family.offers for compressor in compressors.values()):
        # What only some checkpoints of the family have. Those of the catalogue may not be here yet; they have it.
        from pytest_vtc.models.checkpoint import read_config

        lacks = family.lacked_by(read_config(location, trust_remote_code))
    found = {spec: unsupported(compressor, lacks) for spec, compressor in compressors.items()}
    return {spec: reason for spec, reason in found.items() if reason is not None}


def _check_answers(settings: Settings, data: SampleSet) -> None:
    if settings.answers == "letters" and (bare := next((s for s in data.samples if not s.options), None)) is not None:
        raise OptionError(
            f"--vtc-answers letters needs multiple-choice questions; {data.name} has none in sample {bare.id!r}"
        )


def _data_of(location: ModelLocation, settings: Settings) -> tuple[str, ...]:
    """What a model is run on."""
    embedded = location.label == TINY or location.random is not None
    return settings.data or (EMBEDDED_DATA if embedded else DEFAULT_DATA)


def _drawn(settings: Settings, spec: str, scoring: str | None, style: str | None) -> SampleSet:
    """As many samples as were asked for; where nobody said, the dataset's usual number, if so many are fetched."""
    n = settings.n if isinstance(settings.n, int) else None
    data = open_samples(spec, data_home(), n, settings.seed, scoring, style, settings.columns)
    known = known_datasets().get(spec)
    if settings.n is not None or known is None or known.default_n is None or known.default_n >= data.size:
        return data
    return drawn_from(data, known.default_n, settings.seed)
