"""Published metrics in a run: the figures by which a dataset's authors rank models, of cells, and against stock."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.cells import Cell, Measurement
from pytest_vtc.sample_tables import SampleTable, sample_tables
from pytest_vtc.scoring import GROUP_SIZE
from pytest_vtc.scoring.published import Answered, Published, metric

if TYPE_CHECKING:
    from pytest_vtc.results import Results
    from pytest_vtc.seed_groups import SeedGroup


@dataclass(frozen=True)
class Figure:
    """One figure, in the unit in which it is published.

    difference: minus stock's, both over the samples scored in both; None for stock, and where either cannot be had.
    """

    name: str
    value: float
    difference: float | None


@dataclass(frozen=True)
class PublishedFigures:
    """The figures of a cell, or their means over the seeds of one compressor.

    n: samples that they are over: those scored, of several seeds with every one of them. n_paired:
    those of them that the differences are over. n_cut: groups that lack a sample which other cells have; where a
    dataset's groups count only as a whole, they are left out of n, and out of n_paired where either side lacks one.
    figures: those that can be had, in the metric's order.
    """

    n: int
    n_paired: int
    n_cut: int
    figures: tuple[Figure, ...]


def figures_of_cells(results: Results) -> dict[Cell, PublishedFigures]:
    """The figures of every cell with scored samples, on datasets whose authors have a metric of their own."""
    found: dict[Cell, PublishedFigures] = {}
    for table in _tables(results):
        stock = Cell(table.about.model, table.about.dataset)
        for cell in table.about.columns:
            if (own := table.of([cell], None if cell.is_stock else stock)) is not None:
                found[cell] = own
    return found


def figures_of_groups(results: Results, groups: Sequence[SeedGroup]) -> list[PublishedFigures | None]:
    """The same of all seeds of a compressor: means over the seeds, on samples scored with every one of them."""
    tables = {(table.about.model, table.about.dataset): table for table in _tables(results)} if groups else {}
    found: list[PublishedFigures | None] = []
    for group in groups:
        table = tables.get((group.model, group.dataset))
        cells = [] if table is None else [cell for cell in group.cells if table.scored[cell].any()]
        own = table.of(cells, Cell(group.model, group.dataset)) if table is not None and cells else None
        found.append(own)
    return found


class _Table:
    """One model on one dataset. scored: of each cell, which samples of the table it has a score of."""

    def __init__(self, about: SampleTable, published: Published, whole_groups: bool) -> None:
        self.about = about
        self.scored = {cell: ~np.isnan(column.by_sample(about.n_samples)) for cell, column in about.columns.items()}
        self._group_sizes = _group_sizes(about)
        self._published = published
        self._whole_groups = whole_groups
        self._answered: dict[Cell, dict[int, Answered]] = {}
        self._figures: dict[tuple[Cell, bytes], dict[str, float]] = {}

    def of(self, cells: Sequence[Cell], stock: Cell | None) -> PublishedFigures | None:
        """Means over the cells, on samples that all of them have; None if there are none."""
        common = np.logical_and.reduce([self.scored[cell] for cell in cells])
        common, n_cut = self._without_cut_groups(common)
        if not common.any():
            return None
        values = _means([self._of_cell(cell, common) for cell in cells])
        differences: dict[str, float] = {}
        n_paired = 0
        if stock is not None and stock in self.scored:
            paired, _ = self._without_cut_groups(common & self.scored[stock])
            if n_paired := int(paired.sum()):
                before = self._of_cell(stock, paired)
                after = _means([self._of_cell(cell, paired) for cell in cells])
                differences = {name: value - before[name] for name, value in after.items() if name in before}
        return PublishedFigures(
            n=int(common.sum()),
            n_paired=n_paired,
            n_cut=n_cut,
            figures=tuple(Figure(name, value, differences.get(name)) for name, value in values.items()),
        )

    def _without_cut_groups(self, wanted: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], int]:
        """The samples, without cut groups if those count for nothing, and how many groups are cut."""
        codes, whole = self.about.group_codes, self._group_sizes
        here = np.bincount(codes[wanted], minlength=len(whole))
        cut = (here > 0) & (here < whole)
        return (wanted & ~cut[codes] if self._whole_groups else wanted), int(cut.sum())

    def _of_cell(self, cell: Cell, wanted: NDArray[np.bool_]) -> dict[str, float]:
        """The figures over the samples that are wanted, of which the cell has every one."""
        key = cell, wanted.tobytes()
        if key not in self._figures:
            if cell not in self._answered:
                column = self.about.columns[cell]
                self._answered[cell] = {
                    int(row): _answered(m, m.score)
                    for row, m in zip(column.rows, column.measurements, strict=True)
                    if m.score is not None
                }
            answered = self._answered[cell]
            found = self._published.figures([answered[int(row)] for row in np.flatnonzero(wanted)])
            self._figures[key] = {name: float(value) for name, value in found.items() if math.isfinite(value)}
        return self._figures[key]


def _group_sizes(about: SampleTable) -> NDArray[np.intp]:
    """How many samples each group has: of those that are never cut the dataset says so, others have what was run."""
    sizes = np.bincount(about.group_codes)
    for column in about.columns.values():
        for row, measurement in zip(column.rows, column.measurements, strict=True):
            if (size := measurement.facts.get(GROUP_SIZE)) is not None:
                sizes[about.group_codes[row]] = int(size)
    return sizes


def _tables(results: Results) -> list[_Table]:
    datasets = results.manifest["datasets"]
    if not any(about["published"] for about in datasets.values()):
        return []
    return [
        _Table(table, metric(name), datasets[table.dataset]["whole_groups"])
        for table in sample_tables(results)
        if table.scored and (name := datasets[table.dataset]["published"]) is not None
    ]


def _answered(m: Measurement, score: float) -> Answered:
    return Answered(m.sample, score, m.parsed, m.expected, m.category, m.group, m.facts)


def _means(figures: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each figure that all have."""
    shared = [name for name in figures[0] if all(name in each for each in figures)]
    return {name: math.fsum(each[name] for each in figures) / len(figures) for name in shared}
