"""Compressors that draw at random, measured with several seeds: mean over the seeds, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_vtc.cells import Cell
from pytest_vtc.comparison import AgainstStock, Comparison, compare_scores
from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.published_figures import PublishedFigures
from pytest_vtc.results import Results
from pytest_vtc.sample_tables import SampleTable, sample_tables
from pytest_vtc.statistics import Interval, proportion_interval


@dataclass(frozen=True)
class SeedGroup(AgainstStock):
    """The cells of one compressor, model, dataset and ratio that differ in the seed alone; there are at least two.

    compressor: the spec that was asked for, without the seed.
    cells: those of the run, by seed. seeds: of those of them that have a score. missing: seeds of the run that have
    none, because their cells were not selected or nothing of them was measured.
    n_samples: samples scored with every one of `seeds`; all figures are over these.
    by_seed: accuracy with each of `seeds`, 0 to 1; the mean, its interval and the difference to stock are those of the
    samples' mean scores over the seeds, which is what "a random choice" scores on a sample.
    versus: against stock, over those of these samples that stock has been measured on. p_holm: its p after Holm's
    correction over all comparisons with stock in the run; None before that was made.
    published: means over `seeds` of the figures of the dataset's own metric, if it has one.
    """

    model: str
    dataset: str
    compressor: str
    ratio: float
    cells: tuple[Cell, ...]
    seeds: tuple[int, ...]
    missing: tuple[int, ...]
    n_samples: int
    by_seed: tuple[float, ...]
    accuracy: Interval | None
    versus: Comparison | None
    p_holm: float | None = None
    published: PublishedFigures | None = None

    @property
    def note(self) -> str:
        """`(3 seeds)`, or `(2 of 3 seeds)`: what is shown behind the compressor's name."""
        n = len(self.seeds)
        return f"({n} of {n + len(self.missing)} seeds)" if self.missing else f"({n} seeds)"

    @property
    def sd(self) -> float | None:
        """Standard deviation of `by_seed` (n - 1 in the denominator); None of fewer than two."""
        return float(np.std(self.by_seed, ddof=1)) if len(self.by_seed) > 1 else None


def summarize_seeds(results: Results) -> list[SeedGroup]:
    """The seed groups of a run, in the order of their first cells; none of datasets without answers."""
    found: list[SeedGroup] = []
    for table in sample_tables(results):
        together: dict[tuple[str, float], list[Cell]] = {}
        for cell in table.columns:
            if (spec := _group(results.manifest, cell)) is not None and cell.ratio is not None:
                together.setdefault((spec, cell.ratio), []).append(cell)
        for (spec, ratio), cells in together.items():
            if len(cells) > 1 and table.scored:
                found.append(_summary(results.manifest, table, spec, ratio, cells))
    order = {cell: rank for rank, cell in enumerate(results.cells)}
    return sorted(found, key=lambda group: min(order[cell] for cell in group.cells))


def _group(manifest: Manifest, cell: Cell) -> str | None:
    about = manifest["compressors"].get(str(cell.compressor))
    return None if about is None else about["seed_group"]


def _seed(manifest: Manifest, spec: str) -> int:
    return int(manifest["compressors"][spec]["parameters"]["seed"])


def _summary(manifest: Manifest, table: SampleTable, spec: str, ratio: float, cells: Sequence[Cell]) -> SeedGroup:
    cells = sorted(cells, key=lambda cell: _seed(manifest, str(cell.compressor)))
    scores = {cell: table.columns[cell].by_sample(table.n_samples) for cell in cells}
    scored = [cell for cell in cells if not np.isnan(scores[cell]).all()]
    seeds = tuple(_seed(manifest, str(cell.compressor)) for cell in scored)
    asked = [_seed(manifest, other) for other, about in manifest["compressors"].items() if about["seed_group"] == spec]
    by_seed: tuple[float, ...] = ()
    accuracy, versus, common = None, None, np.zeros(0, dtype=np.intp)
    if scored:
        stacked = np.stack([scores[cell] for cell in scored])
        common = np.flatnonzero(~np.isnan(stacked).any(axis=0))
        means = stacked.mean(axis=0)
        if len(common):
            by_seed = tuple(float(of_seed.mean()) for of_seed in stacked[:, common])
            accuracy = proportion_interval(means[common], table.group_codes[common])
        if (stock := table.columns.get(Cell(table.model, table.dataset))) is not None:
            before = stock.by_sample(table.n_samples)
            paired = common[~np.isnan(before[common])]
            versus = compare_scores(before[paired], means[paired], table.group_codes[paired], check=True)
    return SeedGroup(
        model=table.model,
        dataset=table.dataset,
        compressor=spec,
        ratio=ratio,
        cells=tuple(cells),
        seeds=seeds,
        missing=tuple(sorted({*asked} - {*seeds})),
        n_samples=len(common),
        by_seed=by_seed,
        accuracy=accuracy,
        versus=versus,
    )
