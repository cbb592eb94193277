"""What a run found: its measurements, and their summary per cell and per category. Reports and gates read only this."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.cells import CaseError, Cell, Measurement, SkippedCell
from pytest_vtc.comparison import AgainstStock, Comparison, compare_scores
from pytest_vtc.gates import InconclusiveAs
from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.published_figures import PublishedFigures
from pytest_vtc.sample_tables import Column, SampleTable, sample_tables
from pytest_vtc.statistics import Interval, proportion_interval

MIN_CATEGORY_SAMPLES = 10
"""Categories with fewer stock samples are left out of the summary: their accuracy says next to nothing."""


@dataclass(frozen=True)
class Results:
    """Everything a run produced.

    cells: in report order, the stock cell of each model and dataset before its others.
    expected: cell id -> number of its selected cases; for a stock cell also those that came along as partners.
    skipped: selected cells that their models cannot run; they are not among the cells.
    measurements: at most one per case, in any order. errors: at most one per case that has no measurement.
    gates: the gates as they were asked for. gate_inconclusive: how an inconclusive one counts as a test.
    interrupted: the run ended before its last case.
    sample_order: dataset -> sample ids in run order; samples not named there follow in the order of `measurements`,
        which is the run's order unless workers or a shuffling plugin have mixed it.
    """

    manifest: Manifest
    cells: tuple[Cell, ...]
    expected: Mapping[str, int]
    measurements: Sequence[Measurement]
    errors: Sequence[CaseError] = ()
    gates: tuple[str, ...] = ()
    gate_inconclusive: InconclusiveAs = "skip"
    skipped: tuple[SkippedCell, ...] = ()
    interrupted: bool = False
    sample_order: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])

    def __post_init__(self) -> None:
        known = set(self.cells)
        strangers = {item.cell for item in (*self.measurements, *self.errors)} - known
        if strangers:
            raise ValueError(f"results for cells that are not part of the run: {sorted(c.id for c in strangers)}")


@dataclass(frozen=True)
class Budget:
    """Vision tokens per sample: means, the range really kept, and how often that was not what was asked for.

    kv_bytes: mean of `Generation.kv_bytes`. kv_paired, kv_stock: its sums, of the cell and of stock, over the samples
    measured in both.
    """

    n_tokens: float
    asked: float
    kept: float
    kept_min: int
    kept_max: int
    n_below: int
    n_above: int
    kv_bytes: float
    kv_paired: int
    kv_stock: int

    @property
    def kv_share(self) -> float | None:
        """Bytes of the cache as a share of stock's; None if no sample was measured in both."""
        return self.kv_paired / self.kv_stock if self.kv_stock else None


@dataclass(frozen=True)
class Sequential:
    """How far a cell was judged while the run went on.

    n_samples, n_groups: samples and image groups that were judged, the first ones in the run's order. of_samples,
    of_groups: all that the cell has. decided: all gates on it were decided, so that it ended there.
    """

    n_samples: int
    of_samples: int
    n_groups: int
    of_groups: int
    decided: bool


@dataclass(frozen=True)
class CellSummary(AgainstStock):
    """One row of the table.

    n_errors: cases that failed; they are among the missing.
    n_beyond_window: cases whose uncompressed sequence is longer than the model's sliding window.
    by_chance, by_default: sums of scores of unparsed cases: of those that the rule scored by the chance that a guess is
    right, and of those for which it took another answer that it falls back on.
    n_yes: cases read as "yes", where "yes" and "no" are all that the dataset expects and a rule reads; else None.
    scored: False where the dataset has no answers. n_scored: measured cases whose sample has an answer.
    accuracy: mean score over them, 0 to 1; None if there are none.
    versus: against stock, over the samples scored in both; None for stock and where there are none.
    p_holm: its p after Holm's correction over all comparisons with stock in the run; None before that was made, and for
    the cells of a seed group, which is corrected as one.
    budget: None if nothing was measured. positions: the policies really used.
    n_cached: cases answered from the store. seconds: mean per case when it was computed.
    sequential: of a cell that gates may end early; its intervals and p then hold however often one has looked.
    published: figures of the dataset's own metric, if it has one and anything was scored.
    """

    cell: Cell
    n_expected: int
    n_measured: int
    n_errors: int
    n_empty: int
    n_unparsed: int
    by_chance: float
    by_default: float
    n_yes: int | None
    n_truncated: int
    n_beyond_window: int
    scored: bool
    n_scored: int
    accuracy: Interval | None
    versus: Comparison | None
    budget: Budget | None
    positions: tuple[str, ...]
    n_cached: int
    seconds: float | None
    p_holm: float | None = None
    sequential: Sequential | None = None
    published: PublishedFigures | None = None

    @property
    def n_missing(self) -> int:
        """Selected cases without a measurement: failed, or not reached."""
        return max(0, self.n_expected - self.n_measured)


@dataclass(frozen=True)
class VariantAccuracy:
    """Accuracy of one variant on one category, over n samples; None if there are none.

    delta_pp: against stock, paired, percentage points; None for stock. p: that there is no difference. q: the same
    after Benjamini and Hochberg's correction over all categories and variants of the run.
    """

    variant: str
    n: int
    accuracy: float | None
    delta_pp: Interval | None = None
    p: float | None = None
    q: float | None = None


@dataclass(frozen=True)
class CategorySummary:
    """One category of a dataset. n: stock samples; variants: in the order of the cells, stock first."""

    model: str
    dataset: str
    category: str
    n: int
    variants: tuple[VariantAccuracy, ...]


def summarize(results: Results) -> list[CellSummary]:
    """One summary per cell, in the order of `results.cells`."""
    errors: dict[Cell, set[str]] = {}
    for error in results.errors:
        errors.setdefault(error.cell, set()).add(error.sample)
    summaries: dict[Cell, CellSummary] = {}
    for table in sample_tables(results):
        stock = table.columns.get(Cell(table.model, table.dataset))
        for cell, column in table.columns.items():
            summaries[cell] = _summary(
                cell, column, stock, table, results.expected[cell.id], len(errors.get(cell, set()))
            )
    return [summaries[cell] for cell in results.cells]


def summarize_categories(results: Results) -> list[CategorySummary]:
    """Accuracy per category and variant, for scored categories with at least 10 stock samples, sorted by name."""
    summaries: list[CategorySummary] = []
    for table in sample_tables(results):
        stock = table.columns.get(Cell(table.model, table.dataset))
        if stock is None or not table.scored:
            continue
        scores = {cell: column.by_sample(table.n_samples) for cell, column in table.columns.items()}
        before = scores[Cell(table.model, table.dataset)]
        for code in sorted(range(len(table.categories)), key=lambda c: table.categories[c]):
            here = table.category_codes == code
            n_stock = int((here & ~np.isnan(before)).sum())
            if n_stock < MIN_CATEGORY_SAMPLES:
                continue
            variants = tuple(
                _in_category(cell.variant, None if cell.is_stock else before[here], own[here], table.group_codes[here])
                for cell, own in scores.items()
            )
            summaries.append(CategorySummary(table.model, table.dataset, table.categories[code], n_stock, variants))
    return summaries


def _in_category(
    variant: str, before: NDArray[np.float64] | None, own: NDArray[np.float64], groups: NDArray[np.intp]
) -> VariantAccuracy:
    """before: stock's scores [n], own: the variant's, NaN where there are none; None for stock itself."""
    scored = ~np.isnan(own)
    accuracy = float(own[scored].mean()) if scored.any() else None
    versus = None
    if before is not None:
        both = scored & ~np.isnan(before)
        versus = compare_scores(before[both], own[both], groups[both])
    delta, p = (None, None) if versus is None else (versus.difference_pp, versus.p)
    return VariantAccuracy(variant, int(scored.sum()), accuracy, delta, p)


def in_run_order(results: Results) -> list[Measurement]:
    """The measurements sample-major: model and dataset, then sample, then cell; the same however they came in."""
    ordered: list[Measurement] = []
    for table in sample_tables(results):
        keyed = [
            (int(row), rank, measurement)
            for rank, column in enumerate(table.columns.values())
            for row, measurement in zip(column.rows, column.measurements, strict=True)
        ]
        ordered.extend(measurement for _, _, measurement in sorted(keyed, key=lambda entry: entry[:2]))
    return ordered


def _summary(
    cell: Cell, column: Column, stock: Column | None, table: SampleTable, n_expected: int, n_errors: int
) -> CellSummary:
    found = column.measurements
    scored = ~np.isnan(column.scores)
    rows = column.rows[scored]
    accuracy = proportion_interval(column.scores[scored], table.group_codes[rows]) if len(rows) else None
    versus = None if cell.is_stock or stock is None else versus_stock(table, stock, column)
    return CellSummary(
        cell=cell,
        n_expected=n_expected,
        n_measured=len(found),
        n_errors=n_errors,
        n_empty=sum(m.empty for m in found),
        n_unparsed=sum(m.unparsed for m in found),
        by_chance=math.fsum(m.score for m in found if m.unparsed and m.parsed is None and m.score),
        by_default=math.fsum(m.score for m in found if m.unparsed and m.parsed is not None and m.score),
        n_yes=sum(m.parsed is not None and m.parsed.strip().lower() == "yes" for m in found)
        if table.yes_or_no and table.scored
        else None,
        n_truncated=sum(m.generation.truncated for m in found),
        n_beyond_window=sum(m.generation.beyond_window for m in found),
        scored=table.scored,
        n_scored=len(rows),
        accuracy=accuracy,
        versus=versus,
        budget=_budget(column, stock, table.n_samples),
        positions=tuple(sorted({m.generation.positions for m in found})),
        n_cached=sum(m.cached for m in found),
        seconds=float(np.mean([m.generation.seconds for m in found])) if found else None,
    )


def versus_stock(table: SampleTable, stock: Column, column: Column) -> Comparison | None:
    """A column against that of stock, on the samples scored in both."""
    before, after = stock.by_sample(table.n_samples), column.by_sample(table.n_samples)
    both = ~np.isnan(before) & ~np.isnan(after)
    answers = stock.said(both), column.said(both)
    return compare_scores(before[both], after[both], table.group_codes[both], answers, check=True)


def _budget(column: Column, stock: Column | None, n_samples: int) -> Budget | None:
    if not column.measurements:
        return None
    made = [measurement.generation for measurement in column.measurements]
    tokens, asked, kept, kv = np.array([(g.n_tokens, g.n_asked, g.n_kept, g.kv_bytes) for g in made], dtype=np.int64).T
    kv_of_stock = np.zeros(n_samples, dtype=np.int64)  # none where stock was not measured
    if stock is not None:
        kv_of_stock[stock.rows] = [measurement.generation.kv_bytes for measurement in stock.measurements]
    partner = kv_of_stock[column.rows]
    return Budget(
        n_tokens=float(tokens.mean()),
        asked=float(asked.mean()),
        kept=float(kept.mean()),
        kept_min=int(kept.min()),
        kept_max=int(kept.max()),
        n_below=int((kept < asked).sum()),
        n_above=int((kept > asked).sum()),
        kv_bytes=float(kv.mean()),
        kv_paired=int(kv[partner > 0].sum()),
        kv_stock=int(partner.sum()),
    )
