"""Betting on image groups: equal to the definition, order-free within what it promises, never widening."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.sequential import STAKES, WEIGHTS, Estimand, MarginTest, Side, anytime_interval, anytime_p
from pytest_vtc.statistics import paired_difference

LARGEST = 4
ESTIMANDS: tuple[Estimand, ...] = ("difference", "accuracy", "share")

pairs = st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=LARGEST)
runs = st.lists(pairs, min_size=1, max_size=60)
"""Groups of samples, each a score of stock and one of the other."""


def sums(run: list[list[tuple[float, float]]], estimand: Estimand) -> tuple[np.ndarray, np.ndarray]:
    stock = np.array([sum(before for before, _ in group) for group in run])
    other = np.array([sum(after for _, after in group) for group in run])
    counts = np.array([float(len(group)) for group in run])
    return {"difference": (other - stock, counts), "accuracy": (other, counts), "share": (other, stock)}[estimand]


def wealth_by_the_book(numerators: np.ndarray, denominators: np.ndarray, estimand: Estimand, m: float) -> list[float]:
    """The larger of the two wealths after each group, from the definition: a product for each stake, their mean."""
    worst = {
        "difference": (-1.0 - m, 1.0 - m),  # of other - stock - m, for a sample
        "accuracy": (-m, 1.0 - m),
        "share": (-m, 1.0),  # of other - m * stock
    }[estimand]
    above, below = [1.0] * len(STAKES), [1.0] * len(STAKES)
    found: list[float] = []
    for a, b in zip(numerators, denominators, strict=True):
        for i, stake in enumerate(STAKES):
            above[i] *= 1 + stake * (a - m * b) / (LARGEST * -worst[0])
            below[i] *= 1 - stake * (a - m * b) / (LARGEST * worst[1])
        found.append(max(sum(w * k for w, k in zip(WEIGHTS, side, strict=True)) for side in (above, below)))
    return found


def test_the_weights_share_out_one_unit_of_wealth_on_stakes_that_cannot_ruin() -> None:
    assert WEIGHTS.sum() == pytest.approx(1)
    assert ((STAKES > 0) & (STAKES < 1)).all()


@given(runs, st.sampled_from(ESTIMANDS), st.sampled_from([0.05, 0.4, 0.8]))
def test_a_margin_is_decided_when_the_wealth_by_the_book_reaches_forty(
    run: list[list[tuple[float, float]]], estimand: Estimand, margin: float
) -> None:
    numerators, denominators = sums(run * 5, estimand)
    test = MarginTest(estimand, margin, LARGEST)
    decided = [test.add(float(a), float(b)) is not None for a, b in zip(numerators, denominators, strict=True)]
    book = wealth_by_the_book(numerators, denominators, estimand, margin)
    reached = next((i for i, wealth in enumerate(book) if wealth >= 40), len(book))
    assert decided == [i >= reached for i in range(len(book))]


@given(runs, st.sampled_from(ESTIMANDS))
@settings(deadline=None)
def test_an_interval_ends_where_the_wealth_by_the_book_reaches_forty(
    run: list[list[tuple[float, float]]], estimand: Estimand
) -> None:
    numerators, denominators = sums(run * 3, estimand)
    if not denominators.sum():
        return
    interval = anytime_interval(numerators, denominators, LARGEST, estimand)
    assert interval.low is not None
    least = -1.0 if estimand == "difference" else 0.0
    high = 1.0 if interval.high is None else interval.high
    for inside in np.linspace(interval.low + 1e-6, high - 1e-6, 5):
        if interval.low < inside < high:
            assert max(wealth_by_the_book(numerators, denominators, estimand, float(inside))) < 40
    for outside in (interval.low - 1e-6, high + 1e-6):
        if least < outside < 1:
            assert max(wealth_by_the_book(numerators, denominators, estimand, outside)) >= 40


@given(runs, st.sampled_from(ESTIMANDS))
@settings(deadline=None)
def test_an_interval_never_widens(run: list[list[tuple[float, float]]], estimand: Estimand) -> None:
    numerators, denominators = sums(run * 4, estimand)
    low, high = -math.inf, math.inf
    for n in range(1, len(numerators) + 1, max(1, len(numerators) // 8)):
        if not denominators[:n].sum():
            continue
        interval = anytime_interval(numerators[:n], denominators[:n], LARGEST, estimand)
        assert interval.low is not None
        assert interval.low >= low - 1e-9
        assert (math.inf if interval.high is None else interval.high) <= high + 1e-9
        low, high = interval.low, math.inf if interval.high is None else interval.high


@given(runs, st.randoms(use_true_random=False))
def test_the_order_of_groups_before_the_last_look_does_not_change_what_that_look_says(
    run: list[list[tuple[float, float]]], random: object
) -> None:
    shuffled = list(run)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for estimand in ESTIMANDS:
        ordered, other = (wealth_by_the_book(*sums(r, estimand), estimand, 0.3)[-1] for r in (run, shuffled))
        assert ordered == pytest.approx(other)


@given(runs)
@settings(deadline=None)
def test_mirrored_scores_mirror_the_interval(run: list[list[tuple[float, float]]]) -> None:
    numerators, denominators = sums(run * 3, "difference")
    one = anytime_interval(numerators, denominators, LARGEST, "difference")
    other = anytime_interval(-numerators, denominators, LARGEST, "difference")
    assert None not in (one.low, one.high, other.low, other.high)
    assert (-one.estimate, -one.high, -one.low) == pytest.approx((other.estimate, other.low, other.high))  # type: ignore[operator]


@given(runs)
@settings(deadline=None)
def test_p_is_below_five_percent_exactly_if_the_interval_excludes_the_value(
    run: list[list[tuple[float, float]]],
) -> None:
    numerators, denominators = sums(run * 3, "difference")
    interval = anytime_interval(numerators, denominators, LARGEST, "difference")
    assert interval.low is not None
    assert interval.high is not None
    p = anytime_p(numerators, denominators, LARGEST, "difference", 0.0)
    assert (p <= 0.05) == (interval.low > 0 or interval.high < 0)


def test_larger_groups_say_less_than_as_many_samples_on_images_of_their_own() -> None:
    rng = np.random.default_rng(0)
    of_images = rng.choice([-1.0, 0.0, 1.0], p=[0.2, 0.7, 0.1], size=300)
    alone = anytime_interval(np.repeat(of_images, 4), np.ones(1200), 1, "difference")
    together = anytime_interval(4 * of_images, np.full(300, 4.0), 4, "difference")
    assert None not in (alone.low, alone.high, together.low, together.high)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)  # type: ignore[operator]


def test_looking_at_any_time_costs_some_width_and_not_much_of_it() -> None:
    rng = np.random.default_rng(1)
    after = rng.choice([0.0, 0.5, 1.0], p=[0.1, 0.85, 0.05], size=5000)
    once = paired_difference(np.full(5000, 0.5), after)
    always = anytime_interval(after - 0.5, np.ones(5000), 1, "difference")
    assert None not in (once.low, once.high, always.low, always.high)
    assert 1 < (always.high - always.low) / (once.high - once.low) < 2.2  # type: ignore[operator]


def test_a_share_has_no_upper_end_as_long_as_stock_has_next_to_nothing_right() -> None:
    numerators, denominators = np.ones(301), np.zeros(301)
    numerators[-1], denominators[-1] = 0, 1
    interval = anytime_interval(numerators, denominators, 1, "share")
    assert interval.high is None
    assert interval.low is not None


def test_a_limit_at_the_end_of_the_range_is_decided_by_what_cannot_be_otherwise() -> None:
    perfect = MarginTest("accuracy", 1.0, 2)
    assert perfect.add(2.0, 2.0) is None
    assert perfect.add(1.0, 2.0) == "below"
    anything = MarginTest("difference", -1.0, 2)
    assert anything.add(-1.0, 2.0) == "above"


@pytest.mark.parametrize(
    ("numerator", "denominator", "estimand"),
    [(1.0, 3.0, "accuracy"), (2.0, 1.0, "accuracy"), (-2.0, 1.0, "difference"), (3.0, 1.0, "share")],
)
def test_sums_that_no_group_can_have_are_refused(numerator: float, denominator: float, estimand: Estimand) -> None:
    test = MarginTest(estimand, 0.5, 2)
    with pytest.raises(ValueError, match="is not what at most 2 samples"):
        test.add(numerator, denominator)
    with pytest.raises(ValueError, match="group 0"):
        anytime_interval(np.array([numerator]), np.array([denominator]), 2, estimand)


def test_nothing_to_divide_by_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to divide by"):
        anytime_interval(np.zeros(3), np.zeros(3), 1, "share")


def test_adding_a_group_takes_as_long_after_many_groups_as_after_none() -> None:
    test = MarginTest("difference", -0.025, 1)

    def seconds(n: int) -> float:
        started = time.perf_counter()
        for i in range(n):
            test.add(float(i % 2) * 0.02 - 0.035, 1.0)
        return (time.perf_counter() - started) / n

    first = seconds(500)
    seconds(5000)
    assert seconds(500) < 5 * first
    assert first < 1e-3


@pytest.mark.parametrize(("difference", "side"), [(-0.4, "below"), (0.2, "above")])
def test_a_clear_difference_is_decided_within_tens_of_groups(difference: float, side: Side) -> None:
    rng = np.random.default_rng(2)
    lost, gained = (0.5 - difference) / 2, (0.5 + difference) / 2
    test = MarginTest("difference", -0.025, 1)
    n = 0
    while test.side is None and n < 150:
        n += 1
        test.add(float(rng.choice([-1, 0, 1], p=[lost, 0.5, gained])), 1.0)
    assert test.side == side
