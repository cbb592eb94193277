"""Figures of published metrics: of cells, against stock, of several seeds, and where something is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.analysis import Analysis, analyse
from pytest_vtc.cells import Cell
from pytest_vtc.published_figures import PublishedFigures
from pytest_vtc.scoring.published import Answered
from tests.made_up_metric import Pairs, known, run_on_pairs
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured, of_seed, run_of, seeded


@pytest.fixture(autouse=True)
def pairs() -> Iterator[None]:
    with known(Pairs()):
        yield


def found(analysis: Analysis, cell: Cell) -> PublishedFigures:
    (summary,) = [summary for summary in analysis.cells if summary.cell == cell]
    assert summary.published is not None
    return summary.published


def values(published: PublishedFigures) -> dict[str, tuple[float, float | None]]:
    return {f.name: (f.value, f.difference) for f in published.figures}


def test_a_cell_has_the_figures_of_its_samples_and_their_difference_to_stock() -> None:
    analysis = analyse(run_on_pairs({STOCK: [1, 1, 1, 0], HALF: [1, 0, 0, 0]}))
    assert values(found(analysis, STOCK)) == {"pairs": (50, None), "sum": (3, None), "said seven": (1, None)}
    assert values(found(analysis, HALF)) == {"pairs": (0, -50), "sum": (1, -2), "said seven": (1, 0)}
    assert (found(analysis, HALF).n, found(analysis, HALF).n_paired, found(analysis, HALF).n_cut) == (4, 4, 0)


def test_a_metric_is_told_all_that_is_known_of_an_answer() -> None:
    told: list[Answered] = []

    class Asks(Pairs):
        def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
            told.extend(rows)
            return {}

    row = replace(measured(STOCK, "a", 0.5, category="red", group="g"), parsed="six", facts={"set": "3"})
    with known(Asks()):
        analyse(replace(run_on_pairs({STOCK: [1.0]}), measurements=[row]))
    assert told == [Answered("a", 0.5, "six", ("seven",), "red", "g", {"set": "3"})]


def test_differences_are_over_the_samples_of_both_and_values_over_those_there_are() -> None:
    published = found(analyse(run_on_pairs({STOCK: [1, 1, 1, None], HALF: [1, 0, 0, 1]})), HALF)
    assert values(published)["sum"] == (2, 1 - 3)
    assert (published.n, published.n_paired) == (4, 3)


def test_without_stock_there_are_values_alone() -> None:
    published = found(analyse(run_on_pairs({HALF: [1, 1]})), HALF)
    assert (values(published)["sum"], published.n_paired) == ((2, None), 0)


def test_groups_that_lack_a_sample_are_counted() -> None:
    published = found(analyse(run_on_pairs({STOCK: [1, 1, 1, 1, 1, 1], HALF: [1, None, 1, 1, None, None]})), HALF)
    assert (published.n, published.n_cut) == (3, 1)


def test_where_groups_count_only_as_a_whole_cut_ones_do_not() -> None:
    results = run_on_pairs({STOCK: [1, 1, 1, 0, None, 1], HALF: [1, None, 1, 1, 1, 1]}, whole_groups=True)
    published = found(analyse(results), HALF)
    assert (published.n, published.n_paired, published.n_cut) == (4, 2, 1)
    assert values(published)["pairs"] == (100, 100)


def test_a_group_that_is_cut_in_every_cell_is_noticed_where_its_size_is_known() -> None:
    run = run_on_pairs({STOCK: [1, 1, 1], HALF: [1, 1, 1]}, whole_groups=True)
    rows = [replace(m, facts={"group_size": "2"}) for m in run.measurements]
    published = found(analyse(replace(run, measurements=rows)), HALF)
    assert (published.n, published.n_paired, published.n_cut) == (2, 2, 1)


def test_a_cell_with_cut_groups_alone_has_no_figures_where_they_do_not_count() -> None:
    results = run_on_pairs({STOCK: [1, 1], HALF: [1, None]}, whole_groups=True)
    assert [summary.published is None for summary in analyse(results).cells] == [False, True]


def test_a_figure_that_cannot_be_had_is_left_out_and_has_no_difference() -> None:
    class Sparse(Pairs):
        def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
            right = sum(row.score for row in rows)
            return {"n": len(rows), "nan": math.nan} | ({"inverse": 1 / right} if right else {})

    with known(Sparse()):
        analysis = analyse(run_on_pairs({STOCK: [0, 0], HALF: [1, 0], QUARTER: [0, 0]}))
    assert values(found(analysis, HALF)) == {"n": (2, 0), "inverse": (1, None)}
    assert values(found(analysis, QUARTER)) == {"n": (2, 0)}


def test_of_several_seeds_it_is_the_mean_over_what_all_of_them_and_stock_have() -> None:
    scores: dict[Cell, list[float | None]] = {
        STOCK: [1, 1, None, 1],
        of_seed(0): [1, 1, 1, 0],
        of_seed(1): [0, 1, 1, None],
    }
    (group,) = analyse(run_on_pairs(scores, manifest=seeded(0, 1))).seed_groups
    assert group.published is not None
    assert (group.published.n, group.published.n_paired) == (group.n_samples, group.n_paired) == (3, 2)
    assert values(group.published)["sum"] == (2.5, 1.5 - 2)
    assert values(group.published)["pairs"] == (75, 50 - 100)


def test_a_seed_of_which_nothing_was_measured_leaves_the_others_their_figures() -> None:
    scores: dict[Cell, list[float | None]] = {STOCK: [1, 1], of_seed(0): [1, 0], of_seed(1): [None, None]}
    (group,) = analyse(run_on_pairs(scores, manifest=seeded(0, 1))).seed_groups
    assert group.published is not None
    assert values(group.published)["sum"] == (1, -1)


def test_a_dataset_without_a_metric_and_one_without_answers_have_no_figures() -> None:
    made = manifest("probes", "easyvqa")
    made["datasets"]["easyvqa"] = {**made["datasets"]["probes"], "published": "pairs"}
    cells: dict[Cell, list[float | None]] = {STOCK: [1.0] * 3, Cell("tiny", "easyvqa"): [None] * 3}
    assert [summary.published for summary in analyse(run_of(cells, manifest=made)).cells] == [None, None]


@given(st.permutations(range(12)))
def test_nothing_depends_on_the_order_in_which_measurements_come_in(order: list[int]) -> None:
    results = replace(
        run_on_pairs({STOCK: [1, 1, 1, 0, 0.3, 1], HALF: [1, 0.7, 0, 0.1, 1, 0]}),
        sample_order={"probes": [f"s{i:03d}" for i in range(6)]},
    )
    shuffled = replace(results, measurements=[results.measurements[i] for i in order])
    assert [c.published for c in analyse(shuffled).cells] == [c.published for c in analyse(results).cells]
