"""Two runs against each other: cell by cell, paired by sample id, with the samples whose answers changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pytest_vtc.cells import Cell, Measurement
from pytest_vtc.comparison import Comparison, compare_scores
from pytest_vtc.paired_tests import holm
from pytest_vtc.statistics import Interval, proportion_interval

Kind = Literal["gained", "lost", "wrong_otherwise", "other_answer"]

Measured = Mapping[Cell, Mapping[str, Measurement]]
"""The measurements of a run by cell and sample id; a cell of which nothing was measured is there and empty."""


@dataclass(frozen=True)
class Flip:
    """A sample whose answer changed.

    kind: the score rose (`gained`) or fell (`lost`); it is equal and below 1 (`wrong_otherwise`); it is equal and 1, or
    there is none (`other_answer`). Answers are compared as the scoring rule read them, or whole where it read nothing.
    """

    kind: Kind
    before: Measurement
    after: Measurement


@dataclass(frozen=True)
class CellComparison:
    """A cell in two runs. n_before, n_after: samples measured in each; n: in both.

    versus: after against before, over the samples scored in both; None if there are none. accuracy_before,
    accuracy_after: over the same samples. flips: in the order of the run after.
    p_holm: the p of `versus` after Holm's correction over all cells compared; None before that was made.
    """

    before: Cell
    after: Cell
    n_before: int
    n_after: int
    n: int
    versus: Comparison | None
    accuracy_before: Interval | None
    accuracy_after: Interval | None
    flips: tuple[Flip, ...]
    p_holm: float | None = None

    @property
    def only_before(self) -> int:
        """Samples that only the run before has."""
        return self.n_before - self.n

    @property
    def only_after(self) -> int:
        return self.n_after - self.n


def compare_runs(before: Measured, after: Measured, matches: Sequence[tuple[Cell, Cell]]) -> list[CellComparison]:
    """Compare these cells, each pair a cell before and one after; `p_holm` is corrected over all of them."""
    return corrected([_compare(one, other, before[one], after[other]) for one, other in matches])


def corrected(cells: Sequence[CellComparison]) -> list[CellComparison]:
    """The same with `p_holm` corrected over all of them."""
    found = holm([None if cell.versus is None else cell.versus.p for cell in cells])
    return [replace(cell, p_holm=p) for cell, p in zip(cells, found, strict=True)]


def unequal_answers(before: Measured, after: Measured, matches: Sequence[tuple[Cell, Cell]]) -> dict[str, list[str]]:
    """Dataset -> ids of samples that both runs have, and for which they expect different answers."""
    found: dict[str, dict[str, None]] = {}
    for one, other in matches:
        for sample, measurement in after[other].items():
            partner = before[one].get(sample)
            if partner is not None and partner.expected != measurement.expected:
                found.setdefault(other.dataset, {})[sample] = None
    return {dataset: list(samples) for dataset, samples in found.items()}


def _compare(
    one: Cell, other: Cell, before: Mapping[str, Measurement], after: Mapping[str, Measurement]
) -> CellComparison:
    both = [(before[sample], m) for sample, m in after.items() if sample in before]
    scored = [(b, a) for b, a in both if b.score is not None and a.score is not None]
    first = np.array([b.score for b, _ in scored], dtype=np.float64)
    second = np.array([a.score for _, a in scored], dtype=np.float64)
    groups = np.array([a.group or a.sample for _, a in scored], dtype=np.str_)
    said = [b.said for b, _ in scored], [a.said for _, a in scored]
    return CellComparison(
        before=one,
        after=other,
        n_before=len(before),
        n_after=len(after),
        n=len(both),
        versus=compare_scores(first, second, groups, said, check=True),
        accuracy_before=proportion_interval(first, groups) if scored else None,
        accuracy_after=proportion_interval(second, groups) if scored else None,
        flips=tuple(_flips(both)),
    )


def _flips(pairs: Sequence[tuple[Measurement, Measurement]]) -> Iterator[Flip]:
    for before, after in pairs:
        one, other = before.score, after.score
        if one is not None and other is not None and one != other:
            yield Flip("gained" if other > one else "lost", before, after)
        elif before.said != after.said:
            wrong = one is not None and other is not None and one < 1
            yield Flip("wrong_otherwise" if wrong else "other_answer", before, after)
