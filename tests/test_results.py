"""Summaries per cell and per category."""

from __future__ import annotations

import random
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.cells import CaseError, Cell
from pytest_vtc.results import Results, in_run_order, summarize, summarize_categories
from pytest_vtc.statistics import Interval, paired_difference, proportion_interval
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured, run_of


def test_a_cell_is_summed_up_with_wilsons_interval_and_the_paired_difference() -> None:
    stock, half = [1.0, 1.0, 1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0, 0.0, 1.0]
    first, second = summarize(run_of({STOCK: stock, HALF: half}))
    assert first.accuracy == proportion_interval(stock)
    assert (first.delta_pp, first.n_paired) == (None, 0)
    assert second.accuracy == proportion_interval(half)
    assert second.delta_pp == paired_difference(stock, half).scaled(100)
    assert (second.n_expected, second.n_measured, second.n_missing, second.n_paired) == (6, 6, 0, 6)


def test_the_difference_is_taken_over_the_samples_that_both_cells_have() -> None:
    results = run_of({STOCK: [1.0, 1.0, 0.0, 0.0], HALF: [1.0, 0.0, 1.0, 1.0]})
    lacking = [m for m in results.measurements if (m.cell, m.sample) not in {(STOCK, "s003"), (HALF, "s000")}]
    stock, half = summarize(replace(results, measurements=lacking))
    assert stock.accuracy is not None
    assert half.accuracy is not None
    assert (stock.accuracy.estimate, half.accuracy.estimate) == pytest.approx((2 / 3, 2 / 3))
    assert half.delta_pp == paired_difference([1, 0], [0, 1]).scaled(100)
    assert half.n_paired == 2


def test_questions_on_one_image_are_one_cluster() -> None:
    scores = {STOCK: [1.0, 1.0, 0.0, 1.0, 1.0, 0.0], HALF: [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]}
    rows = [
        measured(cell, i, score, group=f"image {i // 2}") for cell in scores for i, score in enumerate(scores[cell])
    ]
    _, half = summarize(run_of(scores, measurements=rows))
    images = ["a", "a", "b", "b", "c", "c"]
    assert half.delta_pp == paired_difference(scores[STOCK], scores[HALF], images).scaled(100)
    assert half.accuracy == proportion_interval(scores[HALF], images)


def test_samples_without_a_group_stand_alone() -> None:
    scores = {STOCK: [1.0, 1.0, 0.0, 1.0]}
    rows = [measured(STOCK, i, score, group="") for i, score in enumerate(scores[STOCK])]
    (stock,) = summarize(run_of(scores, measurements=rows))
    assert stock.accuracy == proportion_interval(scores[STOCK])


def test_missing_cases_and_failed_ones_are_counted_apart() -> None:
    results = run_of(
        {STOCK: [1.0] * 5, HALF: [1.0, 0.0]},
        expected={HALF: 5},
        errors=[CaseError(HALF, "s002", "no such image"), CaseError(HALF, "s003", "no such image")],
    )
    stock, half = summarize(results)
    assert (stock.n_missing, stock.n_errors) == (0, 0)
    assert (half.n_expected, half.n_measured, half.n_missing, half.n_errors) == (5, 2, 3, 2)


def test_flags_are_counted() -> None:
    rows = [
        measured(STOCK, 0, cached=True),
        measured(STOCK, 1, 0.0, answer=" \n", unparsed=True),
        measured(STOCK, 2, 0.0, answer="well, let me", truncated=True, unparsed=True, cached=True),
    ]
    (stock,) = summarize(run_of({STOCK: [1.0] * 3}, measurements=rows))
    assert (stock.n_empty, stock.n_unparsed, stock.n_truncated, stock.n_cached) == (1, 2, 1, 2)


def test_the_budget_tells_what_was_kept_from_what_was_asked() -> None:
    rows = [
        measured(HALF, 0, tokens=(64, 32, 30)),
        measured(HALF, 1, tokens=(64, 32, 32)),
        measured(HALF, 2, tokens=(70, 35, 36)),
    ]
    (half,) = summarize(run_of({HALF: [1.0] * 3}, measurements=rows))
    assert half.budget is not None
    assert (half.budget.n_tokens, half.budget.asked, half.budget.kept) == pytest.approx((66, 33, 98 / 3))
    assert (half.budget.kept_min, half.budget.kept_max) == (30, 36)
    assert (half.budget.n_below, half.budget.n_above) == (1, 1)


def test_the_bytes_of_the_cache_are_a_mean_and_a_share_of_stocks_on_the_samples_of_both() -> None:
    rows = [
        *(measured(STOCK, i, kv_bytes=n) for i, n in enumerate([1000, 3000, 5000])),
        *(measured(HALF, i, kv_bytes=n) for i, n in [(3, 9000), (2, 2000), (0, 700)]),
    ]
    stock, half = summarize(run_of({STOCK: [1.0] * 3, HALF: [1.0] * 3}, measurements=rows))
    assert stock.budget is not None
    assert half.budget is not None
    assert (stock.budget.kv_bytes, stock.budget.kv_share) == (3000, 1.0)
    assert (half.budget.kv_bytes, half.budget.kv_share) == (3900, 2700 / 6000)


def test_without_a_sample_of_stock_there_is_no_share_of_its_cache() -> None:
    rows = [measured(STOCK, 0), measured(HALF, 1, kv_bytes=700)]
    _, half = summarize(run_of({STOCK: [1.0], HALF: [1.0]}, measurements=rows))
    assert half.budget is not None
    assert (half.budget.kv_bytes, half.budget.kv_share) == (700, None)


def test_the_positions_really_used_and_the_mean_time_are_told() -> None:
    rows = [measured(HALF, 0, positions="original", seconds=1.0), measured(HALF, 1, positions="compact", seconds=2.0)]
    (half,) = summarize(run_of({HALF: [1.0] * 2}, measurements=rows))
    assert half.positions == ("compact", "original")
    assert half.seconds == 1.5


def test_a_dataset_without_answers_is_not_scored() -> None:
    stock, half = summarize(run_of({STOCK: [None, None], HALF: [None, None]}))
    assert (stock.scored, stock.accuracy, half.delta_pp, half.n_scored) == (False, None, None, 0)


def test_samples_without_an_answer_are_left_out_of_the_accuracy_of_the_others() -> None:
    _, half = summarize(run_of({STOCK: [1.0, None, 1.0, 1.0], HALF: [1.0, None, 0.0, 1.0]}))
    assert (half.scored, half.n_measured, half.n_scored, half.n_paired) == (True, 4, 3, 3)
    assert half.accuracy == proportion_interval([1.0, 0.0, 1.0])


def test_a_cell_of_which_nothing_was_measured_has_no_figures_and_is_not_called_unscored() -> None:
    stock, half = summarize(run_of({STOCK: [1.0], HALF: []}, expected={HALF: 1}))
    assert stock.accuracy is not None
    assert (half.accuracy, half.delta_pp, half.budget, half.seconds, half.positions) == (None, None, None, None, ())
    assert (half.scored, half.n_missing) == (True, 1)


def test_cells_of_two_datasets_and_models_are_compared_with_their_own_stock() -> None:
    scores: dict[Cell, list[float | None]] = {}
    for model in ("tiny", "large"):
        for dataset in ("probes", "easyvqa"):
            right = 1.0 if (model, dataset) == ("large", "easyvqa") else 0.0
            scores[Cell(model, dataset)] = [right] * 4
            scores[Cell(model, dataset, "fps", 0.5)] = [1.0, 0.0] * 2
    found = {summary.cell.id: summary.delta_pp for summary in summarize(run_of(scores))}
    estimates = {name: None if delta is None else delta.estimate for name, delta in found.items()}
    assert estimates == {
        "tiny/probes/stock": None,
        "tiny/probes/fps@0.5": 50.0,
        "tiny/easyvqa/stock": None,
        "tiny/easyvqa/fps@0.5": 50.0,
        "large/probes/stock": None,
        "large/probes/fps@0.5": 50.0,
        "large/easyvqa/stock": None,
        "large/easyvqa/fps@0.5": -50.0,
    }


def test_summaries_follow_the_order_of_the_cells() -> None:
    results = run_of({STOCK: [1.0], QUARTER: [1.0], HALF: [1.0]})
    assert [summary.cell for summary in summarize(results)] == [STOCK, QUARTER, HALF]


def test_a_measurement_of_a_cell_outside_the_run_is_refused() -> None:
    with pytest.raises(ValueError, match=r"not part of the run: \['tiny/probes/divprune@0.5'\]"):
        Results(manifest(), (STOCK,), {STOCK.id: 1}, [measured(HALF, 0)])


def test_only_categories_with_ten_stock_samples_are_told_by_name_and_in_the_order_of_the_cells() -> None:
    rows = [
        measured(cell, i, float(i % 4 != 0 or cell is STOCK), category=category)
        for i, category in enumerate(["shape"] * 12 + ["colour"] * 10 + ["rare"] * 9)
        for cell in (STOCK, HALF)
    ]
    results = run_of({STOCK: [1.0] * 31, HALF: [1.0] * 31}, measurements=rows)
    colour, shape = summarize_categories(results)
    assert (colour.category, colour.n, shape.category, shape.n) == ("colour", 10, "shape", 12)
    assert [(v.variant, v.n, v.accuracy) for v in shape.variants] == [("stock", 12, 1.0), ("divprune@0.5", 12, 0.75)]


def test_a_variant_that_has_nothing_in_a_category_has_no_accuracy_there() -> None:
    (digit,) = summarize_categories(run_of({STOCK: [1.0] * 10, HALF: []}, expected={HALF: 10}))
    assert (digit.variants[1].n, digit.variants[1].accuracy) == (0, None)


def test_a_dataset_without_answers_has_no_categories() -> None:
    assert summarize_categories(run_of({STOCK: [None] * 20})) == []


def test_run_order_is_by_sample_then_by_cell() -> None:
    results = run_of({STOCK: [1.0, 0.0], HALF: [1.0, 0.0]})
    mixed = [results.measurements[i] for i in (1, 0, 3, 2)]
    assert in_run_order(replace(results, measurements=mixed)) == list(results.measurements)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_nothing_depends_on_the_order_in_which_measurements_come_in(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = {cell: rng.random(15).tolist() for cell in (STOCK, HALF, QUARTER)}
    rows = [
        measured(cell, i, score, group=f"image {i // 2}", category="abc"[i % 3])
        for cell, values in scores.items()
        for i, score in enumerate(values)
    ]
    order = {"probes": [f"s{i:03d}" for i in range(15)]}
    straight = run_of(scores, measurements=rows, sample_order=order)
    shuffled = replace(straight, measurements=random.Random(seed).sample(rows, len(rows)))
    assert summarize(shuffled) == summarize(straight)  # to the last bit
    assert summarize_categories(shuffled) == summarize_categories(straight)
    assert in_run_order(shuffled) == in_run_order(straight)


def test_identical_answers_do_not_come_out_as_certainty() -> None:
    _, half = summarize(run_of({STOCK: [1.0, 0.0] * 20, HALF: [1.0, 0.0] * 20}))
    assert half.delta_pp is not None
    assert half.delta_pp.estimate == 0
    assert half.delta_pp.low == pytest.approx(-8.76, abs=0.01)
    assert half.delta_pp.high == pytest.approx(8.76, abs=0.01)


def test_one_sample_gives_a_difference_without_an_interval() -> None:
    _, half = summarize(run_of({STOCK: [1.0], HALF: [0.0]}))
    assert half.delta_pp == Interval(-100.0, None, None)


def test_a_hundred_thousand_measurements_are_summed_up_in_about_a_second() -> None:
    summarize(run_of({STOCK: [1.0, 0.0], HALF: [1.0, 1.0]}))  # statsmodels is imported on first use
    cells = [STOCK, *(Cell("tiny", "probes", name, ratio) for name in ("a", "b", "c") for ratio in (0.5, 0.25, 0.1))]
    shared = {cell: measured(cell, 0) for cell in cells}
    rows = [
        replace(shared[cell], sample=f"s{i}", group=f"g{i // 3}", category=f"c{i % 8}")
        for i in range(10_000)
        for cell in cells
    ]
    results = Results(manifest(), tuple(cells), {cell.id: 10_000 for cell in cells}, rows)
    start = time.process_time()
    summarize(results)
    summarize_categories(results)
    assert time.process_time() - start < 2.0  # 0.4 s on an idle core of 2026
