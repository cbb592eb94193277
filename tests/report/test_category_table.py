"""Accuracy by category on the terminal."""

from __future__ import annotations

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell
from pytest_vtc.report.category_table import category_tables
from pytest_vtc.report.rows import rows_of
from pytest_vtc.results import Results
from tests.run_of import HALF, STOCK, measured, of_seed, run_of, seeded


def tables(results: Results, width: int = 80) -> list[str]:
    analysis = analyse(results)
    return category_tables(analysis.categories, rows_of(analysis.cells, analysis.seed_groups), width)


def run(categories: dict[str, int], right: dict[Cell, dict[str, int]], **more: object) -> Results:
    """So many samples of each category, of which so many are right in each cell; all if nothing is said."""
    rows = [
        measured(cell, f"{category}/{i}", float(i < right[cell].get(category, n)), category=category)
        for category, n in categories.items()
        for i in range(n)
        for cell in right
    ]
    return run_of({cell: [1.0] * sum(categories.values()) for cell in right}, measurements=rows, **more)


def many(n: int) -> dict[Cell, dict[str, int]]:
    return {STOCK: {}, **{Cell("tiny", "probes", f"method{i}", 0.5): {} for i in range(n)}}


def test_few_rows_and_many_categories_have_a_line_for_each_category() -> None:
    lines = tables(run({f"category {i}": 12 for i in range(20)}, many(2)))
    assert sum(line.startswith("category ") for line in lines) == 20


def test_many_rows_and_few_categories_have_the_rows_of_the_main_table() -> None:
    lines = tables(run({"digit": 12, "count": 20}, many(30)))
    assert [line.split() for line in lines if line.startswith(("stock", "method0 "))] == [
        ["stock", "1", "100", "100"],
        ["method0", "0.5", "100", "100"],
    ]
    assert ["n=20", "n=12"] in [line.split() for line in lines]


def test_a_table_that_is_too_wide_is_cut_into_parts_that_each_name_their_rows() -> None:
    lines = tables(run({f"category number {i}": 12 for i in range(14)}, many(30)))
    assert max(map(len, lines)) <= 80
    parts = sum(line.startswith("method7 ") for line in lines)
    assert parts == sum(line.startswith("Compressor") for line in lines) == 3


def test_one_category_of_all_samples_says_nothing_new_and_is_not_shown() -> None:
    assert tables(run({"digit": 40}, many(2))) == []


def test_one_category_beside_others_that_are_too_small_is_shown() -> None:
    assert any(line.startswith("digit") for line in tables(run({"digit": 40, "rare": 2}, many(2))))


def test_without_categories_of_enough_samples_there_is_no_table() -> None:
    assert tables(run({"digit": 4, "rare": 2}, many(2))) == []


def test_a_category_that_differs_is_marked_and_the_mark_is_explained_as_exploratory() -> None:
    lines = tables(run({"digit": 40, "count": 40}, {STOCK: {}, HALF: {"digit": 5}}))
    assert next(line for line in lines if line.startswith("digit")).endswith(" 12*")
    assert not next(line for line in lines if line.startswith("count")).endswith("*")
    assert "exploratory: * differs from stock, q < 0.05" in " ".join(lines)


def test_where_no_category_differs_no_mark_is_explained() -> None:
    assert "*" not in "".join(tables(run({"digit": 40, "count": 40}, many(2))))


def test_accuracies_have_a_decimal_place_from_a_hundred_samples_on() -> None:
    assert next(x for x in tables(run({"digit": 12, "a": 12}, many(1))) if x.startswith("digit")).split()[2] == "100"
    assert next(x for x in tables(run({"digit": 100, "a": 12}, many(1))) if x.startswith("digit")).split()[2] == "100.0"


def test_all_seeds_of_a_compressor_are_one_column_with_their_mean() -> None:
    right = {STOCK: {}, **{of_seed(seed): {"digit": 4 * seed} for seed in range(3)}}
    lines = tables(run({"digit": 12, "count": 12}, right, manifest=seeded(0, 1, 2)))
    assert next(line for line in lines if line.startswith("random")).split() == [
        "random",
        "(3",
        "seeds)",
        "0.5",
        "100",
        "33",
    ]
