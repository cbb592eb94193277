"""The tables at the end of a run, as lines of text for a terminal of a given width."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pytest_vtc.analysis import Analysis
from pytest_vtc.cells import MEANINGLESS, Cell
from pytest_vtc.gates import Outcome, Verdict
from pytest_vtc.report.columns import (
    Colour,
    Column,
    Paint,
    broken,
    chunks,
    clipped,
    painter,
    tabulated,
    total_width,
)
from pytest_vtc.report.rows import Row, rows_of
from pytest_vtc.results import (
    MIN_CATEGORY_SAMPLES,
    CategorySummary,
    CellSummary,
    Results,
    in_run_order,
)
from pytest_vtc.seed_groups import SeedGroup
from pytest_vtc.statistics import Interval

_MIN_NAME = 12  # names that would get less room than this get the room of the counts
_CATEGORY_NAME = 24
_HEADING = 11  # longer names break where they head a column of accuracies
_ANSWERED_SAMPLES = 3

_COUNTS: dict[str, Callable[[CellSummary], int]] = {
    "Missing": lambda row: row.n_missing,
    "Empty": lambda row: row.n_empty,
    "Unparsed": lambda row: row.n_unparsed,
    "Truncated": lambda row: row.n_truncated,
}
"""Columns that are shown only if a cell has something to count in them."""

_OUTCOMES: dict[Outcome, tuple[str, Colour]] = {
    "pass": ("PASS", "green"),
    "fail": ("FAIL", "red"),
    "inconclusive": ("INCONCLUSIVE", "yellow"),
    "not judged": ("NOT JUDGED", "yellow"),
}


def render(
    results: Results,
    analysis: Analysis,
    verdicts: Sequence[Verdict],
    files: Sequence[Path],
    width: int,
    colour: bool,
) -> list[str]:
    """Everything a run has to say at its end, one string per line, none ending in blanks.

    Per model and dataset: a heading, one row per configuration (stock first, then the largest ratio first, compressors
    in the order given, all seeds of one in one row), and accuracy per category; for a dataset without answers the first
    answers instead. Then the
    gates, where the `files` are and how to see more. Lines fit `width` columns (80 or more), paths excepted.
    """
    paint = painter(colour)
    summaries, categories, groups = analysis.cells, analysis.categories, analysis.seed_groups
    lines: list[str] = []
    if results.interrupted:
        way_on = (
            "Incomplete: run what is missing or was interrupted again, and merge again."
            if results.manifest["run"]["merged"]
            else "Interrupted: the same command goes on where this run stopped."
        )
        lines += [paint(way_on, "yellow"), ""]
    cells = [*(summary.cell for summary in summaries), *(item.cell for item in results.skipped)]
    for model, dataset in dict.fromkeys((cell.model, cell.dataset) for cell in cells):
        here = [s for s in summaries if (s.cell.model, s.cell.dataset) == (model, dataset)]
        rows = rows_of(here, groups)
        if rows:
            lines += [*(paint(line, "bold") for line in _heading(results, here, width)), ""]
            lines += [*_table(rows, width, paint), ""]
        else:
            lines += [paint(clipped(f"{model} on {dataset}", width), "bold"), ""]
        notes = [
            *_substitutes(results, model, [row for row in rows if row.compressor is not None]),
            *_beyond_window(results, model, dataset),
            *_not_run(results, model, dataset),
        ]
        lines += [*(line for note in notes for line in textwrap.wrap(note, width)), *([""] if notes else [])]
        if rows and not here[0].scored:
            lines += _answers(results, [cell for row in rows for cell in row.cells], width)
        own = [c for c in categories if (c.model, c.dataset) == (model, dataset)]
        if own:
            lines += _category_tables(own, rows, width)
    if any(s.delta_pp is not None and s.delta_pp.low is not None for s in summaries):
        lines += ["pp: percentage points, over the samples measured in both", _LEGEND]
    if groups:
        lines += textwrap.wrap(_seeds_legend(groups), width)
    if verdicts:
        lines += ["", paint("Gates", "bold"), *(line for v in verdicts for line in _verdict(v, width, paint))]
    if files:
        lines += ["", *(f"Written: {path}" for path in files)]
        lines.append("More: samples.jsonl has every answer; -v shows each case; --help lists options.")
    return [line.rstrip() for line in lines]


_LEGEND = "95 % intervals: paired, clustered by image"


def _seeds_legend(groups: Sequence[SeedGroup]) -> str:
    names = " and ".join(dict.fromkeys(f"{group.compressor} {group.note}" for group in groups))
    return f"{names}: the mean of so many random draws; Seeds: the lowest and the highest of them, in %"


def _heading(results: Results, rows: Sequence[CellSummary], width: int) -> list[str]:
    cell = rows[0].cell
    about = results.manifest["datasets"][cell.dataset]
    rule = "not scored" if about["scoring"] == "none" else f"scored by {about['scoring']}"
    if results.manifest["settings"].get("answers") == "letters":
        rule += ", answered by letter probabilities"
    n = max(row.n_expected for row in rows)
    heading = textwrap.wrap(
        f"{cell.model} on {cell.dataset}: {n:,} of {about['size']:,} samples, seed {results.manifest['seed']}, {rule}",
        width,
    )
    return [*heading, *([MEANINGLESS] if results.manifest["models"][cell.model]["random_weights"] else [])]


def _table(rows: Sequence[Row], width: int, paint: Paint) -> list[str]:
    """One row per configuration; counts that do not fit beside it get a table of their own below."""
    of_rows = [row.figures for row in rows]
    ratios = Column("Ratio", ["1" if row.ratio is None else f"{row.ratio:g}" for row in rows])
    figures = [Column("Tokens", [_tokens(row) for row in of_rows])]
    if of_rows[0].scored:
        figures.append(Column("Accuracy", [_percent(row.accuracy) for row in of_rows]))
        if any(row.by_seed for row in rows):
            figures.append(Column("Seeds", [_range(row.by_seed) for row in rows]))
        figures.append(Column("vs Stock", _differences(of_rows), [_tint(row) for row in of_rows]))
    counts = [
        Column(heading, [f"{count(row):,}" for row in of_rows])
        for heading, count in _COUNTS.items()
        if any(count(row) for row in of_rows)
    ]

    def room_beside(*columns: Column) -> int:
        return width - total_width([Column("", [""]), *columns])

    fits = room_beside(ratios, *figures, *counts) >= _MIN_NAME
    beside = [*figures, *counts] if fits else figures
    room = max(_MIN_NAME, room_beside(ratios, *beside))
    names = Column("Compressor", [broken(row.name, room) for row in rows])
    lines = tabulated([names, ratios, *beside], paint)
    if not fits:
        counted = [i for i, row in enumerate(of_rows) if any(count(row) for count in _COUNTS.values())]
        lines += ["", *tabulated([column.only(counted) for column in (names, ratios, *counts)])]
    return lines


def _substitutes(results: Results, model: str, rows: Sequence[Row]) -> list[str]:
    """A note for each sentence on what compressors do for want of what the model lacks."""
    said = results.manifest["models"][model]["substitutes"] if rows else {}
    names: dict[str, list[str]] = {}
    for row in rows:
        for sentence in said.get(str(row.cells[0].compressor), {}).values():
            names.setdefault(sentence, []).append(str(row.compressor))
    return [f"{', '.join(dict.fromkeys(found))} on {model}: {sentence}" for sentence, found in names.items()]


def _beyond_window(results: Results, model: str, dataset: str) -> list[str]:
    """A note on samples for which cells differ in more than the tokens that were dropped."""
    samples: dict[str, bool] = {}
    for m in results.measurements:
        if (m.cell.model, m.cell.dataset) == (model, dataset):
            samples[m.sample] = samples.get(m.sample, False) or m.generation.beyond_window
    n = sum(samples.values())
    if not n:
        return []
    window = results.manifest["models"][model]["sliding_window"]
    return [
        f"{n:,} of {len(samples):,} samples {'is' if n == 1 else 'are'}, uncompressed, longer than the model's sliding "
        f"window of {window:,} tokens: with fewer vision tokens their text sees further back than in stock."
    ]


def _not_run(results: Results, model: str, dataset: str) -> list[str]:
    """A note for each reason on the cells that the model cannot run."""
    variants: dict[str, list[str]] = {}
    for item in results.skipped:
        if (item.cell.model, item.cell.dataset) == (model, dataset):
            variants.setdefault(item.reason, []).append(item.cell.variant)
    return [f"Not run: {', '.join(names)}: {reason}" for reason, names in variants.items()]


def _category_tables(categories: Sequence[CategorySummary], rows: Sequence[Row], width: int) -> list[str]:
    """One row per category and one column per variant, in as many tables as the width asks for, each with stock.

    Of a compressor with several seeds their mean.
    """
    accuracies = [{v.variant: v.accuracy for v in category.variants} for category in categories]

    def column(row: Row) -> Column:
        about = [broken(row.compressor or "stock", _HEADING), row.note, "" if row.ratio is None else f"@{row.ratio:g}"]
        values = (row.mean(of_category) for of_category in accuracies)
        return Column(
            "\n".join(part for part in about if part),
            ["--" if value is None else f"{100 * value:.1f}" for value in values],
        )

    fixed = [
        Column("Category", [broken(category.category or "(none)", _CATEGORY_NAME) for category in categories]),
        Column("n", [f"{category.n:,}" for category in categories]),
        *(column(row) for row in rows if row.compressor is None),
    ]
    lines = [f"Accuracy in % by category, of those with at least {MIN_CATEGORY_SAMPLES} samples", ""]
    for chunk in chunks([column(row) for row in rows if row.compressor is not None], width - total_width(fixed)):
        lines += [*tabulated([*fixed, *chunk]), ""]
    return lines


def _answers(results: Results, cells: Sequence[Cell], width: int) -> list[str]:
    """The first samples with the answer of every cell."""
    answers: dict[str, dict[Cell, str]] = {}
    for measurement in in_run_order(results):
        if (measurement.cell.model, measurement.cell.dataset) != (cells[0].model, cells[0].dataset):
            continue
        if measurement.sample not in answers and len(answers) == _ANSWERED_SAMPLES:
            break
        answers.setdefault(measurement.sample, {})[measurement.cell] = measurement.generation.answer
    label = min(width // 2, max(len(cell.variant) for cell in cells))
    lines: list[str] = []
    for sample, by_cell in answers.items():
        lines.append(clipped(f"Sample {sample}", width))
        for cell in cells:
            if cell in by_cell:
                start = f"  {clipped(cell.variant, label).ljust(label)}  "
                lines.append(start + (clipped(by_cell[cell], width - len(start)) or "(empty)"))
        lines.append("")
    return lines


def _verdict(verdict: Verdict, width: int, paint: Paint) -> list[str]:
    word, colour = _OUTCOMES[verdict.outcome]
    first, *rest = textwrap.wrap(f"{word}  {verdict.name}: {verdict.reason}", width, subsequent_indent="      ")
    return [paint(word, colour) + first[len(word) :], *rest]


def _tokens(row: CellSummary) -> str:
    """`64->32`: of how many tokens how many were really kept; means over the samples."""
    if row.budget is None:
        return "--"
    whole = _mean(row.budget.n_tokens)
    return whole if row.cell.is_stock else f"{whole}->{_mean(row.budget.kept)}"


def _mean(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _percent(accuracy: Interval | None) -> str:
    return "--" if accuracy is None else f"{100 * accuracy.estimate:.1f}%"


def _range(accuracies: Sequence[float]) -> str:
    return f"{100 * min(accuracies):.1f}..{100 * max(accuracies):.1f}" if accuracies else ""


def _differences(rows: Sequence[CellSummary]) -> list[str]:
    """`-1.6pp [-3.0, -0.2]`, the ends padded so that a right-aligned column lines up."""
    deltas = [row.delta_pp for row in rows]
    ends = [end for delta in deltas if delta for end in (delta.low, delta.high) if end is not None]
    pad = max((len(_tenths(end)) for end in ends), default=0)

    def shown(delta: Interval | None) -> str:
        if delta is None:
            return "--"
        estimate = f"{_tenths(delta.estimate, '+')}pp"
        if delta.low is None or delta.high is None:
            return estimate
        return f"{estimate} [{_tenths(delta.low).rjust(pad)}, {_tenths(delta.high).rjust(pad)}]"

    return [shown(delta) for delta in deltas]


def _tenths(value: float, sign: Literal["+", "-"] = "-") -> str:
    # `or` turns the -0.0 of a small loss into 0.0.
    return f"{round(value, 1) or 0.0:{sign}.1f}"


def _tint(row: CellSummary) -> Colour | None:
    """Red or green where the whole interval lies on one side of stock."""
    if row.delta_pp is None or row.delta_pp.low is None or row.delta_pp.high is None:
        return None
    return "red" if row.delta_pp.high < 0 else "green" if row.delta_pp.low > 0 else None
