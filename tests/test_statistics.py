"""Intervals against hand-computed sandwiches, statsmodels and simulation."""

from __future__ import annotations

import math
import subprocess
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from pytest_vtc.statistics import (
    Interval,
    _standard_error,
    bootstrap_difference,
    difference_p,
    mean_of_shares,
    paired_difference,
    paired_test,
    proportion_interval,
    share_of_stock,
)

Z2 = 1.959963984540054**2


def sandwich(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The interval written out: residual sums per cluster, squared, G / (G - 1), over n squared."""
    labels = np.unique(groups)
    sums = [float((values - values.mean())[groups == label].sum()) for label in labels]
    n_clusters = len(labels)
    error = (n_clusters / (n_clusters - 1) * sum(s * s for s in sums)) ** 0.5 / len(values)
    half = float(student.ppf(0.975, n_clusters - 1)) * error
    return float(values.mean()) - half, float(values.mean()) + half


def test_questions_asked_twice_count_once() -> None:
    # Two copies of each pair tell as much as one; t and G / (G - 1) are what is left of the clusters.
    rng = np.random.default_rng(6)
    before, after = rng.integers(0, 2, 300).astype(float), rng.integers(0, 2, 300).astype(float)
    alone = paired_difference(before, after)
    twice = paired_difference(np.tile(before, 2), np.tile(after, 2), np.tile(np.arange(300), 2))
    assert width(twice) == pytest.approx(width(alone), rel=0.01)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_standard_error_equals_hand_sandwich_and_statsmodels(seed: int, n_clusters: int, largest: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_clusters), rng.integers(1, largest + 1, n_clusters))
    values = rng.random(len(groups))
    error = _standard_error(values - values.mean(), groups, n_clusters)
    fit = OLS(values, np.ones(len(groups))).fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)
    assert error == pytest.approx(float(fit.bse[0]))
    half = float(student.ppf(0.975, n_clusters - 1)) * error
    assert (values.mean() - half, values.mean() + half) == pytest.approx(sandwich(values, groups))


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(2000), 4)])
def test_with_many_changes_the_interval_is_the_mean_and_t_standard_errors(groups: np.ndarray | None) -> None:
    rng = np.random.default_rng(1)
    before, after = rng.integers(0, 2, 8000).astype(float), rng.integers(0, 2, 8000).astype(float)
    result = paired_difference(before, after, groups)
    low, high = sandwich(after - before, np.arange(8000) if groups is None else groups)
    assert (result.low, result.high) == pytest.approx((low, high), abs=1e-4)


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


Rows = list[tuple[float, float, int]]
ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.3, 1.0, 1.0]), st.sampled_from([0.0, 1 / 3, 1.0, 1.0]), st.integers(0, 6)),
    min_size=1,
    max_size=60,
)


def columns(rows: Rows) -> tuple[list[float], list[float], list[int]]:
    before, after, groups = (list(column) for column in zip(*rows, strict=True))
    return before, after, groups


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_p_is_below_five_percent_exactly_where_the_interval_excludes_no_difference(rows: Rows) -> None:
    interval, p = paired_test(*columns(rows))
    if p is None or interval.low is None or interval.high is None:
        assert (p, interval.low, interval.high) == (None, None, None)
        return
    assert 0 <= p <= 1
    if abs(p - 0.05) > 1e-6:
        assert (p < 0.05) == (interval.low > 0 or interval.high < 0)


@given(ROWS)
@settings(max_examples=200, deadline=None)
def test_an_interval_of_a_share_holds_it(rows: Rows) -> None:
    before, after, groups = columns(rows)
    if sum(before) == 0 or len({*groups}) < 2:
        return
    share = share_of_stock(before, after, groups)
    assert share.low is not None
    assert share.high is not None
    assert 0 <= share.low <= share.estimate <= share.high < math.inf


def test_a_share_excludes_all_of_stock_exactly_where_the_difference_excludes_zero() -> None:
    # Of two or three images it may not: their sums can agree on one ratio by chance, and on none beside it.
    rng = np.random.default_rng(0)
    found: list[bool] = []
    for _ in range(300):
        n, n_images = 60, int(rng.integers(12, 40))
        groups = rng.integers(0, n_images, n)
        before = (rng.random(n) < 0.7).astype(np.float64)
        after = np.where(rng.random(n) < 0.3, (rng.random(n) < rng.random()).astype(np.float64), before)
        share, p = share_of_stock(before, after, groups), difference_p(before, after, groups)
        assert share.low is not None
        assert share.high is not None
        assert p is not None
        found.append(p < 0.05)
        assert (share.low > 1 or share.high < 1) == found[-1]
    assert 30 < sum(found) < 270


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_swapping_the_two_columns_mirrors_the_difference(rows: Rows) -> None:
    before, after, groups = columns(rows)
    (one, p), (other, q) = paired_test(before, after, groups), paired_test(after, before, groups)
    assert one.estimate == pytest.approx(-other.estimate)
    assert (p is None) == (q is None)
    if p is not None and one.low is not None and one.high is not None:
        assert (one.low, one.high, p) == pytest.approx((-(other.high or 0.0), -(other.low or 0.0), q), abs=1e-9)


@given(ROWS, st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_samples_does_not_matter(rows: Rows, random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    for result, again in zip(everything(rows), everything(shuffled), strict=True):
        assert ends(result) == pytest.approx(ends(again), abs=1e-9)


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_no_groups_are_groups_of_one(rows: Rows) -> None:
    alone = [(before, after, at) for at, (before, after, _) in enumerate(rows)]
    before, after, _ = columns(rows)
    expected = everything(alone)
    assert [proportion_interval(after), *paired_test(before, after)[:1]] == expected[:2]
    if sum(before):
        assert share_of_stock(before, after) == expected[2]


def everything(rows: Rows) -> list[Interval]:
    before, after, groups = columns(rows)
    intervals = [proportion_interval(after, groups), paired_difference(before, after, groups)]
    return [*intervals, share_of_stock(before, after, groups)] if sum(before) else intervals


def test_nothing_changed_is_no_difference_with_certainty_of_nothing() -> None:
    scores = [1.0, 0.0, 1.0, 1.0]
    assert difference_p(scores, scores) == 1.0
    assert difference_p([0.0] * 4, [0.0] * 4) == 1.0


def test_everything_lost_is_significant_only_on_enough_images() -> None:
    # The rule for no variation: 2 Phi(-sqrt(G)), and the interval ends at 0 where G = z^2, just under four.
    assert difference_p([1.0] * 3, [0.0] * 3) == pytest.approx(0.0832645)
    assert difference_p([1.0] * 4, [0.0] * 4) == pytest.approx(0.0455003)


def test_an_unclustered_p_of_zeros_and_ones_is_mcnemars_asymptotic() -> None:
    before, after = [1.0] * 15 + [0.0] * 5 + [1.0] * 30, [0.0] * 15 + [1.0] * 5 + [1.0] * 30
    expected = mcnemar([[30, 15], [5, 0]], exact=False, correction=False).pvalue
    assert difference_p(before, after) == pytest.approx(expected)


def test_unchanged_answers_share_all_of_stock_within_wilsons_upper_bound_for_deviating_images() -> None:
    scores = np.tile([1.0, 0.0], 100)
    result = share_of_stock(scores, scores, np.repeat(np.arange(50), 4))
    unseen = Z2 / (50 + Z2) / 0.5
    assert ends(result) == pytest.approx((1.0, 1 - unseen, 1 + unseen))


def test_a_share_of_no_right_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="no right answer"):
        share_of_stock([0.0, 0.0], [1.0, 0.0])


def test_a_share_over_one_image_has_no_interval() -> None:
    assert share_of_stock([1.0, 1.0], [1.0, 0.0], ["a", "a"]) == Interval(0.5, None, None)


def test_all_lost_is_a_share_of_nothing() -> None:
    result = share_of_stock([1.0] * 40, [0.0] * 40)
    assert (result.estimate, result.low) == (0.0, 0.0)
    assert result.high == pytest.approx(Z2 / (40 + Z2))


def test_the_mean_of_one_share_is_that_share() -> None:
    share = Interval(0.9, 0.8, 0.95)
    assert ends(mean_of_shares([share], [29])) == pytest.approx(ends(share))


def test_a_share_made_with_the_normal_quantile_is_taken_for_one() -> None:
    share = Interval(0.9, 0.8, 0.95)
    assert ends(mean_of_shares([share], [None])) == pytest.approx(ends(share))
    assert ends(mean_of_shares([share, share], [None, None])) == pytest.approx(
        (0.9, 0.9 - 0.1 / 2**0.5, 0.9 + 0.05 / 2**0.5)
    )


def test_the_mean_of_shares_is_welchs_interval_of_independent_means() -> None:
    # Two symmetric intervals of standard errors 0.02 and 0.01, with 9 and 29 degrees of freedom.
    halves = [0.02 * float(student.ppf(0.975, 9)), 0.01 * float(student.ppf(0.975, 29))]
    shares = [Interval(mean, mean - half, mean + half) for mean, half in zip((0.9, 0.98), halves, strict=True)]
    degrees = (0.02**2 + 0.01**2) ** 2 / (0.02**4 / 9 + 0.01**4 / 29)
    half = float(student.ppf(0.975, degrees)) * (0.02**2 + 0.01**2) ** 0.5 / 2
    assert ends(mean_of_shares(shares, [9, 29])) == pytest.approx((0.94, 0.94 - half, 0.94 + half))


def test_a_share_without_an_interval_leaves_the_mean_without_one() -> None:
    assert mean_of_shares([Interval(0.9, 0.8, 1.0), Interval(0.7, None, None)], [9, 0]) == Interval(0.8, None, None)


def test_a_mean_of_no_shares_is_refused() -> None:
    with pytest.raises(ValueError, match="no shares"):
        mean_of_shares([], [])


def test_shares_and_degrees_of_freedom_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="1 shares, but degrees of freedom of 2"):
        mean_of_shares([Interval(0.9, 0.8, 1.0)], [10, 20])


def test_the_bootstrap_over_images_agrees_with_the_sandwich() -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(300), rng.integers(1, 9, 300))
    before = rng.integers(0, 2, len(groups)).astype(float)
    after = np.where(rng.random(300)[groups] < 0.3, rng.integers(0, 2, len(groups)), before).astype(float)
    sandwiched, resampled = paired_difference(before, after, groups), bootstrap_difference(before, after, groups)
    assert resampled.estimate == sandwiched.estimate
    assert width(resampled) == pytest.approx(width(sandwiched), rel=0.06)
    assert resampled == bootstrap_difference(before, after, groups, seed=0)
    assert resampled != bootstrap_difference(before, after, groups, seed=1)


def test_a_bootstrap_where_nothing_changed_falls_back_on_the_rule() -> None:
    scores = [1.0, 0.0] * 20
    assert bootstrap_difference(scores, scores) == paired_difference(scores, scores)


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
