"""The table of one model on one dataset: its columns at every width, and its marks."""

from __future__ import annotations

from functools import cache

import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell
from pytest_vtc.report.accuracy_table import accuracy_table
from pytest_vtc.report.columns import painter
from pytest_vtc.report.rows import Row, rows_of
from pytest_vtc.results import Results
from tests.run_of import HALF, QUARTER, STOCK, measured, of_seed, run_of, seeded


def rows(results: Results) -> list[Row]:
    analysis = analyse(results)
    return rows_of(analysis.cells, analysis.seed_groups, analysis.pairs)


def shown(rows: list[Row], width: int = 80, colour: bool = False) -> list[str]:
    return accuracy_table(rows, width, painter(colour))[0]


def table(results: Results, width: int = 80, colour: bool = False) -> list[str]:
    return shown(rows(results), width, colour)


def headings(lines: list[str]) -> list[str]:
    return lines[0].replace("vs Stock", "vs_Stock").replace("Of Stock", "Of_Stock").split()


def cell(name: str, ratio: float = 0.5) -> Cell:
    return Cell("tiny", "probes", name, ratio)


def wrong(n: int, of: int = 200) -> list[float]:
    return [0.0] * n + [1.0] * (of - n)


@cache
def crowded(n_rows: int) -> list[Row]:
    """One row with several seeds and long differences, as in the main job, and n_rows others."""
    scores = {STOCK: wrong(0), **{of_seed(seed): wrong(100 + seed) for seed in range(3)}}
    scores |= {cell(f"method{i}"): wrong(150 - i) for i in range(n_rows)}
    return rows(run_of(scores, manifest=seeded(0, 1, 2)))


@pytest.mark.parametrize("n_rows", [2, 40])
@pytest.mark.parametrize("width", [80, 81, 100, 120, 160, 200])
def test_no_line_is_longer_than_the_terminal(n_rows: int, width: int) -> None:
    assert max(map(len, shown(crowded(n_rows), width))) <= width


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (80, []),
        (100, ["Of_Stock"]),
        (120, ["Of_Stock", "Flips", "Agree"]),
        (160, ["Of_Stock", "Flips", "Agree", "p", "(Holm)", "Others"]),
    ],
)
def test_a_wider_terminal_shows_more_columns(width: int, expected: list[str]) -> None:
    always = ["Compressor", "Ratio", "Tokens", "Accuracy", "Seeds", "vs_Stock"]
    assert headings(shown(crowded(2), width)) == [*always, *expected]


def test_no_column_goes_when_the_terminal_widens_to_all_of_them() -> None:
    at = {width: headings(shown(crowded(2), width)) for width in (80, 120, 200)}
    assert set(at[80]) < set(at[120]) < set(at[200])


def test_a_wide_terminal_shows_the_intervals_of_accuracy_and_share() -> None:
    line = next(line for line in table(run_of({STOCK: wrong(5), HALF: wrong(8)}), 200) if line.startswith("divprune"))
    assert "96.0% [92.3, 98.0]" in line
    assert "98.5% [ 96.7, 100.2]" in line


def test_a_row_that_differs_after_correction_has_the_mark_behind_its_difference() -> None:
    lines = table(run_of({STOCK: wrong(0), HALF: wrong(2), QUARTER: wrong(60)}))
    assert " -30.0* [" in lines[-1]
    assert "  -1.0  [" in lines[-2]


def test_a_difference_that_is_significant_alone_and_not_among_many_has_no_mark() -> None:
    alone = run_of({STOCK: wrong(0), HALF: wrong(7)})
    among = run_of({STOCK: wrong(0), HALF: wrong(7), **{cell(f"m{i}"): wrong(0) for i in range(40)}})
    assert any("*" in line for line in table(alone))
    assert not any("*" in line for line in table(among))


def test_what_is_marked_is_coloured_and_nothing_else() -> None:
    results = run_of({STOCK: wrong(100), HALF: wrong(2), QUARTER: wrong(160), cell("fps"): wrong(101)})
    lines = table(results, colour=True)
    assert {("*" in line, "\x1b[" in line) for line in lines} == {(True, True), (False, False)}
    assert sum("\x1b[32m" in line for line in lines) == 1


def test_flips_and_agreement_count_answers() -> None:
    found = [measured(STOCK, i, float(i < 3), answer="yes") for i in range(6)]
    answers = [("yes", 1.0), ("no", 0.0), ("no", 0.0), ("yes", 1.0), ("no", 0.0), ("yes", 0.0)]
    found += [measured(HALF, i, score, answer=answer) for i, (answer, score) in enumerate(answers)]
    line = table(run_of({STOCK: wrong(0, 6), HALF: wrong(0, 6)}, measurements=found), 200)[-1]
    assert "+1 -2 ~1  50.0%" in line


def test_the_mean_of_several_seeds_has_no_flips() -> None:
    lines = shown(crowded(2), 200)
    line = next(line for line in lines if line.startswith("random"))
    assert line[lines[0].index("Flips") : lines[0].index("p (Holm)")].split() == ["--", "--"]


def test_others_are_those_at_the_same_ratio_that_a_row_beats_is_beaten_by_and_is_like() -> None:
    results = run_of({STOCK: wrong(0), cell("a"): wrong(5), cell("b"): wrong(6), cell("c"): wrong(150)})
    assert [line.split("  ")[-1] for line in table(results, 200)[3:]] == ["+1 -0 =1", "+1 -0 =1", "+0 -2 =0"]


def test_compressors_that_share_no_ratio_have_no_column_of_others() -> None:
    assert "Others" not in headings(table(run_of({STOCK: wrong(0), HALF: wrong(5), QUARTER: wrong(9)}), 200))


def test_stock_alone_has_no_column_of_differences() -> None:
    assert headings(table(run_of({STOCK: wrong(3)}))) == ["Compressor", "Ratio", "Tokens", "Accuracy"]


def test_a_dataset_without_answers_has_tokens_alone() -> None:
    results = run_of({STOCK: [None] * 3, HALF: [None] * 3})
    assert headings(table(results, 200)) == ["Compressor", "Ratio", "Tokens"]


def test_a_name_is_not_broken_for_a_column_that_need_not_be_there() -> None:
    name = "m" * 22
    assert any(line.startswith(name) for line in table(run_of({STOCK: wrong(0), cell(name): wrong(3)}), 80))
