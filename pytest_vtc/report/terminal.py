"""Everything a run says at its end, as lines of text for a terminal of a given width: which part follows which."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from pytest_vtc.analysis import Analysis
from pytest_vtc.cells import MEANINGLESS
from pytest_vtc.gates import Outcome, Verdict
from pytest_vtc.report.accuracy_table import LEGEND, accuracy_table
from pytest_vtc.report.category_table import category_tables
from pytest_vtc.report.columns import Colour, Paint, clipped, painter
from pytest_vtc.report.figures import ANYTIME, MARK, PUBLISHED
from pytest_vtc.report.first_answers import first_answers
from pytest_vtc.report.heading import about_samples
from pytest_vtc.report.notes import notes
from pytest_vtc.report.published_table import published_table
from pytest_vtc.report.rankings import Contender, ranking_lines
from pytest_vtc.report.rows import Row, rows_of
from pytest_vtc.report.share_table import share_table
from pytest_vtc.results import CellSummary, Results
from pytest_vtc.standings import SIGNIFICANT

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
    in the order given, all seeds of one in one row), who is not beaten at each ratio, and accuracy per category; for a
    dataset without answers the first answers instead. Per model with several scored datasets the mean share of stock.
    Then what columns and marks mean, the gates, where the `files` are and how to see more. Lines fit `width` columns
    (80 or more), paths excepted.
    """
    paint = painter(colour)
    lines: list[str] = []
    if results.interrupted:
        way_on = (
            "Incomplete: run what is missing or was interrupted again, and merge again."
            if results.manifest["run"]["merged"]
            else "Interrupted: the same command goes on where this run stopped."
        )
        lines += [paint(way_on, "yellow"), ""]
    cells = [*(summary.cell for summary in analysis.cells), *(item.cell for item in results.skipped)]
    shown: set[str] = set()
    every: list[Row] = []
    for model in dict.fromkeys(cell.model for cell in cells):
        of_model: list[Row] = []
        said: list[str] = []  # what is so of the model is said below its first table alone
        for dataset in dict.fromkeys(cell.dataset for cell in cells if cell.model == model):
            here = [s for s in analysis.cells if (s.cell.model, s.cell.dataset) == (model, dataset)]
            rows = rows_of(here, analysis.seed_groups, analysis.pairs)
            if rows:
                lines += [*(paint(line, "bold") for line in _heading(results, here, width)), ""]
                table, headings = accuracy_table(rows, width, paint)
                lines += [*table, "", *_paragraph(ranking_lines(_contenders(rows), width))]
                shown |= headings
            else:
                lines += [paint(clipped(f"{model} on {dataset}", width), "bold"), ""]
            new = [note for note in notes(results, model, dataset, rows) if note not in said]
            said += new
            lines += _paragraph([line for note in new for line in textwrap.wrap(note, width)])
            if rows and not here[0].scored:
                lines += first_answers(results, [cell for row in rows for cell in row.cells], width)
            lines += _headed(published_table(results.manifest, dataset, rows, width), width, paint)
            own = [c for c in analysis.categories if (c.model, c.dataset) == (model, dataset)]
            lines += category_tables(own, rows, width)
            of_model += rows
        lines += _headed(share_table([s for s in analysis.shares if s.model == model], of_model, width), width, paint)
        every += of_model
    lines += [line for text in _legend(shown, every, analysis) for line in textwrap.wrap(text, width)]
    if verdicts:
        lines += ["", paint("Gates", "bold"), *(line for v in verdicts for line in _verdict(v, width, paint))]
    if files:
        lines += ["", *(f"Written: {path}" for path in files)]
        lines.append("More: samples.jsonl has every answer; -v shows each case; --help lists options.")
    return [line.rstrip() for line in lines]


def _paragraph(lines: Sequence[str]) -> list[str]:
    return [*lines, ""] if lines else []


def _headed(lines: Sequence[str], width: int, paint: Paint) -> list[str]:
    """With the first of them, if there are any, as a heading."""
    return [*(paint(line, "bold") for title in lines[:1] for line in textwrap.wrap(title, width)), *lines[1:]]


def _heading(results: Results, rows: Sequence[CellSummary], width: int) -> list[str]:
    cell = rows[0].cell
    samples = about_samples(results.manifest, cell.dataset, max(row.n_expected for row in rows))
    heading = textwrap.wrap(f"{cell.model} on {cell.dataset}: {samples}", width)
    return [*heading, *([MEANINGLESS] if results.manifest["models"][cell.model]["random_weights"] else [])]


def _contenders(rows: Sequence[Row]) -> list[Contender]:
    return [
        Contender(row.name, row.ratio, row.figures.accuracy.estimate, row.standing)
        for row in rows
        if row.ratio is not None and row.standing is not None and row.figures.accuracy is not None
    ]


def _legend(shown: set[str], rows: Sequence[Row], analysis: Analysis) -> list[str]:
    """What the columns that are shown mean, and the mark; nothing of what is not there."""
    compared = {heading for heading in shown if heading != "vs Stock" or any(row.figures.versus for row in rows)}
    texts = {heading: text for heading, text in LEGEND.items() if heading in compared}
    first = [texts.pop(heading) for heading in ("vs Stock", "[ ]") if heading in texts]
    intervals = [interval for row in rows for interval in (row.figures.accuracy, row.figures.delta_pp)]
    if any(interval is not None and interval.anytime for interval in intervals):
        first.append(ANYTIME)
    published = [
        figure for row in rows if row.figures.published is not None for figure in row.figures.published.figures
    ]
    if any(figure.difference is not None for figure in published):
        first.append(PUBLISHED)
    if analysis.n_tests:
        n = analysis.n_tests
        over = f"Holm's correction over {n:,} comparison{'' if n == 1 else 's'}"
        first.append(
            f"{MARK}: differs from stock, p < {SIGNIFICANT:g} after {over}"
            if any(row.differs for row in rows)
            else f"No row differs significantly from stock: p >= {SIGNIFICANT:g} after {over}"
        )
    return [*first, *texts.values()]


def _verdict(verdict: Verdict, width: int, paint: Paint) -> list[str]:
    word, colour = _OUTCOMES[verdict.outcome]
    first, *rest = textwrap.wrap(f"{word}  {verdict.name}: {verdict.reason}", width, subsequent_indent="      ")
    return [paint(word, colour) + first[len(word) :], *rest]
