"""Holds gates against what a run found: one verdict for each gate, row of the tables, category and limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from pytest_vtc.analysis import Analysis
from pytest_vtc.cells import Cell
from pytest_vtc.comparison import Comparison, compare_scores
from pytest_vtc.gates import Condition, Gate, Limit, Rule, Verdict, quoted
from pytest_vtc.power import samples_needed
from pytest_vtc.results import MIN_CATEGORY_SAMPLES, CellSummary, Results
from pytest_vtc.sample_tables import SampleTable, sample_tables
from pytest_vtc.score_intervals import PairedShares
from pytest_vtc.statistics import Interval, proportion_interval

_ROUNDING = 1e-9  # a drop of 5 in 200 samples is 2.5000000000000004 points
_RANGES = {"max_drop": (-100.0, 100.0), "min_accuracy": (0.0, 100.0), "min_retained": (0.0, float("inf"))}


def evaluate(
    gates: Sequence[Gate], results: Results, analysis: Analysis, samples: Mapping[str, int], shard: str | None = None
) -> list[Verdict]:
    """One verdict per gate, matching row, category and limit, in that order; a limit met twice is judged once.

    A row is what the tables show in one: a cell, or all seeds of a compressor that is measured with several, under the
    name that was asked for. A pattern that does not fit that name may fit some of its cells, such as
    `random(seed=1)@0.5`, each of which is then judged by itself.

    analysis: of `results`. samples: cell id -> samples of the sweep; a cell of which fewer were selected is not judged.
    shard: the part of a run that this is; nothing of it is judged, and nothing of an interrupted run.
    """
    rows = _rows(results)
    several = len({(row.cell.model, row.cell.dataset) for row in rows}) > 1
    findings = _Findings(results, analysis, samples, shard)
    verdicts: dict[str, Verdict] = {}
    for gate in gates:
        for row in _matching(gate, rows):
            name = row.cell.id if several else row.cell.variant
            for verdict in _judge(gate, row, name, findings):
                verdicts.setdefault(verdict.name, verdict)
    return list(verdicts.values())


def decide(interval: Interval, limit: float, is_upper: bool, rule: Rule) -> Literal["pass", "fail", "inconclusive"]:
    """Pass where the whole interval keeps the limit, fail where all of it breaks it; what equals the limit keeps it.

    is_upper: figures may be at most the limit, otherwise at least. rule: `point` looks at the estimate alone.
    An interval without ends could be anywhere.
    """
    low, high = (interval.estimate, interval.estimate) if rule == "point" else (interval.low, interval.high)
    if low is None or high is None:
        return "inconclusive"
    best, worst = (low - limit, high - limit) if is_upper else (limit - high, limit - low)
    return "pass" if worst <= _ROUNDING else "fail" if best > _ROUNDING else "inconclusive"


# What is judged


@dataclass(frozen=True)
class _Row:
    """What one name stands for. cells: the cell itself, or those that differ in the seed alone.

    n_seeds: how many such cells the whole run has; 1 for a plain cell. skipped: why it is not run, if it is not.
    """

    cell: Cell
    cells: tuple[Cell, ...]
    n_seeds: int = 1
    skipped: str | None = None


def _rows(results: Results) -> list[_Row]:
    """Every cell but stock, all seeds of one being one row in the place of the first; skipped ones last."""
    groups = {spec: about["seed_group"] for spec, about in results.manifest["compressors"].items()}
    n_seeds = {group: sum(other == group for other in groups.values()) for group in groups.values()}
    reasons = {item.cell: item.reason for item in results.skipped}
    rows: dict[tuple[Cell, bool], _Row] = {}
    for cell in (*results.cells, *reasons):
        if cell.is_stock:
            continue
        group = groups.get(str(cell.compressor))
        named = cell if group is None else replace(cell, compressor=group)
        row = rows.get((named, group is not None), _Row(named, (), n_seeds.get(group, 1) if group else 1))
        rows[named, group is not None] = replace(row, cells=(*row.cells, cell), skipped=reasons.get(cell))
    return list(rows.values())


def _matching(gate: Gate, rows: Sequence[_Row]) -> Iterator[_Row]:
    for row in rows:
        if gate.matches(row.cell):
            yield row
        elif row.n_seeds > 1:
            yield from (_Row(cell, (cell,), 1, row.skipped) for cell in row.cells if gate.matches(cell))


@dataclass(frozen=True)
class _Figures:
    """What limits are held against. n: samples that have a score; n_measured: all of them.

    available: about how many samples of this kind the whole dataset has.
    """

    n: int
    accuracy: Interval | None
    versus: Comparison | None
    n_measured: int
    kv_bytes: float | None
    available: int


class _Findings:
    """The figures of a run, by row and category."""

    def __init__(self, results: Results, analysis: Analysis, samples: Mapping[str, int], shard: str | None) -> None:
        self.results, self.shard = results, shard
        self._samples = samples
        self._summaries = {summary.cell: summary for summary in analysis.cells}
        self._groups = {(g.model, g.dataset, g.compressor, g.ratio): g for g in analysis.seed_groups}

    @cached_property
    def _tables(self) -> dict[tuple[str, str], SampleTable]:
        return {(table.model, table.dataset): table for table in sample_tables(self.results)}

    def obstacle(self, row: _Row) -> str | None:
        """Why nothing of a row is judged, if so."""
        if row.skipped is not None:
            return f"not run: {row.skipped}"
        if self.shard is not None:
            return f"this is shard {self.shard}: merge the shards first"
        if self.results.interrupted:
            return "the run was interrupted"
        found = self._of(row)
        n_expected = sum(summary.n_expected for summary in found)
        n_samples = row.n_seeds * self._samples[row.cells[0].id]
        if n_expected < n_samples:
            seeds = f" with {row.n_seeds} seeds" if row.n_seeds > 1 else ""
            return f"only {n_expected:,} of its {n_samples:,} cases{seeds} were selected"
        if n_missing := sum(summary.n_missing for summary in found):
            n_errors = sum(summary.n_errors for summary in found)
            failed = f", {n_errors:,} of them failed with an error" if n_errors else ""
            return f"{n_missing:,} of {n_expected:,} cases are missing{failed}"
        return None

    def whole(self, row: _Row) -> _Figures:
        """On all of the dataset."""
        found = self._of(row)
        size = self.results.manifest["datasets"][row.cell.dataset]["size"]
        n_measured, kv_bytes = found[0].n_measured, _mean_kv_bytes(found)
        if row.n_seeds == 1:
            return _Figures(found[0].n_scored, found[0].accuracy, found[0].versus, n_measured, kv_bytes, size)
        group = self._groups.get((row.cell.model, row.cell.dataset, str(row.cell.compressor), row.cell.ratio or 1.0))
        if group is None:  # a dataset without answers
            return _Figures(0, None, None, n_measured, kv_bytes, size)
        return _Figures(group.n_samples, group.accuracy, group.versus, n_measured, kv_bytes, size)

    def categories(self, row: _Row) -> list[str]:
        """Those of the samples in the row's dataset, sorted."""
        return sorted(self._tables[row.cell.model, row.cell.dataset].categories)

    def within(self, row: _Row, category: str) -> _Figures:
        """On the samples of one category."""
        table = self._tables[row.cell.model, row.cell.dataset]
        here = table.category_codes == table.categories.index(category)
        columns = [table.columns[cell] for cell in row.cells]
        own = np.mean([column.by_sample(table.n_samples) for column in columns], axis=0)
        stock = table.columns.get(row.cell.stock)
        before = np.full(table.n_samples, np.nan) if stock is None else stock.by_sample(table.n_samples)
        scored = here & ~np.isnan(own)
        paired = scored & ~np.isnan(before)
        kv_bytes = [
            m.generation.kv_bytes
            for c in columns
            for m, sample in zip(c.measurements, c.rows, strict=True)
            if here[sample]
        ]
        n, about = int(scored.sum()), self.results.manifest["datasets"][row.cell.dataset]
        return _Figures(
            n=n,
            accuracy=proportion_interval(own[scored], table.group_codes[scored]) if n else None,
            versus=compare_scores(before[paired], own[paired], table.group_codes[paired]),
            n_measured=int(here.sum()),
            kv_bytes=sum(kv_bytes) / len(kv_bytes) if kv_bytes else None,
            available=round(about["size"] * n / about["n"]) if about["n"] else n,
        )

    def _of(self, row: _Row) -> list[CellSummary]:
        return [self._summaries[cell] for cell in row.cells]


def _mean_kv_bytes(summaries: Sequence[CellSummary]) -> float | None:
    found = [(s.n_measured, s.budget.kv_bytes) for s in summaries if s.budget is not None]
    return sum(n * kv_bytes for n, kv_bytes in found) / sum(n for n, _ in found) if found else None


# Judging


def _judge(gate: Gate, row: _Row, name: str, findings: _Findings) -> Iterator[Verdict]:
    obstacle = findings.obstacle(row)
    categories: list[str | None] = [None]
    if gate.category is not None and obstacle is None:
        known = findings.categories(row)
        categories = [category for category in known if gate.takes(category)]
        if not categories:
            shown = ", ".join(quoted(category) for category in known[:5]) + (", ..." if len(known) > 5 else "")
            obstacle = f"no category of {row.cell.dataset} is called {quoted(gate.category)}; it has {shown}"
    if obstacle is not None:
        for limit in gate.limits:
            called = _name(name, gate, limit, gate.category)
            yield Verdict(called, row.cell, "not judged", obstacle, *_about(gate, limit, gate.category))
        return
    for category in categories:
        figures = findings.whole(row) if category is None else findings.within(row, category)
        for limit in gate.limits:
            blank = Verdict(
                _name(name, gate, limit, category), row.cell, "not judged", "", *_about(gate, limit, category)
            )
            verdict = _verdict(blank, limit, figures)
            seeds = f"mean of {row.n_seeds} seeds: " if row.n_seeds > 1 and verdict.estimate is not None else ""
            yield replace(verdict, reason=seeds + verdict.reason)


def _name(name: str, gate: Gate, limit: Limit, category: str | None) -> str:
    of = "" if category is None else f" category={quoted(category)}"
    return f"{name}{of} {limit}{' rule=point' if gate.rule == 'point' else ''}"


def _about(gate: Gate, limit: Limit, category: str | None) -> tuple[str, float, str | None, Rule]:
    return limit.condition, limit.value, category, gate.rule


def _verdict(blank: Verdict, limit: Limit, figures: _Figures) -> Verdict:
    """blank: the verdict without what is found here."""
    figure = _figure(limit.condition, figures, blank)
    if isinstance(figure, str):
        return replace(blank, reason=figure)
    exact = limit.condition == "max_kv_bytes"  # counted, not estimated: nothing to be unsure of
    n = figures.n_measured if exact else figures.n
    blank = replace(blank, estimate=figure.estimate, low=figure.low, high=figure.high, n=n)
    said, asked = _said(limit, figure)
    samples = f"{n:,} sample{'' if n == 1 else 's'}"
    rule = "point" if exact else blank.rule
    if rule == "point":
        outcome = decide(figure, limit.value, limit.is_upper, "point")
        alone = "" if exact else "; judged by the estimate alone"
        return replace(blank, outcome=outcome, reason=f"{said} on {samples}, {asked}{alone}")
    # Without an interval the figure may be anything that such a figure can be.
    lowest, highest = _RANGES[limit.condition]
    widest = Interval(
        figure.estimate, lowest if figure.low is None else figure.low, highest if figure.high is None else figure.high
    )
    outcome = decide(widest, limit.value, limit.is_upper, "interval")
    least = MIN_CATEGORY_SAMPLES if blank.category is not None else 0
    if outcome != "inconclusive" and n >= least:
        return replace(blank, outcome=outcome, reason=f"{said} on {samples}, {asked}")
    if outcome != "inconclusive":
        outcome, needed, why = "inconclusive", least, f"a category is judged from {least} samples on"
    else:
        needed, why = _way_out(figure, limit.value, n, figures.available, least, _variance(limit.condition, figures))
    return replace(blank, outcome=outcome, reason=f"{said} on {samples}, {asked}: {why}", n_needed=needed)


def _figure(condition: Condition, figures: _Figures, about: Verdict) -> Interval | str:
    """The figure in the unit of its limit, or why there is none."""
    if condition == "max_kv_bytes":
        return "nothing was measured" if figures.kv_bytes is None else Interval(figures.kv_bytes, None, None)
    where = f"dataset {about.cell.dataset}" if about.category is None else f"category {quoted(about.category)}"
    if figures.accuracy is None:
        return f"{where} has no answers to score by"
    if condition == "min_accuracy":
        return figures.accuracy.scaled(100)
    versus = figures.versus
    if versus is None or versus.n < figures.n:
        lacking = figures.n - (0 if versus is None else versus.n)
        return f"{lacking:,} of its {figures.n:,} samples have no stock measurement"
    if condition == "max_drop":
        change = versus.difference_pp
        low, high = (None if end is None else -end for end in (change.high, change.low))
        return Interval(-change.estimate, low, high)
    return "stock has no right answer: there is no share of it" if versus.share is None else versus.share


def changes_variance(versus: Comparison | None) -> Callable[[float], float] | None:
    """Variance of one pair's difference if its mean were so many percentage points; None where flips are not known."""
    if versus is None or versus.flips is None:
        return None
    shares = PairedShares(0.0, versus.flips.gained / versus.n, versus.flips.lost / versus.n)
    return lambda points: shares.variance_at_difference(points / 100)


def _variance(condition: Condition, figures: _Figures) -> Callable[[float], float] | None:
    """Of one sample, by the value of what is limited, in the unit of the limit."""
    versus = figures.versus
    if condition == "min_accuracy":
        return lambda percent: percent * (100 - percent)
    of_change = changes_variance(versus)
    if condition == "max_drop" and of_change is not None:
        return lambda drop: of_change(-drop)
    if condition == "min_retained" and versus is not None and versus.flips is not None and figures.accuracy is not None:
        gained, lost = versus.flips.gained / versus.n, versus.flips.lost / versus.n
        return PairedShares(max(0.0, figures.accuracy.estimate - gained), gained, lost).variance_at_ratio
    return None


def _way_out(
    figure: Interval, limit: float, n: int, available: int, least: int, variance: Callable[[float], float] | None
) -> tuple[int | None, str]:
    """How many samples would decide, `least` at the least, and that in words."""
    if figure.low is None or figure.high is None:
        return None, "all on one image, which gives no interval"
    end = figure.high if figure.estimate < limit else figure.low
    on_margin = abs(figure.estimate - limit) <= _ROUNDING
    needed = None if on_margin else samples_needed(figure.estimate, end, limit, n, variance)
    if needed is None:
        return None, "the estimate lies on the margin, where no number of samples decides"
    # More than there are in any case: the interval of those did not decide.
    needed = max(needed, least, n + 1)
    # To two digits: the number rests on estimates.
    about = _two_digits(needed)
    would = f"about {about:,} samples ({_two_digits(about - n):,} more) would decide"
    if needed <= available:
        return needed, would
    return needed, f"{would}, but there are {f'only {available:,}' if available > n else 'no more'}"


def _two_digits(count: int) -> int:
    """Rounded up to a number with two digits that are not 0."""
    step: int = 10 ** max(0, len(str(abs(count))) - 2)
    return -(-count // step) * step


# Words


def _said(limit: Limit, figure: Interval) -> tuple[str, str]:
    """The figure with its interval, and what was asked of it."""
    if limit.condition == "max_kv_bytes":
        unit, size = next(((u, s) for u, s in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if limit.value >= s), ("B", 1.0))
        (mean,), asked = _numbers([figure.estimate / size], limit.value / size, 2), f"{limit.value / size:g}"
        return f"KV cache {mean} {unit} a sample", f"at most {asked} {unit} allowed"
    if limit.condition == "max_drop" and figure.estimate <= _ROUNDING:
        # A gain as a gain, its interval too; the limit stays one on a drop.
        ends = (figure.low, figure.high)
        low, high = (None if end is None else 0.0 - end for end in reversed(ends))
        said, shown = _with_ends(Interval(0.0 - figure.estimate, low, high), -limit.value)
        words = f"{said} pp above stock" if figure.estimate < -_ROUNDING else "equal to stock"
        return words + shown, f"a drop of at most {limit.value:g} allowed"
    if limit.condition == "max_drop":
        said, shown = _with_ends(figure, limit.value)
        return f"drop {said} pp{shown}", f"at most {limit.value:g} allowed"
    if limit.condition == "min_accuracy":
        said, shown = _with_ends(figure, limit.value)
        return f"accuracy {said} %{shown}", f"at least {limit.value:g} asked"
    said, shown = _with_ends(figure.scaled(100), limit.value * 100)
    return f"{said} % of stock's accuracy{shown}", f"at least {limit.value * 100:g} asked"


def _with_ends(figure: Interval, limit: float) -> tuple[str, str]:
    """The estimate, and ` [low, high]` or nothing."""
    if figure.low is None or figure.high is None:
        return _numbers([figure.estimate], limit)[0], ""
    estimate, low, high = _numbers([figure.estimate, figure.low, figure.high], limit)
    return estimate, f" [{low}, {high}]"


def _numbers(values: Sequence[float], limit: float, digits: int = 1) -> list[str]:
    """With so many digits behind the point, or as many as tell them from a limit that they are not."""
    while digits < 6 and any(round(v, digits) == round(limit, digits) and abs(v - limit) > _ROUNDING for v in values):
        digits += 1
    return [f"{round(value, digits) or 0.0:.{digits}f}" for value in values]
