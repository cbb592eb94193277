"""Intervals for accuracies and for differences to stock: paired, clustered by image, honest where nothing varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95

Scores = NDArray[np.float64] | Sequence[float]
Groups = NDArray[Any] | Sequence[str] | Sequence[int]

_NO_SPREAD = 1e-12  # standard errors below this are rounding: scores lie in [0, 1]


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `low` and `high` are None where the data cannot give one."""

    estimate: float
    low: float | None
    high: float | None

    def scaled(self, factor: float) -> Interval:
        """The same in another unit: `scaled(100)` turns score units into percentage points."""
        return Interval(
            self.estimate * factor,
            None if self.low is None else self.low * factor,
            None if self.high is None else self.high * factor,
        )


def proportion_interval(scores: Scores, groups: Groups | None = None) -> Interval:
    """Mean score with its 95 % interval, within [0, 1].

    Wilson's interval (statsmodels) where scores are 0 or 1 and every sample is a group of its own. Otherwise the mean
    plus and minus the cluster-robust standard error times Student's t with (clusters - 1) degrees of freedom, clipped.
    Where that standard error is zero (everything right, say) it would claim certainty; the interval is then Wilson's
    with one observation per cluster, which is too wide rather than too narrow: a score in [0, 1] with mean p varies at
    most as much as a coin with probability p, and images are drawn independently of each other.

    scores: [n] in [0, 1]. groups: [n] labels of the cluster of each score; None if each is its own.
    A single cluster of several samples gives no interval. Raises ValueError if there are no scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    n = len(values)
    if n == 0:
        raise ValueError("no scores: an accuracy over nothing is undefined")
    codes, n_clusters = _clusters(groups, n)
    estimate = float(values.mean())
    if n_clusters == n and bool(np.isin(values, (0.0, 1.0)).all()):
        return Interval(estimate, *_wilson(float(values.sum()), n))
    if n_clusters < 2:
        return Interval(estimate, None, None)
    low, high, spread = _cluster_robust(values, codes)
    if spread < _NO_SPREAD:
        return Interval(estimate, *_wilson(estimate * n_clusters, n_clusters))
    return Interval(estimate, max(0.0, low), min(1.0, high))


def paired_difference(stock: Scores, other: Scores, groups: Groups | None = None) -> Interval:
    """Mean of `other - stock` over the same samples, in score units, with its 95 % interval, within [-1, 1].

    The interval is the mean plus and minus t (clusters - 1 degrees of freedom) times the cluster-robust (sandwich)
    standard error with the small-sample correction G / (G - 1): statsmodels' OLS on a constant, `cov_type="cluster"`.

    Where no cluster deviates (no answer changed, say) the sandwich is zero wide, which would claim a certainty that no
    finite sample gives. The rule then: of G clusters none deviated, so the share of deviating clusters in the
    population may still be up to w = z^2 / (G + z^2), Wilson's upper bound for 0 of G; a deviating cluster can differ
    by anything from -1 to 1; so the mean lies in (1 - w) * estimate -+ w. For 200 unchanged images: 0 -+ 1.9 points.

    stock, other: [n] scores in [0, 1] of the same samples in the same order. groups: [n] labels of their clusters; None
    if each sample is its own. Fewer than two clusters give no interval. Raises ValueError if lengths differ or are 0.
    """
    before, after = np.asarray(stock, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if len(before) != len(after):
        raise ValueError(f"paired scores must be of the same samples: {len(before)} stock, {len(after)} other")
    n = len(before)
    if n == 0:
        raise ValueError("no pairs: a difference over nothing is undefined")
    codes, n_clusters = _clusters(groups, n)
    differences = after - before
    estimate = float(differences.mean())
    if n_clusters < 2:
        return Interval(estimate, None, None)
    low, high, spread = _cluster_robust(differences, codes)
    if spread < _NO_SPREAD:
        _, unseen = _wilson(0.0, n_clusters)
        low, high = (1 - unseen) * estimate - unseen, (1 - unseen) * estimate + unseen
    return Interval(estimate, max(-1.0, low), min(1.0, high))


def _clusters(groups: Groups | None, n: int) -> tuple[NDArray[np.intp], int]:
    """Cluster number of each of the n samples, and how many clusters there are."""
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} samples")
    labels, codes = np.unique(np.asarray(groups), return_inverse=True)
    return codes.reshape(-1), len(labels)


def _cluster_robust(values: NDArray[np.float64], codes: NDArray[np.intp]) -> tuple[float, float, float]:
    """Low and high end of the 95 % interval of the mean, and its standard error; at least two clusters."""
    # Here and below: statsmodels takes over a second to import, which only a run that has results to judge should pay.
    from statsmodels.regression.linear_model import OLS

    # An intercept-only fit is exact only up to rounding; around the mean it is exactly zero where nothing varies.
    center = float(values.mean())
    deviations = values - center
    if float(np.abs(np.bincount(codes, weights=deviations)).max()) / len(values) < _NO_SPREAD:
        return center, center, 0.0
    fit: Any = OLS(deviations, np.ones_like(deviations)).fit(cov_type="cluster", cov_kwds={"groups": codes}, use_t=True)
    low, high = fit.conf_int(alpha=1 - CONFIDENCE)[0]
    return center + float(low), center + float(high), float(fit.bse[0])


def _wilson(successes: float, n: int) -> tuple[float, float]:
    from statsmodels.stats.proportion import proportion_confint

    ends: Any = proportion_confint(successes, n, alpha=1 - CONFIDENCE, method="wilson")
    # statsmodels' ends at 0 of n and n of n are off by rounding only; an interval holds its estimate.
    share = successes / n
    return max(0.0, min(float(ends[0]), share)), min(1.0, max(float(ends[1]), share))
