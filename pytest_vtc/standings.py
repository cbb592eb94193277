"""Compressors against each other at equal ratio, and their mean share of stock over the datasets of a run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.cells import Cell
from pytest_vtc.comparison import Comparison, compare_scores
from pytest_vtc.paired_tests import holm
from pytest_vtc.results import CellSummary, Results
from pytest_vtc.sample_tables import SampleTable, sample_tables
from pytest_vtc.seed_groups import SeedGroup
from pytest_vtc.statistics import Interval, mean_of_shares

SIGNIFICANT = 0.05
"""A corrected p below this is marked in tables."""


@dataclass(frozen=True)
class Pair:
    """Two compressors at one ratio on one model and dataset. versus: `first` minus `second`, on the samples of both.

    first, second: specs; one that is measured with several seeds is its mean over them.
    p_holm: p after Holm's correction over all pairs at this ratio on this model and dataset.
    """

    model: str
    dataset: str
    ratio: float
    first: str
    second: str
    versus: Comparison
    p_holm: float | None = None

    @property
    def better(self) -> str | None:
        """Which of the two is better, if the difference is significant."""
        if self.p_holm is None or self.p_holm >= SIGNIFICANT:
            return None
        return self.first if self.versus.difference_pp.estimate > 0 else self.second


@dataclass(frozen=True)
class MeanShare:
    """A compressor's accuracy as a share of stock's, mean over datasets: the "average" column of papers.

    datasets: those it was compared on, each counting alike. missing: those of the run on this model that have no share.
    """

    model: str
    compressor: str
    ratio: float
    share: Interval
    datasets: tuple[str, ...]
    missing: tuple[str, ...]


def summarize_pairs(results: Results, groups: Sequence[SeedGroup]) -> list[Pair]:
    """Every pair of compressors at every ratio that two of them share, in the order of the cells."""
    found: list[Pair] = []
    for table in sample_tables(results):
        if not table.scored:
            continue
        by_ratio: dict[float, list[tuple[str, NDArray[np.float64]]]] = {}
        for spec, ratio, scores in _contenders(table, groups):
            by_ratio.setdefault(ratio, []).append((spec, scores))
        for ratio, contenders in by_ratio.items():
            pairs: list[Pair] = []
            for (first, one), (second, other) in itertools.combinations(contenders, 2):
                both = ~np.isnan(one) & ~np.isnan(other)
                versus = compare_scores(other[both], one[both], table.group_codes[both])
                if versus is not None:
                    pairs.append(Pair(table.model, table.dataset, ratio, first, second, versus))
            corrected = holm([pair.versus.p for pair in pairs])
            found += [replace(pair, p_holm=p) for pair, p in zip(pairs, corrected, strict=True)]
    return found


def _contenders(table: SampleTable, groups: Sequence[SeedGroup]) -> Iterator[tuple[str, float, NDArray[np.float64]]]:
    """Spec, ratio and score of each sample [n_samples], NaN where there is none, of each row of the table but stock."""
    by_cell = {cell: group for group in groups for cell in group.cells}
    done: set[int] = set()
    for cell, column in table.columns.items():
        group = by_cell.get(cell)
        if cell.compressor is None or cell.ratio is None:
            continue
        if group is None:
            yield cell.compressor, cell.ratio, column.by_sample(table.n_samples)
        elif id(group) not in done:
            done.add(id(group))
            by_seed = [table.columns[member].by_sample(table.n_samples) for member in group.cells]
            # As in the group itself: over the seeds that have scores. A sample that one of these lacks has none.
            if scored := [scores for scores in by_seed if not np.isnan(scores).all()]:
                yield group.compressor, group.ratio, np.mean(scored, axis=0)


def summarize_shares(summaries: Sequence[CellSummary], groups: Sequence[SeedGroup]) -> list[MeanShare]:
    """Mean share of stock of each model, compressor and ratio; none where a run has one scored dataset only."""
    members = {cell for group in groups for cell in group.cells}
    scored: dict[str, list[str]] = {}
    for summary in summaries:
        if summary.scored and summary.cell.dataset not in scored.setdefault(summary.cell.model, []):
            scored[summary.cell.model].append(summary.cell.dataset)
    shares: dict[tuple[str, str, float], dict[str, Comparison]] = {}

    def note(model: str, compressor: str | None, ratio: float | None, dataset: str, versus: Comparison | None) -> None:
        if compressor is not None and ratio is not None and versus is not None and versus.share is not None:
            shares.setdefault((model, compressor, ratio), {})[dataset] = versus

    for summary in summaries:
        if summary.cell not in members:
            note(summary.cell.model, summary.cell.compressor, summary.cell.ratio, summary.cell.dataset, summary.versus)
    for group in groups:
        note(group.model, group.compressor, group.ratio, group.dataset, group.versus)
    return [
        MeanShare(
            model,
            compressor,
            ratio,
            mean_of_shares(
                [v.share for v in by_dataset.values() if v.share is not None],
                [v.share_degrees for v in by_dataset.values() if v.share is not None],
            ),
            tuple(by_dataset),
            tuple(dataset for dataset in scored[model] if dataset not in by_dataset),
        )
        for (model, compressor, ratio), by_dataset in shares.items()
        if len(scored[model]) > 1
    ]


def standing(pairs: Sequence[Pair], cell: Cell | SeedGroup) -> tuple[int, int, int]:
    """How many others at the same ratio a compressor is better than, worse than, and not told apart from."""
    own = [
        pair
        for pair in pairs
        if (pair.model, pair.dataset, pair.ratio) == (cell.model, cell.dataset, cell.ratio)
        and cell.compressor in (pair.first, pair.second)
    ]
    better = sum(pair.better == cell.compressor for pair in own)
    worse = sum(pair.better not in (None, cell.compressor) for pair in own)
    return better, worse, len(own) - better - worse
