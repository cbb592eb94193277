"""What is said of answers that a rule could not read, and of how often yes was said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell, Measurement
from pytest_vtc.report.markdown import render as render_page
from pytest_vtc.report.notes import notes
from pytest_vtc.report.rows import rows_of
from pytest_vtc.report.terminal import render
from pytest_vtc.report.unparsed import Unparsed, unparsed_notes
from pytest_vtc.results import Results
from tests.report.documents import document
from tests.run_of import HALF, QUARTER, STOCK, measured, of_seed, run_of, seeded


def babble(cell: Cell, n: int, of: int, score: float = 0.25, parsed: str | None = None) -> list[Measurement]:
    """The first n answers unparsed, the others right."""
    return [
        replace(measured(cell, i, score if i < n else 1.0, unparsed=i < n), **({"parsed": parsed} if i < n else {}))
        for i in range(of)
    ]


def a_run(rows: Sequence[Measurement], **more: Any) -> Results:
    cells = dict.fromkeys(row.cell for row in rows)
    counts = {cell: [1.0] * sum(row.cell == cell for row in rows) for cell in cells}
    return run_of(counts, measurements=rows, **more)  # type: ignore[arg-type]


def said(results: Results) -> list[str]:
    analysis = analyse(results)
    return notes(results, "tiny", "probes", rows_of(analysis.cells, analysis.seed_groups))


def lines(results: Results, width: int) -> list[str]:
    return render(results, analyse(results), [], [], width, colour=False)


def test_unparsed_answers_that_are_scored_by_chance_are_told_with_what_they_are_worth() -> None:
    results = a_run([*babble(STOCK, 1, 40), *babble(HALF, 12, 40)])
    assert said(results) == [
        "Unparsed, scored by chance (exact_match guesses): stock 2.5 %, worth 0.6 points of accuracy; "
        "divprune@0.5 30.0 %, worth 7.5"
    ]


def test_answers_for_which_a_rule_falls_back_on_another_are_told_apart_from_guesses() -> None:
    results = a_run([*babble(STOCK, 0, 40), *babble(HALF, 4, 40, 1.0, "yes")])
    assert said(results) == [
        "Unparsed, scored by what exact_match falls back on: divprune@0.5 10.0 %, worth 10.0 points of accuracy"
    ]


def test_unparsed_answers_that_are_wrong_need_no_note() -> None:
    assert said(a_run([*babble(STOCK, 9, 40, 0.0), *babble(HALF, 9, 40, 0.0, "Other")])) == []


def test_the_seeds_of_a_compressor_are_taken_together() -> None:
    rows = [*babble(STOCK, 0, 40), *babble(of_seed(0), 4, 40), *babble(of_seed(1), 8, 40)]
    (note,) = said(a_run(rows, manifest=seeded(0, 1)))
    assert note.endswith("random (2 seeds)@0.5 15.0 %, worth 3.8 points of accuracy")


def test_only_the_worst_of_many_rows_are_named() -> None:
    (note,) = unparsed_notes("r", [Unparsed(f"m{i}", 100, i, i / 4, 0.0) for i in range(20)])
    assert note.startswith("Unparsed, scored by chance (r guesses): m19 19.0 %")
    assert note.endswith("m14 14.0 %, worth 3.5; and 13 more with fewer")


def test_a_page_for_github_says_it_too_and_of_which_dataset() -> None:
    text = render_page(document(a_run([*babble(STOCK, 0, 40), *babble(HALF, 12, 40)])))
    assert "- tiny on probes: Unparsed, scored by chance (exact\\_match guesses): divprune@0.5 30.0 %" in text


def yes_or_no(cell: Cell, n_yes: int, of: int = 40) -> list[Measurement]:
    """Half of the expected answers are yes."""
    rows = [measured(cell, i, answer="Yes." if i < n_yes else "no") for i in range(of)]
    return [
        replace(row, expected=("Yes" if i % 2 else "No",), parsed="yes" if i < n_yes else "no")
        for i, row in enumerate(rows)
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_where_yes_or_no_is_expected_the_rate_of_yes_is_shown_at_every_width(width: int) -> None:
    shown = lines(a_run([*yes_or_no(STOCK, 20), *yes_or_no(HALF, 38), *yes_or_no(QUARTER, 0)]), width)
    (stock, half, quarter) = [
        next(line for line in shown if line.startswith(start) and line.endswith(end))
        for start, end in (("stock", "50.0%"), ("divprune      0.5", "95.0%"), ("divprune     0.25", "0.0%"))
    ]
    assert stock
    assert half
    assert quarter
    assert "Yes: answers read as yes; no other answer than yes and no is expected" in shown
    assert max(map(len, shown)) <= width


def test_a_page_for_github_has_the_rate_of_yes() -> None:
    text = render_page(document(a_run([*yes_or_no(STOCK, 20), *yes_or_no(HALF, 38)])))
    assert [line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("|")] == [
        "Yes", "--:", "50.0%", "95.0%",
    ]  # fmt: skip


def test_elsewhere_no_rate_of_yes_is_shown() -> None:
    rows = [*yes_or_no(STOCK, 20), *yes_or_no(HALF, 38)]
    other = [*rows[:-1], replace(rows[-1], expected=("two",))]
    assert [summary.n_yes for summary in analyse(a_run(other)).cells] == [None, None]
    assert not any("Yes" in line for line in lines(a_run(other), 160))


def test_rate_of_yes_is_left_out_where_no_rule_reads_answers() -> None:
    unread = [replace(row, score=None, parsed=None) for row in yes_or_no(STOCK, 0)]
    assert [summary.n_yes for summary in analyse(a_run(unread)).cells] == [None]
