"""Score intervals against published ones, and against a search for the likeliest probabilities under a tested value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS

from pytest_vtc.score_intervals import PairedShares, score_ends
from pytest_vtc.statistics import paired_difference, share_of_stock


def test_shares_of_soft_scores_count_in_part() -> None:
    shares = PairedShares.of(np.array([1.0, 0.5, 0.0, 0.25]), np.array([1.0, 0.25, 0.0, 0.75]))
    assert (shares.both, shares.gained, shares.lost) == pytest.approx((1.5 / 4, 0.5 / 4, 0.25 / 4))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.3])
def test_the_variance_among_pairs_is_that_of_the_scores(ratio: float) -> None:
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 2, 50).astype(float), rng.integers(0, 2, 50).astype(float)
    assert PairedShares.of(before, after).variance(ratio) == pytest.approx(np.var(after - ratio * before))


def test_an_end_that_no_value_rejects_is_the_lowest_or_infinite() -> None:
    assert score_ends(lambda value: 0.5 - value, lambda value: 1 + abs(value), 0.5, lowest=0.0) == (0.0, float("inf"))


def test_difference_and_share_of_a_published_table() -> None:
    # 1 right both times, 1 gained, 7 lost, 12 wrong both times. Fagerland, Lydersen and Laake (Statistics in Medicine,
    # 2014) give Tango's interval of the difference as -0.517 to -0.026, and the score interval of the ratio.
    before, after = [1.0] + [0.0] + [1.0] * 7 + [0.0] * 12, [1.0] + [1.0] + [0.0] * 7 + [0.0] * 12
    difference, share = paired_difference(before, after), share_of_stock(before, after)
    assert (difference.low, difference.high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert (share.low, share.high) == pytest.approx((0.065, 0.907), abs=5e-4)


def likeliest_variance(before: np.ndarray, after: np.ndarray, mean: float, slope: float = 1.0) -> float:
    """Variance of `after - slope * before` at the likeliest probabilities under which its mean is that: searched."""
    counts = [np.sum((before == b) & (after == a)) / len(before) for b, a in ((1, 1), (0, 1), (1, 0), (0, 0))]

    def likelihood(point: np.ndarray) -> float:
        probabilities = cells(point)
        if min(probabilities) < 0:
            return 1e9
        logs = [c * np.log(max(p, 1e-300)) for c, p in zip(counts, probabilities, strict=True) if c > 0]
        return -float(sum(logs))

    def cells(point: np.ndarray) -> tuple[float, float, float, float]:
        both, lost = float(point[0]), float(point[1])
        gained = mean + slope * (both + lost) - both
        return both, gained, lost, 1 - both - gained - lost

    starts = [(b, x) for b in (0.1, 0.3, 0.5) for x in (0.05, 0.15, 0.3)]
    start = min(starts, key=lambda point: likelihood(np.array(point)))
    options = {"xatol": 1e-11, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 20_000}
    both, gained, lost, _ = cells(minimize(likelihood, start, method="Nelder-Mead", options=options).x)
    return both * (1 - slope) ** 2 + gained + lost * slope**2 - mean**2


@pytest.mark.parametrize("seed", range(6))
def test_the_ends_are_where_the_test_with_the_likeliest_variance_just_rejects(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(25), rng.integers(1, 8, 25))
    before = rng.integers(0, 2, len(groups)).astype(float)
    after = np.where(rng.random(len(groups)) < 0.3, rng.integers(0, 2, len(groups)), before).astype(float)
    t = float(student.ppf(0.975, 24))
    difference, share = paired_difference(before, after, groups), share_of_stock(before, after, groups)
    for end in (difference.low, difference.high):
        assert end is not None
        robust = OLS(after - before, np.ones(len(groups))).fit(cov_type="cluster", cov_kwds={"groups": groups}).bse[0]
        under = robust**2 / np.var(after - before, ddof=1) * likeliest_variance(before, after, end)
        assert abs(difference.estimate - end) == pytest.approx(t * under**0.5, rel=1e-4)
    for end in (share.low, share.high):
        assert end is not None
        left = after - end * before
        robust = OLS(left, np.ones(len(groups))).fit(cov_type="cluster", cov_kwds={"groups": groups}).bse[0]
        under = robust**2 / np.var(left, ddof=1) * likeliest_variance(before, after, 0.0, end)
        assert abs(left.mean()) == pytest.approx(t * under**0.5, rel=1e-4)
