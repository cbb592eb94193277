"""Gates that are judged while a run goes on: image group by image group, on what is complete so far.

What is decided, and after which group, depends on the order of the samples and on their scores alone: not on windows,
batches, workers or timing. Knows no pytest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.cells import Cell
from pytest_vtc.gates import Gate, Limit
from pytest_vtc.schedule import image_numbers
from pytest_vtc.sequential import Estimand, MarginTest, anytime_interval, anytime_p
from pytest_vtc.statistics import Interval

if TYPE_CHECKING:
    from pytest_vtc.sweep import Block, Sweep

Scores = NDArray[np.float64]

ESTIMANDS: dict[str, Estimand] = {"max_drop": "difference", "min_accuracy": "accuracy", "min_retained": "share"}
"""What a condition limits, of those that can be decided early."""


def is_decided_early(gate: Gate) -> bool:
    """Whether looking at the images so far can decide a gate: an interval rule on whole cells, on accuracy alone."""
    return gate.category is None and gate.rule == "interval" and all(n.condition in ESTIMANDS for n in gate.limits)


def margin(limit: Limit) -> float:
    """A limit in the unit of its estimand: drops of 2.5 points are differences of -0.025, percents become shares."""
    value = {"max_drop": -limit.value / 100, "min_accuracy": limit.value / 100}
    return value.get(limit.condition, limit.value)


@dataclass(frozen=True)
class Judged:
    """How far a cell, or all seeds of one together, was judged, and what that said.

    n_groups: image groups that were judged, the first ones in the run's order; n_rows: their samples, of which
    n_samples have scores here and in stock. of_rows, of_groups: all there are. decided: all gates that bear on it were
    decided, so that it ended there. decided_after: limit -> n_rows at which it was decided, if it was.
    difference, accuracy, share: anytime-valid, in score units; None where nothing was scored. p: of no difference.
    """

    cell: Cell
    n_seeds: int
    n_rows: int
    n_samples: int
    n_groups: int
    of_rows: int
    of_groups: int
    decided: bool
    limits: tuple[Limit, ...]
    decided_after: Mapping[Limit, int]
    difference: Interval | None
    accuracy: Interval | None
    share: Interval | None
    p: float | None


@dataclass(frozen=True)
class AllJudged:
    """What was judged while a run went on.

    cells: stock among them, where every cell that it is compared with has ended. groups: of compressors that are judged
    with all their seeds together, by the cell that is called as the group is, which is also that of one of the seeds.
    """

    cells: Mapping[Cell, Judged] = field(default_factory=dict[Cell, Judged])
    groups: Mapping[Cell, Judged] = field(default_factory=dict[Cell, Judged])

    @property
    def gated(self) -> list[Judged]:
        """Those that limits are on."""
        return [judged for judged in (*self.cells.values(), *self.groups.values()) if judged.limits]


@dataclass(frozen=True)
class _Subject:
    """What gates speak of by one name: a cell, or the cells that differ in the seed alone; the score is their mean.

    columns: places of the cells in their block. limits: may be none, of a cell that is only part of what is gated.
    """

    cell: Cell
    columns: tuple[int, ...]
    limits: tuple[Limit, ...]


class _Record:
    """What was judged of one subject."""

    def __init__(self, subject: _Subject, largest_group: int) -> None:
        self.subject = subject
        self._largest = largest_group
        self._tests = {
            limit: MarginTest(ESTIMANDS[limit.condition], margin(limit), largest_group) for limit in subject.limits
        }
        self._sums: list[tuple[float, ...]] = []
        self._n_samples = 0
        self._decided_after: dict[Limit, int] = {}

    @property
    def decided(self) -> bool:
        return len(self._decided_after) == len(self._tests)

    def add(self, stock: Scores, own: Scores, n_rows: int) -> None:
        """Judge the next group by the scores of its samples, NaN where there are none. n_rows: with it."""
        scored = ~np.isnan(own)
        both = scored & ~np.isnan(stock)
        sums: dict[Estimand, tuple[float, float]] = {
            "difference": (float((own[both] - stock[both]).sum()), float(both.sum())),
            "accuracy": (float(own[scored].sum()), float(scored.sum())),
            "share": (float(own[both].sum()), float(stock[both].sum())),
        }
        self._sums.append(tuple(value for pair in sums.values() for value in pair))
        self._n_samples += int(both.sum())
        for limit, test in self._tests.items():
            if test.side is None and test.add(*sums[ESTIMANDS[limit.condition]]) is not None:
                self._decided_after[limit] = n_rows

    def judged(self, bounds: NDArray[np.int64], decided: bool) -> Judged:
        """bounds: [G + 1] rows at which the groups begin, and where the last one ends."""
        sums = np.array(self._sums, dtype=np.float64).reshape(-1, 6).T

        def interval(first: int, estimand: Estimand) -> Interval | None:
            numerators, denominators = sums[first], sums[first + 1]
            if not denominators.sum():
                return None
            return anytime_interval(numerators, denominators, self._largest, estimand)

        difference = interval(0, "difference")
        return Judged(
            cell=self.subject.cell,
            n_seeds=len(self.subject.columns),
            n_rows=int(bounds[len(self._sums)]),
            n_samples=self._n_samples,
            n_groups=len(self._sums),
            of_rows=int(bounds[-1]),
            of_groups=len(bounds) - 1,
            decided=decided,
            limits=self.subject.limits,
            decided_after=dict(self._decided_after),
            difference=difference,
            accuracy=interval(2, "accuracy"),
            share=interval(4, "share"),
            p=None if difference is None else anytime_p(sums[0], sums[1], self._largest, "difference", 0.0),
        )


class _Trial:
    """Subjects that end together: a cell, or seeds of one compressor, which are gated as one and maybe also singly."""

    def __init__(self, subjects: Iterable[_Subject], largest_group: int) -> None:
        self.records = [_Record(subject, largest_group) for subject in subjects]
        self.columns = tuple(sorted({column for record in self.records for column in record.subject.columns}))
        self.n_groups = 0

    @property
    def decided(self) -> bool:
        return all(record.decided for record in self.records)


class _BlockTrials:
    """The trials on one model and dataset, and the scores as they come in."""

    def __init__(self, block: Block, trials: Sequence[Sequence[_Subject]], others: bool) -> None:
        """others: cells are selected that run to their end."""
        groups = image_numbers(block.data.samples)
        if (np.diff(groups) < 0).any():
            raise ValueError(f"{block.data.name}: the samples of an image are not side by side")
        self.block = block
        self._groups = groups
        sizes = np.bincount(groups).astype(np.int64)
        self._bounds: NDArray[np.int64] = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
        largest = int(sizes.max())
        self._trials = [_Trial(subjects, largest) for subjects in trials]
        self._stock = _Record(_Subject(block.cells[0], (0,), ()), largest)
        self._others = others
        columns = [0, *(column for trial in self._trials for column in trial.columns)]
        self._scores = {column: np.full(len(groups), np.nan) for column in columns}
        self._known = {column: np.zeros(len(groups), dtype=np.bool_) for column in columns}
        self._left = {column: sizes.copy() for column in columns}

    @property
    def stock_is_done(self) -> bool:
        """Whether no cell is left to compare with stock."""
        return not self._others and all(trial.decided for trial in self._trials)

    def record(self, row: int, column: int, score: float | None) -> list[int]:
        """Take in a measurement; the columns that need not be run any more because of it."""
        if column not in self._known or self._known[column][row]:
            return []
        self._known[column][row] = True
        self._scores[column][row] = np.nan if score is None else score
        group = self._groups[row]
        self._left[column][group] -= 1
        if self._left[column][group]:
            return []
        ended = [c for t in self._trials if column == 0 or column in t.columns if self._advance(t) for c in t.columns]
        return [0, *ended] if ended and self.stock_is_done else ended

    def _advance(self, trial: _Trial) -> bool:
        """Judge the groups of a trial that have become complete; whether that has decided it."""
        if trial.decided:
            return False
        while trial.n_groups < len(self._left[0]):
            if any(self._left[column][trial.n_groups] for column in (0, *trial.columns)):
                return False
            rows = slice(self._bounds[trial.n_groups], self._bounds[trial.n_groups + 1])
            trial.n_groups += 1
            for record in trial.records:
                own = np.mean([self._scores[column][rows] for column in record.subject.columns], axis=0)
                record.add(self._scores[0][rows], own, int(rows.stop))
            if trial.decided:
                return True
        return False

    def judged(self) -> Iterator[Judged]:
        for trial in self._trials:
            for record in trial.records:
                yield record.judged(self._bounds, trial.decided)
        if self.stock_is_done:
            for group in range(max(trial.n_groups for trial in self._trials)):
                rows = slice(self._bounds[group], self._bounds[group + 1])
                self._stock.add(self._scores[0][rows], self._scores[0][rows], int(rows.stop))
            yield self._stock.judged(self._bounds, True)


class Trials:
    """All gates of a run that can be decided early.

    A cell takes part if it is selected whole, gates are on it and all of them can be decided early: one with any other
    gate runs to its end, and is judged there, by one look. selected: [n_cases] which cases of the sweep are to run; the
    stock partners of those that are come along.
    """

    def __init__(self, sweep: Sweep, selected: NDArray[np.bool_]) -> None:
        self._sweep = sweep
        self._selected = selected
        self._blocks: dict[int, _BlockTrials] = {}
        for block in sweep.blocks:
            grid = selected[block.start : block.stop].reshape(-1, len(block.cells))
            whole = {column for column in range(1, len(block.cells)) if grid[:, column].all()}
            trials = [
                trial
                for trial in trials_of(sweep, block)
                if whole.issuperset(column for subject in trial for column in subject.columns)
            ]
            if trials:
                mine = {column for trial in trials for subject in trial for column in subject.columns}
                others = any(grid[:, column].any() for column in range(1, len(block.cells)) if column not in mine)
                self._blocks[block.start] = _BlockTrials(block, trials, others)

    def record(self, order: int, score: float | None) -> NDArray[np.int64]:
        """Take in a measurement. The places in the sweep of the cases that need not be run any more because of it."""
        block = self._sweep.block(order)
        trials = self._blocks.get(block.start)
        if trials is None:
            return np.zeros(0, dtype=np.int64)
        columns = trials.record(*divmod(order - block.start, len(block.cells)), score)
        starts = np.arange(block.start, block.stop, len(block.cells), dtype=np.int64)
        return (starts[:, None] + np.array(columns, dtype=np.int64)).ravel() if columns else starts[:0]

    @cached_property
    def judged(self) -> AllJudged:
        """How far everything was judged, at the end."""
        every = [judged for trials in self._blocks.values() for judged in trials.judged()]
        return AllJudged(
            cells={judged.cell: judged for judged in every if judged.n_seeds == 1},
            groups={judged.cell: judged for judged in every if judged.n_seeds > 1},
        )

    def row(self, order: int) -> int:
        """The place of a case's sample in its dataset."""
        block = self._sweep.block(order)
        return (order - block.start) // len(block.cells)

    def row_of(self, cell: Cell, sample: str) -> int:
        """The place of a sample, by its id, in the dataset of a cell."""
        block = next(block for block in self._sweep.blocks if cell in block.cells)
        return next(row for row, other in enumerate(block.data.samples) if other.id == sample)


def trials_of(sweep: Sweep, block: Block) -> Iterator[list[_Subject]]:
    """What may end early on a model and dataset; the subjects of one trial end together."""
    group_of = {spec: group for group, specs in sweep.seed_groups.items() for spec in specs}
    together: dict[Cell, list[int]] = {}
    for column, cell in enumerate(block.cells[1:], 1):
        named = replace(cell, compressor=group_of.get(str(cell.compressor), cell.compressor))
        together.setdefault(named, []).append(column)
    for named, columns in together.items():
        n_seeds = len(sweep.seed_groups.get(str(named.compressor), "1"))
        as_one = [gate for gate in sweep.gates if gate.matches(named)]
        singly = {
            column: [gate for gate in sweep.gates if gate not in as_one and gate.matches(block.cells[column])]
            for column in columns
        }
        if not as_one:
            for column, gates in singly.items():
                if gates and all(map(is_decided_early, gates)):
                    yield [_Subject(block.cells[column], (column,), _limits(gates))]
        elif len(columns) == n_seeds and all(
            map(is_decided_early, [*as_one, *(g for s in singly.values() for g in s)])
        ):
            seeds = [_Subject(block.cells[c], (c,), _limits(gates)) for c, gates in singly.items() if n_seeds > 1]
            yield [_Subject(named, tuple(columns), _limits(as_one)), *seeds]


def _limits(gates: Iterable[Gate]) -> tuple[Limit, ...]:
    """The limits of gates, each once."""
    return tuple(dict.fromkeys(limit for gate in gates for limit in gate.limits))
