"""Gates judged image by image: what decides is the order of the samples and their scores, and nothing else."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.cells import Cell
from pytest_vtc.gates import parse_gate
from pytest_vtc.sequential import MarginTest, anytime_interval
from pytest_vtc.sequential_trials import Judged, Trials
from pytest_vtc.sweep import Sweep
from tests.test_schedule import sweep_of

FIRST, SECOND = Cell("m", "data0", "c1", 0.5), Cell("m", "data0", "c2", 0.5)
IMAGES = [f"image {i}" for i in range(40) for _ in range(1 + i % 3)]
STOCK, COLUMN_1, COLUMN_2 = 0, 1, 2


def gated(*gates: str, images: Sequence[str] = IMAGES, n_cells: int = 3) -> Sweep:
    sweep = sweep_of(images, n_cells=n_cells)
    return replace(sweep, gates=tuple(map(parse_gate, gates)))


def started(sweep: Sweep, without: Iterable[int] = ()) -> Trials:
    selected = np.ones(sweep.n_cases, dtype=np.bool_)
    selected[list(without)] = False
    return Trials(sweep, selected)


def score(order: int, bad: Sequence[int] = (COLUMN_1,), seed: int = 0) -> float:
    """Stock and good cells are right nine times in ten, bad ones three times in ten; the same for an order always."""
    draw = random.Random(1000 * seed + order).random()
    return float(draw < (0.3 if order % 3 in bad else 0.9))


def feed(trials: Trials, orders: Iterable[int], seed: int = 0) -> set[int]:
    """All cases that have become superfluous."""
    return {int(gone) for order in orders for gone in trials.record(order, score(order, seed=seed))}


def summary(judged: Judged) -> tuple[object, ...]:
    return judged.n_rows, judged.decided, dict(judged.decided_after), judged.difference, judged.accuracy, judged.p


def test_a_bad_cell_is_decided_early_and_its_other_cases_are_superfluous() -> None:
    sweep = gated("c1@0.5: max_drop=5")
    trials = started(sweep)
    gone = feed(trials, range(sweep.n_cases))
    judged = trials.judged.cells[FIRST]
    assert judged.decided
    assert 0 < judged.n_rows < judged.of_rows == len(IMAGES)
    assert gone == {order for order in range(sweep.n_cases) if order % 3 == COLUMN_1}


def test_the_interval_is_that_of_the_judged_images_and_excludes_the_margin() -> None:
    trials = started(gated("c1@0.5: max_drop=5"))
    feed(trials, range(3 * len(IMAGES)))
    judged = trials.judged.cells[FIRST]
    test = MarginTest("difference", -0.05, 3)
    lost, sizes = [], []
    for image in range(judged.n_groups):
        rows = [row for row, name in enumerate(IMAGES) if name == f"image {image}"]
        lost.append(sum(score(3 * row + 1) - score(3 * row) for row in rows))
        sizes.append(float(len(rows)))
        assert (test.add(lost[-1], sizes[-1]) is not None) == (image == judged.n_groups - 1)
    assert judged.difference == anytime_interval(np.array(lost), np.array(sizes), 3, "difference")
    assert judged.difference.high is not None
    assert judged.difference.high < -0.05


@given(st.randoms(use_true_random=False), st.integers(0, 20))
@settings(deadline=None, max_examples=30)
def test_what_is_judged_does_not_depend_on_the_order_in_which_results_come_in(rng: random.Random, seed: int) -> None:
    sweep = gated("*@0.5: max_drop=5, min_accuracy=60")
    shuffled = list(range(sweep.n_cases))
    rng.shuffle(shuffled)
    ordered, other = started(sweep), started(sweep)
    feed(ordered, range(sweep.n_cases), seed)
    feed(other, shuffled, seed)
    for cell in (FIRST, SECOND):
        assert summary(ordered.judged.cells[cell]) == summary(other.judged.cells[cell])


def test_nothing_is_judged_beyond_a_case_that_is_missing() -> None:
    sweep = gated("c1@0.5: max_drop=5")
    trials = started(sweep)
    missing = 3 * IMAGES.index("image 4") + COLUMN_1
    assert feed(trials, (order for order in range(sweep.n_cases) if order != missing)) == set()
    judged = trials.judged.cells[FIRST]
    assert (judged.n_groups, judged.decided) == (4, False)


def test_a_measurement_that_comes_twice_counts_once() -> None:
    sweep = gated("c1@0.5: max_drop=5")
    once, twice = started(sweep), started(sweep)
    feed(once, range(sweep.n_cases))
    feed(twice, (order for order in range(sweep.n_cases) for _ in range(2)))
    assert summary(once.judged.cells[FIRST]) == summary(twice.judged.cells[FIRST])


def test_a_cell_ends_when_all_of_its_limits_are_decided() -> None:
    trials = started(gated("c1@0.5: max_drop=5", "c1@*: min_accuracy=55"))
    feed(trials, range(3 * len(IMAGES)))
    judged = trials.judged.cells[FIRST]
    assert judged.decided
    assert len(judged.decided_after) == 2
    assert max(judged.decided_after.values()) == judged.n_rows


@pytest.mark.parametrize(
    "gate", ["c1@0.5: max_drop=5, rule=point", "c1@0.5: max_kv_bytes=1k", "*: min_accuracy=5, category=a"]
)
def test_a_cell_with_a_gate_that_needs_all_samples_takes_no_part(gate: str) -> None:
    trials = started(gated("c1@0.5: max_drop=5", gate))
    assert feed(trials, range(3 * len(IMAGES))) == set()
    assert FIRST not in trials.judged.cells


def test_a_cell_that_is_not_selected_whole_takes_no_part() -> None:
    sweep = gated("*: max_drop=5")
    trials = started(sweep, without=[COLUMN_1])
    feed(trials, range(sweep.n_cases))
    assert FIRST not in trials.judged.cells
    assert SECOND in trials.judged.cells


def test_stock_goes_on_while_a_cell_without_gates_does() -> None:
    sweep = gated("c1@0.5: max_drop=5")
    trials = started(sweep)
    assert not any(order % 3 == STOCK for order in feed(trials, range(sweep.n_cases)))
    assert sweep.blocks[0].cells[0] not in trials.judged.cells


def test_stock_ends_with_the_last_cell_that_it_is_compared_with() -> None:
    sweep = gated("c1@0.5: max_drop=5", "c2@0.5: min_accuracy=20")
    trials = started(sweep)
    gone = feed(trials, range(sweep.n_cases))
    assert {order % 3 for order in gone} == {STOCK, COLUMN_1, COLUMN_2}
    judged = trials.judged.cells
    stock = judged[sweep.blocks[0].cells[0]]
    assert stock.n_rows == max(judged[FIRST].n_rows, judged[SECOND].n_rows)
    assert stock.accuracy is not None
    assert stock.accuracy.anytime


def test_seeds_of_one_compressor_are_judged_by_their_mean_and_end_together() -> None:
    sweep = replace(gated("c1@0.5: max_drop=5"), seed_groups={"c1": ["c1", "c2"]})
    trials = started(sweep)
    gone = feed(trials, range(sweep.n_cases))
    judged = trials.judged
    group = judged.groups[FIRST]
    assert group.decided
    assert {order % 3 for order in gone} == {STOCK, COLUMN_1, COLUMN_2}
    assert {judged.cells[cell].n_rows for cell in (FIRST, SECOND)} == {group.n_rows}
    rows = range(group.n_rows)
    means = [(score(3 * row + 1) + score(3 * row + 2)) / 2 - score(3 * row) for row in rows]
    assert group.difference is not None
    assert group.difference.estimate == pytest.approx(sum(means) / len(means))
    assert [found.cell for found in judged.gated] == [FIRST]


def test_samples_without_an_answer_are_passed_over() -> None:
    sweep = gated("c1@0.5: max_drop=5")
    trials = started(sweep)
    for order in range(sweep.n_cases):
        trials.record(order, None if order < 30 else score(order))
    judged = trials.judged.cells[FIRST]
    assert judged.decided
    assert judged.n_samples == judged.n_rows - 10


def test_samples_of_an_image_that_are_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="not side by side"):
        started(gated("c1@0.5: max_drop=5", images=["a", "b", "a"]))
