"""Accuracy by category: categories as rows or as columns, whichever takes fewer tables and then fewer lines."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from pytest_vtc.report.columns import Column, broken, chunks, marked, tabulated, total_width
from pytest_vtc.report.figures import MARK, NOTHING
from pytest_vtc.report.rows import Row
from pytest_vtc.results import MIN_CATEGORY_SAMPLES, CategorySummary, VariantAccuracy
from pytest_vtc.standings import SIGNIFICANT

_CATEGORY_NAME = 24
_HEADING = 11  # longer names break where they head a column of accuracies
_NARROW_HEADING = 8
_DECIMALS_FROM = 100  # samples: with fewer, the next accuracy that there can be is more than a point away


def category_tables(categories: Sequence[CategorySummary], rows: Sequence[Row], width: int) -> list[str]:
    """The lines of all tables of one model and dataset; nothing where they would say what the main table says.

    That is where all samples are of one category. Of a compressor with several seeds the mean over them is shown, which
    is marked where each of them is.
    """
    n_scored = max((row.figures.n_scored for row in rows if row.compressor is None), default=0)
    if not categories or (len(categories) == 1 and categories[0].n == n_scored):
        return []
    figures = _Figures(categories, rows)
    tables = min(
        (_categories_down(figures, width), _categories_across(figures, width)),
        key=lambda found: (len(found), sum(map(len, found))),
    )
    heading = f"Accuracy in % by category, of those with at least {MIN_CATEGORY_SAMPLES} samples; exploratory"
    if figures.any_marked:
        heading += (
            f": {MARK} differs from stock, q < {SIGNIFICANT:g} (Benjamini-Hochberg over all categories and rows of "
            "the run)"
        )
    return [*textwrap.wrap(heading, width), "", *(line for table in tables for line in (*table, ""))]


class _Figures:
    """Accuracy and mark of each row on each category."""

    def __init__(self, categories: Sequence[CategorySummary], rows: Sequence[Row]) -> None:
        self.categories, self.rows = categories, rows
        self._variants = [{v.variant: v for v in category.variants} for category in categories]
        self._places = 1 if any(category.n >= _DECIMALS_FROM for category in categories) else 0
        self.any_marked = any(self.is_marked(row, i) for row in rows for i in range(len(categories)))

    def _own(self, row: Row, category: int) -> list[VariantAccuracy]:
        found = self._variants[category]
        return [found[cell.variant] for cell in row.cells if cell.variant in found]

    def text(self, row: Row, category: int) -> str:
        value = row.mean({v.variant: v.accuracy for v in self._own(row, category)})
        return NOTHING if value is None else f"{100 * value:.{self._places}f}"

    def is_marked(self, row: Row, category: int) -> bool:
        own = self._own(row, category)
        return bool(own) and all(v.q is not None and v.q < SIGNIFICANT for v in own)


def _categories_down(figures: _Figures, width: int) -> list[list[str]]:
    """Tables with one row per category, one column per row of the main table, and stock in each."""

    def column(row: Row) -> Column:
        about = [broken(row.compressor or "stock", _HEADING), row.note, "" if row.ratio is None else f"@{row.ratio:g}"]
        every = range(len(figures.categories))
        cells = marked([figures.text(row, i) for i in every], [figures.is_marked(row, i) for i in every])
        return Column("\n".join(part for part in about if part), cells)

    fixed = [
        Column("Category", [broken(_named(category), _CATEGORY_NAME) for category in figures.categories]),
        Column("n", [f"{category.n:,}" for category in figures.categories]),
        *(column(row) for row in figures.rows if row.compressor is None),
    ]
    others = [column(row) for row in figures.rows if row.compressor is not None]
    return [tabulated([*fixed, *chunk]) for chunk in chunks(others, width - total_width(fixed))]


def _categories_across(figures: _Figures, width: int) -> list[list[str]]:
    """Tables with the rows of the main table and one column per category."""
    fixed = [
        Column("Compressor", [broken(row.name, _CATEGORY_NAME) for row in figures.rows]),
        Column("Ratio", ["1" if row.ratio is None else f"{row.ratio:g}" for row in figures.rows]),
    ]
    columns = [
        Column(
            f"{broken(_named(category), _NARROW_HEADING)}\nn={category.n:,}",
            marked([figures.text(row, i) for row in figures.rows], [figures.is_marked(row, i) for row in figures.rows]),
        )
        for i, category in enumerate(figures.categories)
    ]
    return [tabulated([*fixed, *chunk]) for chunk in chunks(columns, width - total_width(fixed))]


def _named(category: CategorySummary) -> str:
    return category.category or "(none)"
