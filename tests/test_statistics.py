"""Intervals against hand-computed sandwiches, statsmodels and simulation."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from pytest_vtc.statistics import Interval, paired_difference, proportion_interval

Z2 = 1.959963984540054**2


def sandwich(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The interval written out: residual sums per cluster, squared, G / (G - 1), over n squared."""
    labels = np.unique(groups)
    sums = [float((values - values.mean())[groups == label].sum()) for label in labels]
    n_clusters = len(labels)
    error = (n_clusters / (n_clusters - 1) * sum(s * s for s in sums)) ** 0.5 / len(values)
    half = float(student.ppf(0.975, n_clusters - 1)) * error
    return float(values.mean()) - half, float(values.mean()) + half


def test_difference_of_a_small_table_equals_the_sandwich_by_hand() -> None:
    # In tenths: -1, -1 | 0, 0 | 1, 0. Mean -1/6; sums of residuals -5/3, 1/3, 4/3; variance 3/2 * 42/9 / 36 = 7/36.
    stock, other = [0.5, 0.6, 0.7, 0.2, 0.3, 0.9], [0.4, 0.5, 0.7, 0.2, 0.4, 0.9]
    result = paired_difference(stock, other, ["a", "a", "b", "b", "c", "c"])
    half = 4.302652729749464 * (7 / 36) ** 0.5  # t with two degrees of freedom
    assert ends(result) == pytest.approx((-1 / 60, (-1 / 6 - half) / 10, (-1 / 6 + half) / 10))


def test_the_interval_ends_where_no_difference_can_be() -> None:
    result = paired_difference([1, 1, 0, 1, 0, 1], [0, 0, 0, 1, 1, 1], ["a", "a", "b", "b", "c", "c"])
    assert (result.low, result.high) == (-1.0, 1.0)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_difference_equals_hand_sandwich_and_statsmodels(seed: int, n_clusters: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_clusters), rng.integers(1, largest + 1, n_clusters))
    stock, other = rng.random(len(groups)), rng.random(len(groups))
    result = paired_difference(stock, other, groups)
    low, high = sandwich(other - stock, groups)
    fit = OLS(other - stock, np.ones(len(groups))).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert (low, high) == pytest.approx(tuple(fit.conf_int()[0]))
    assert (result.low, result.high) == pytest.approx((max(-1, low), min(1, high)))
    assert result.estimate == pytest.approx(float(np.mean(other - stock)))


def test_difference_without_groups_is_the_ordinary_paired_t_interval() -> None:
    rng = np.random.default_rng(1)
    stock, other = rng.random(40), rng.random(40)
    result = paired_difference(stock, other)
    differences = other - stock
    half = float(student.ppf(0.975, 39)) * differences.std(ddof=1) / 40**0.5
    assert (result.low, result.high) == pytest.approx((differences.mean() - half, differences.mean() + half))


def test_questions_on_one_image_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    stock, other = np.repeat(rng.integers(0, 2, 50), 4), np.repeat(rng.integers(0, 2, 50), 4)
    alone, clustered = paired_difference(stock, other), paired_difference(stock, other, np.repeat(np.arange(50), 4))
    assert width(clustered) > 1.8 * width(alone)


def test_group_labels_and_their_order_do_not_matter() -> None:
    rng = np.random.default_rng(3)
    codes = np.sort(rng.integers(0, 12, 60))
    stock, other = rng.random(60), rng.random(60)
    shuffled = rng.permutation(60)
    names = [f"image {'zyxwvutsrqpo'[code]}" for code in codes]
    expected = paired_difference(stock, other, codes)
    result = paired_difference(stock[shuffled], other[shuffled], [names[i] for i in shuffled])
    assert ends(result) == pytest.approx(ends(expected))


def test_unchanged_answers_give_wilsons_upper_bound_for_deviating_images_and_not_certainty() -> None:
    groups = np.repeat(np.arange(200), 3)
    scores = np.tile([1.0, 0.0, 1.0], 200)
    result = paired_difference(scores, scores, groups)
    unseen = Z2 / (200 + Z2)
    assert ends(result) == pytest.approx((0.0, -unseen, unseen))


def test_every_answer_lost_gives_an_interval_that_reaches_the_end_of_the_scale_and_not_beyond() -> None:
    result = paired_difference([1.0] * 50, [0.0] * 50)
    assert ends(result) == pytest.approx((-1.0, -1.0, -1 + 2 * Z2 / (50 + Z2)))


def test_changes_that_cancel_within_every_image_do_not_give_certainty() -> None:
    result = paired_difference([1, 0] * 10, [0, 1] * 10, np.repeat(np.arange(10), 2))
    assert result.estimate == 0
    assert width(result) == pytest.approx(2 * Z2 / (10 + Z2))


@pytest.mark.parametrize(("n", "groups"), [(1, None), (1, ["a"]), (5, ["a"] * 5)])
def test_a_difference_over_one_cluster_has_no_interval(n: int, groups: list[str] | None) -> None:
    assert paired_difference([1.0] * n, [0.0] * n, groups) == Interval(-1.0, None, None)


def test_an_empty_pairing_is_refused() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        paired_difference([], [])


def test_pairs_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 before, 2 after"):
        paired_difference([1, 1, 1], [1, 1])


def test_groups_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="2 groups for 3 samples"):
        proportion_interval([1, 0, 1], ["a", "b"])


@given(st.integers(1, 500), st.data())
@settings(max_examples=60, deadline=None)
def test_accuracy_of_singletons_is_wilsons(n: int, data: st.DataObject) -> None:
    correct = data.draw(st.integers(0, n))
    result = proportion_interval([1.0] * correct + [0.0] * (n - correct), [str(i) for i in range(n)])
    assert (result.low, result.high) == pytest.approx(proportion_confint(correct, n, method="wilson"), abs=1e-12)
    assert result == proportion_interval([1.0] * correct + [0.0] * (n - correct))


def wilson_of_sandwich(scores: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The ends are the shares p whose distance to the mean is t times their own standard error, p (1 - p) scaled."""
    mean, n_clusters = float(scores.mean()), len(np.unique(groups))
    t = float(student.ppf(0.975, n_clusters - 1))
    error = (sandwich(scores, groups)[1] - mean) / t
    scale = t**2 * error**2 / (mean * (1 - mean))
    low, high = sorted(np.roots([1 + scale, -(2 * mean + scale), mean**2]))
    return float(low), float(high)


def test_accuracy_over_clusters_is_wilsons_at_the_effective_sample_size() -> None:
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(30), 5)
    scores = rng.integers(0, 2, 150).astype(float)
    result = proportion_interval(scores, groups)
    assert (result.low, result.high) == pytest.approx(wilson_of_sandwich(scores, groups))


def test_fractional_scores_use_the_effective_sample_size_even_without_clusters() -> None:
    scores = np.array([0.3, 0.6, 0.9, 1.0, 0.0, 0.3])
    result = proportion_interval(scores)
    assert (result.low, result.high) == pytest.approx(wilson_of_sandwich(scores, np.arange(6)))


def test_everything_right_over_clusters_is_wilsons_with_one_observation_per_image() -> None:
    result = proportion_interval([1.0] * 60, np.repeat(np.arange(20), 3))
    assert ends(result) == pytest.approx((1.0, *proportion_confint(20, 20, method="wilson")))


def test_one_image_with_many_questions_has_no_interval() -> None:
    assert proportion_interval([1.0, 0.0, 1.0, 1.0], ["a"] * 4) == Interval(0.75, None, None)


def test_an_accuracy_over_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no scores"):
        proportion_interval([])


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([0.0, 1 / 3, 1.0]), st.integers(0, 6)), min_size=1
    )
)
@settings(max_examples=200, deadline=None)
def test_every_interval_holds_its_estimate_and_stays_on_the_scale(rows: list[tuple[float, float, int]]) -> None:
    stock, other, groups = (list(column) for column in zip(*rows, strict=True))
    for result, floor in ((proportion_interval(stock, groups), 0.0), (paired_difference(stock, other, groups), -1.0)):
        if result.low is None or result.high is None:
            assert len(set(groups)) == 1
        else:
            assert floor <= result.low <= result.estimate + 1e-12
            assert result.estimate - 1e-12 <= result.high <= 1.0
            assert result.high > result.low


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        image = rng.random(60)  # the difficulty that the four questions on an image share
        stock = (rng.random((60, 4)) < image[:, None]).astype(float)
        other = stock * (rng.random((60, 4)) < 0.5 + 0.5 * image[:, None])  # loses E[p(1 - p)] / 2 = 1/12
        result = paired_difference(stock.ravel(), other.ravel(), np.repeat(np.arange(60), 4))
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= -1 / 12 <= result.high
    assert 0.91 <= covered / 300 <= 0.985


def test_scaling_keeps_what_is_unknown_unknown() -> None:
    assert Interval(0.25, None, 0.5).scaled(100) == Interval(25.0, None, 50.0)


def test_statsmodels_is_not_imported_before_it_is_needed() -> None:
    check = "import sys, pytest_vtc.statistics; sys.exit('statsmodels' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def width(interval: Interval) -> float:
    assert interval.low is not None
    assert interval.high is not None
    return interval.high - interval.low


def ends(interval: Interval) -> tuple[float | None, float | None, float | None]:
    return interval.estimate, interval.low, interval.high
