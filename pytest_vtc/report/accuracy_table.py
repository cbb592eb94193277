"""The table of one model on one dataset: a row for each configuration, as many columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_vtc.comparison import Comparison
from pytest_vtc.report.columns import Colour, Column, Paint, broken, marked, tabulated, total_width
from pytest_vtc.report.figures import (
    NOTHING,
    YES,
    p_value,
    percent,
    spread,
    standing_text,
    tenths,
    tokens,
    with_intervals,
    yes_rate,
)
from pytest_vtc.report.rows import Row
from pytest_vtc.results import CellSummary

_MIN_NAME = 12  # names that would get less room than this get the room of the counts
_WHOLE_NAME = 24  # up to here a name is left in one piece, rather than broken for a column that need not be there

_COUNTS: dict[str, Callable[[CellSummary], int]] = {
    "Missing": lambda row: row.n_missing,
    "Empty": lambda row: row.n_empty,
    "Unparsed": lambda row: row.n_unparsed,
    "Truncated": lambda row: row.n_truncated,
}
"""Columns that are shown only if a cell has something to count in them."""

LEGEND: Mapping[str, str] = {
    "vs Stock": "vs Stock: percentage points, over the samples measured in both",
    "[ ]": "[ ]: 95 % intervals, clustered by image; those against stock are paired",
    "Of Stock": "Of Stock: accuracy as a share of stock's, over the same samples",
    "Flips": "Flips: answers gained and lost against stock; ~ wrong in both, but different",
    "Agree": "Agree: answers that are stock's",
    "p (Holm)": "p (Holm): that the row does not differ from stock, corrected like *",
    "Others": "Others: at the same ratio, those that the row is significantly better than (+), worse than (-), and not "
    "told apart from (=); Holm's correction over the pairs of a ratio",
    "Yes": YES,
    "Seeds": "Seeds: the lowest and the highest of several random draws, whose mean is the row, in %",
}
"""What columns mean, by heading, and the brackets within them."""

_ORDER = ("Tokens", "Accuracy", "Seeds", "vs Stock", "Of Stock", "Flips", "Agree", "p (Holm)", "Others")


def accuracy_table(rows: Sequence[Row], width: int, paint: Paint) -> tuple[list[str], set[str]]:
    """The lines of the table, and of what it has the keys in `LEGEND`.

    What has always a column: tokens and, on scored datasets, accuracy, the spread over seeds if there are any, and the
    difference to stock. Counts that do not fit beside these get a table of their own below. Then come, as far as there
    is room, the columns of `_optional`, in that order of priority.
    """
    of_rows = [row.figures for row in rows]
    fixed = Column("Ratio", ["1" if row.ratio is None else f"{row.ratio:g}" for row in rows])
    shown = {column.heading: column for column in _essential(rows)}
    counts = [
        Column(heading, [f"{count(row):,}" for row in of_rows])
        for heading, count in _COUNTS.items()
        if any(count(row) for row in of_rows)
    ]
    says_yes = any(row.n_yes is not None for row in of_rows)
    if says_yes:
        counts.append(Column("Yes", [percent(yes_rate(row.n_yes, row.n_measured)) for row in of_rows]))

    def room(columns: Mapping[str, Column], counted: Sequence[Column]) -> int:
        return width - total_width([Column("", [""]), fixed, *columns.values(), *counted])

    fits = room(shown, counts) >= _MIN_NAME
    beside = counts if fits else []
    whole = min(_WHOLE_NAME, max(len(name) for name in ("Compressor", *(row.name for row in rows))))
    for column in _optional(rows):
        if room(wider := {**shown, column.heading: column}, beside) >= whole:
            shown = wider
    names = Column("Compressor", [broken(row.name, max(_MIN_NAME, room(shown, beside))) for row in rows])
    lines = tabulated([names, fixed, *(shown[heading] for heading in _ORDER if heading in shown), *beside], paint)
    if not fits:
        counted = [i for i, row in enumerate(of_rows) if says_yes or any(count(row) for count in _COUNTS.values())]
        lines += ["", *tabulated([column.only(counted) for column in (names, fixed, *counts)])]
    brackets = {"[ ]"} if any("]" in cell for column in shown.values() for cell in column.cells) else set[str]()
    return lines, {*shown, *brackets, *(column.heading for column in counts)} & {*LEGEND}


def _essential(rows: Sequence[Row]) -> Iterator[Column]:
    yield Column("Tokens", [_tokens(row.figures) for row in rows])
    if not rows[0].figures.scored:
        return
    yield Column("Accuracy", _accuracies(rows))
    if any(row.by_seed for row in rows):
        yield Column("Seeds", [spread(row.by_seed) for row in rows])
    if any(row.compressor is not None for row in rows):
        deltas = [row.figures.delta_pp for row in rows]
        points = [NOTHING if delta is None else tenths(delta.estimate, signed=True) for delta in deltas]
        points = marked(points, [row.differs for row in rows])
        yield Column("vs Stock", with_intervals(points, deltas), [_tint(row) for row in rows])


def _optional(rows: Sequence[Row]) -> Iterator[Column]:
    """The most wanted first. A column with the heading of one that is there already takes its place."""
    compared = [row.figures.versus for row in rows]
    if not rows[0].figures.scored:
        return
    accuracies = [row.figures.accuracy for row in rows]
    if any(accuracy is not None and accuracy.low is not None for accuracy in accuracies):
        percents = [None if accuracy is None else accuracy.scaled(100) for accuracy in accuracies]
        yield Column("Accuracy", with_intervals(_accuracies(rows), percents))
    if not any(compared):
        return
    shares = [None if versus is None else versus.share for versus in compared]
    estimates = [percent(None if share is None else share.estimate) for share in shares]
    yield Column("Of Stock", estimates)
    if any(versus is not None and versus.flips is not None for versus in compared):
        yield Column("Flips", [_flips(versus) for versus in compared])
        yield Column("Agree", [percent(None if versus is None else versus.agreement) for versus in compared])
    if any(row.figures.p_holm is not None for row in rows):
        yield Column("p (Holm)", [p_value(row.figures.p_holm) for row in rows])
    if any(row.standing for row in rows):
        yield Column("Others", [standing_text(row.standing) for row in rows])
    if any(share is not None and share.low is not None for share in shares):
        percents = [None if share is None else share.scaled(100) for share in shares]
        yield Column("Of Stock", with_intervals(estimates, percents))


def _accuracies(rows: Sequence[Row]) -> list[str]:
    accuracies = [row.figures.accuracy for row in rows]
    return [percent(None if accuracy is None else accuracy.estimate) for accuracy in accuracies]


def _tokens(row: CellSummary) -> str:
    budget = row.budget
    return NOTHING if budget is None else tokens(budget.n_tokens, budget.kept, row.cell.is_stock)


def _flips(versus: Comparison | None) -> str:
    if versus is None or versus.flips is None:
        return NOTHING
    return f"+{versus.flips.gained} -{versus.flips.lost} ~{versus.flips.wrong_otherwise}"


def _tint(row: Row) -> Colour | None:
    """Red or green where a row differs from stock: what is coloured is what is marked."""
    if not row.differs or row.figures.delta_pp is None:
        return None
    return "red" if row.figures.delta_pp.estimate < 0 else "green"
