"""The measurements of a run as arrays: a table for each model on each dataset, a column for each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.cells import Cell, Measurement

if TYPE_CHECKING:
    from pytest_vtc.results import Results


@dataclass(frozen=True)
class Column:
    """The measurements of one cell as arrays [n]. rows: sample number; scores: NaN where not scored."""

    measurements: list[Measurement]
    rows: NDArray[np.intp]
    scores: NDArray[np.float64]

    def by_sample(self, n_samples: int) -> NDArray[np.float64]:
        """Score of each sample of the table [n_samples], NaN where it has none here."""
        scores = np.full(n_samples, np.nan)
        scores[self.rows] = self.scores
        return scores

    def said(self, wanted: NDArray[np.bool_]) -> list[str]:
        """What was answered to the samples of the table that are `wanted`, in the table's order."""
        return [m.said for m, row in zip(self.measurements, self.rows, strict=True) if wanted[row]]


@dataclass(frozen=True)
class SampleTable:
    """One model on one dataset: its samples numbered in run order, its cells in report order."""

    model: str
    dataset: str
    columns: dict[Cell, Column]
    n_samples: int
    group_codes: NDArray[np.intp]
    categories: list[str]
    category_codes: NDArray[np.intp]

    @cached_property
    def yes_or_no(self) -> bool:
        """Whether all that is ever expected is "yes" or "no", and both are."""
        expected = {
            answer.strip().lower() for c in self.columns.values() for m in c.measurements for answer in m.expected
        }
        return expected == {"yes", "no"}

    @property
    def scored(self) -> bool:
        """Whether any sample has a score; a dataset of which nothing was measured counts as scored."""
        return not any(len(c.rows) for c in self.columns.values()) or any(
            not np.isnan(c.scores).all() for c in self.columns.values() if len(c.rows)
        )


def sample_tables(results: Results) -> Iterable[SampleTable]:
    by_cell: dict[Cell, list[Measurement]] = {cell: [] for cell in results.cells}
    by_table: dict[tuple[str, str], list[Measurement]] = {(cell.model, cell.dataset): [] for cell in results.cells}
    for measurement in results.measurements:
        by_cell[measurement.cell].append(measurement)
        by_table[measurement.cell.model, measurement.cell.dataset].append(measurement)
    for (model, dataset), measurements in by_table.items():
        yield _sample_table(
            model,
            dataset,
            {cell: found for cell, found in by_cell.items() if (cell.model, cell.dataset) == (model, dataset)},
            measurements,
            results.sample_order.get(dataset, ()),
        )


def _sample_table(
    model: str,
    dataset: str,
    by_cell: Mapping[Cell, list[Measurement]],
    measurements: Sequence[Measurement],
    sample_order: Sequence[str],
) -> SampleTable:
    about: dict[str, Measurement] = {}
    for measurement in measurements:
        about.setdefault(measurement.sample, measurement)
    rows: dict[str, int] = {sample: row for row, sample in enumerate(s for s in sample_order if s in about)}
    for sample in about:
        rows.setdefault(sample, len(rows))
    groups: dict[tuple[str, str], int] = {}
    categories: dict[str, int] = {}
    group_codes, category_codes = np.zeros(len(rows), dtype=np.intp), np.zeros(len(rows), dtype=np.intp)
    for sample, row in rows.items():
        group, category = about[sample].group, about[sample].category
        # A sample without a group stands alone.
        group_codes[row] = groups.setdefault((group, "" if group else sample), len(groups))
        category_codes[row] = categories.setdefault(category, len(categories))
    # By sample, not as they came in: sums of fractions must come out the same to the last bit.
    by_sample = {cell: sorted(found, key=lambda m: rows[m.sample]) for cell, found in by_cell.items()}
    columns = {
        cell: Column(
            found,
            np.array([rows[m.sample] for m in found], dtype=np.intp),
            np.array([np.nan if m.score is None else m.score for m in found], dtype=np.float64),
        )
        for cell, found in by_sample.items()
    }
    return SampleTable(model, dataset, columns, len(rows), group_codes, list(categories), category_codes)
