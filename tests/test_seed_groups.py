"""Cells that differ in the seed alone, taken together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.cells import Cell
from pytest_vtc.results import Results
from pytest_vtc.seed_groups import summarize_seeds
from pytest_vtc.statistics import paired_difference, proportion_interval
from tests.run_of import HALF, STOCK, measured, of_seed, run_of, seeded

SCORES: dict[int, list[float | None]] = {0: [1, 0, 0, 1, 0, 0], 1: [1, 1, 0, 1, 0, 0], 2: [1, 1, 1, 1, 0, 0]}
STOCK_SCORES: list[float | None] = [1, 1, 1, 1, 1, 0]


def a_run(**more: object) -> Results:
    return run_of(
        {STOCK: STOCK_SCORES, **{of_seed(seed): scores for seed, scores in SCORES.items()}},
        manifest=seeded(*SCORES),
        **more,
    )


def test_accuracy_and_difference_are_those_of_the_samples_means_over_the_seeds() -> None:
    (group,) = summarize_seeds(a_run())
    means = np.mean([SCORES[seed] for seed in SCORES], axis=0)
    assert group.accuracy == proportion_interval(means)
    assert group.delta_pp == paired_difference(STOCK_SCORES, means).scaled(100)
    assert (group.compressor, group.ratio, group.n_samples, group.n_paired) == ("random", 0.5, 6, 6)


def test_the_spread_is_that_of_the_accuracies_of_single_seeds() -> None:
    (group,) = summarize_seeds(a_run())
    assert group.by_seed == pytest.approx((2 / 6, 3 / 6, 4 / 6))
    assert group.sd == pytest.approx(1 / 6)
    assert (group.seeds, group.missing, group.note) == ((0, 1, 2), (), "(3 seeds)")


def test_questions_on_one_image_are_one_cluster() -> None:
    scores = {STOCK: STOCK_SCORES} | {of_seed(seed): values for seed, values in SCORES.items()}
    rows = [
        measured(cell, i, value, group=f"image {i // 2}") for cell in scores for i, value in enumerate(scores[cell])
    ]
    (group,) = summarize_seeds(run_of(scores, manifest=seeded(*SCORES), measurements=rows))
    means = np.mean([SCORES[seed] for seed in SCORES], axis=0)
    assert group.delta_pp == paired_difference(STOCK_SCORES, means, ["a", "a", "b", "b", "c", "c"]).scaled(100)


def test_only_samples_that_every_seed_has_count() -> None:
    whole = a_run()
    lacking = [m for m in whole.measurements if (m.cell, m.sample) != (of_seed(1), "s002")]
    (group,) = summarize_seeds(replace(whole, measurements=lacking))
    assert (group.n_samples, group.note) == (5, "(3 seeds)")
    assert group.by_seed == pytest.approx((2 / 5, 3 / 5, 3 / 5))


def test_a_seed_that_was_not_selected_is_said_to_be_missing() -> None:
    scores = {STOCK: STOCK_SCORES, of_seed(0): SCORES[0], of_seed(2): SCORES[2]}
    (group,) = summarize_seeds(run_of(scores, manifest=seeded(*SCORES)))
    assert (group.seeds, group.missing, group.note) == ((0, 2), (1,), "(2 of 3 seeds)")
    assert group.by_seed == pytest.approx((2 / 6, 4 / 6))


def test_a_seed_of_which_nothing_was_measured_is_missing_and_leaves_the_others_their_samples() -> None:
    whole = a_run()
    (group,) = summarize_seeds(replace(whole, measurements=[m for m in whole.measurements if m.cell != of_seed(2)]))
    assert (group.seeds, group.missing, group.n_samples) == ((0, 1), (2,), 6)


def test_seeds_without_a_common_sample_have_no_figures() -> None:
    whole = a_run()
    apart = [m for m in whole.measurements if m.cell == STOCK or m.sample == f"s00{SEED_OF[m.cell]}"]
    (group,) = summarize_seeds(replace(whole, measurements=apart))
    assert (group.n_samples, group.by_seed, group.accuracy, group.delta_pp, group.sd) == (0, (), None, None, None)


SEED_OF = {of_seed(seed): seed for seed in SCORES}


def test_without_stock_there_is_no_difference() -> None:
    whole = a_run()
    (group,) = summarize_seeds(replace(whole, measurements=[m for m in whole.measurements if m.cell != STOCK]))
    assert group.accuracy is not None
    assert (group.delta_pp, group.n_paired) == (None, 0)


def test_one_cell_alone_is_no_group() -> None:
    assert summarize_seeds(run_of({STOCK: STOCK_SCORES, of_seed(1): SCORES[1]}, manifest=seeded(*SCORES))) == []


def test_a_seed_that_was_asked_for_by_name_stays_a_cell() -> None:
    made = seeded(*SCORES, 5)
    made["compressors"]["random(seed=5)"]["seed_group"] = None
    scores = {STOCK: STOCK_SCORES, **{of_seed(seed): SCORES[seed % 3] for seed in (*SCORES, 5)}}
    (group,) = summarize_seeds(run_of(scores, manifest=made))
    assert group.cells == tuple(of_seed(seed) for seed in SCORES)


def test_other_compressors_ratios_and_datasets_are_apart() -> None:
    cells = [
        Cell("tiny", data, of_seed(seed).compressor, ratio) for data in "ab" for ratio in (0.5, 0.25) for seed in SCORES
    ]
    scores: dict[Cell, list[float | None]] = {Cell("tiny", data): [1.0] for data in "ab"}
    scores |= {cell: [1.0] for cell in cells} | {replace(HALF, dataset="a"): [1.0]}
    made = seeded(*SCORES)
    found = summarize_seeds(run_of(scores, manifest=made))
    assert [(group.dataset, group.ratio, len(group.cells)) for group in found] == [
        ("a", 0.5, 3), ("a", 0.25, 3), ("b", 0.5, 3), ("b", 0.25, 3),
    ]  # fmt: skip


def test_a_dataset_without_answers_has_no_groups() -> None:
    scores: dict[Cell, list[float | None]] = {STOCK: [None] * 2, **{of_seed(seed): [None] * 2 for seed in SCORES}}
    assert summarize_seeds(run_of(scores, manifest=seeded(*SCORES))) == []


@given(st.permutations(range(24)))
def test_nothing_depends_on_the_order_in_which_measurements_come_in(order: list[int]) -> None:
    whole = a_run(sample_order={"probes": [f"s{i:03d}" for i in range(6)]})
    assert summarize_seeds(replace(whole, measurements=[whole.measurements[i] for i in order])) == summarize_seeds(
        whole
    )
