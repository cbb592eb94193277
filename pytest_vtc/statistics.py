"""Intervals for accuracies and for paired differences and ratios: clustered by image, honest where nothing varies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.score_intervals import PairedShares, score_ends

CONFIDENCE = 0.95

Scores = NDArray[np.float64] | Sequence[float]
Groups = NDArray[Any] | Sequence[str] | Sequence[int]

_NO_SPREAD = 1e-12  # standard errors below this are rounding: scores lie in [0, 1]
_Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Interval:
    """An estimate with its 95 % interval; `low` and `high` are None where the data cannot give one.

    anytime: the interval holds however often one has looked; the others hold for one look, at the end.
    """

    estimate: float
    low: float | None
    high: float | None
    anytime: bool = False

    def scaled(self, factor: float) -> Interval:
        """The same in another unit: `scaled(100)` turns score units into percentage points."""
        return Interval(
            self.estimate * factor,
            None if self.low is None else self.low * factor,
            None if self.high is None else self.high * factor,
            self.anytime,
        )


def proportion_interval(scores: Scores, groups: Groups | None = None) -> Interval:
    """Mean score with its 95 % interval, within [0, 1].

    Wilson's interval where scores are 0 or 1 and every sample is a group of its own. Otherwise Wilson's interval of as
    many independent coins as would vary like this mean: p (1 - p) / SE^2 of them, SE being the cluster-robust standard
    error, with Student's t of (clusters - 1) degrees of freedom for the normal quantile.

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
    if n_clusters == n and _is_binary(values):
        return Interval(estimate, *_wilson(estimate, n, _Z))
    if n_clusters < 2:
        return Interval(estimate, None, None)
    error = _standard_error(values - estimate, codes, n_clusters)
    if error < _NO_SPREAD:
        return Interval(estimate, *_wilson(estimate, n_clusters, _Z))
    return Interval(estimate, *_wilson(estimate, estimate * (1 - estimate) / error**2, _quantile(n_clusters - 1)))


def paired_difference(before: Scores, after: Scores, groups: Groups | None = None) -> Interval:
    """Mean of `after - before` over the same samples, in score units, with its 95 % interval, within [-1, 1].

    Tango's (1998) score interval, which does for a paired difference what Wilson's does for a proportion, with the
    sample size that the clusters leave: each hypothetical difference is tested with the variance that the changed
    answers would have under it, times the design effect of the data, and the interval holds those not rejected. The
    design effect is the cluster-robust (sandwich, G / (G - 1)) variance of the mean over that of unclustered samples;
    the quantile is Student's with (clusters - 1) degrees of freedom, and normal for unclustered scores of 0 and 1.

    Why not the mean plus and minus t standard errors: where few answers changed, almost all of them lost, a sample
    with too few losses also looks too certain, and a gate would pass a drop at its margin far too often
    (benchmarks/statistics has the figures). With many changes the two are the same.

    Where no cluster deviates (no answer changed, say) the sandwich is zero wide, which would claim a certainty that no
    finite sample gives. The rule then: of G clusters none deviated, so the share of deviating clusters in the
    population may still be up to w = z^2 / (G + z^2), Wilson's upper bound for 0 of G; a deviating cluster can differ
    by anything from -1 to 1; so the mean lies in (1 - w) * estimate -+ w. For 200 unchanged images: 0 -+ 1.9 points.

    before, after: [n] scores in [0, 1] of the same samples in the same order. groups: [n] labels of their clusters;
    None if each is its own. Fewer than two clusters give no interval. Raises ValueError if lengths differ or are 0.
    """
    return paired_test(before, after, groups)[0]


def difference_p(before: Scores, after: Scores, groups: Groups | None = None) -> float | None:
    """Two-sided p of "no difference", of the same test as `paired_difference`; arguments and errors are the same.

    The score test at 0 is McNemar's without continuity correction, gained - lost over the root of gained + lost, its
    square divided by the design effect. Below 0.05 exactly if the 95 % interval excludes 0; 1.0 where nothing changed;
    None where there is no interval.
    """
    return paired_test(before, after, groups)[1]


def paired_test(before: Scores, after: Scores, groups: Groups | None = None) -> tuple[Interval, float | None]:
    """What `paired_difference` and `difference_p` return, at the cost of one of them."""
    first, second = _pair(before, after)
    n = len(first)
    codes, n_clusters = _clusters(groups, n)
    differences = second - first
    estimate = float(differences.mean())
    if n_clusters < 2:
        return Interval(estimate, None, None), None
    error = _standard_error(differences - estimate, codes, n_clusters)
    if error < _NO_SPREAD:
        unseen = _unseen(n_clusters)
        ends = (1 - unseen) * estimate - unseen, (1 - unseen) * estimate + unseen
        # The z at which the rule's interval would end at 0.
        p = 2 * NormalDist().cdf(-((n_clusters * abs(estimate)) ** 0.5))
    else:
        degrees = None if n_clusters == n and _is_binary(first) and _is_binary(second) else n_clusters - 1
        quantile = _quantile(degrees)
        shares = PairedShares.of(first, second)
        scale = error / (shares.variance() * n / (n - 1)) ** 0.5  # the root of design effect / n
        ends = score_ends(
            lambda value: estimate - value,
            lambda value: quantile * scale * shares.variance_at_difference(value) ** 0.5,
            estimate,
            lowest=-1.0,
        )
        p = _two_sided_p(estimate / (scale * (shares.gained + shares.lost) ** 0.5), degrees)
    return Interval(estimate, max(-1.0, ends[0]), min(1.0, ends[1])), p


def share_of_stock(stock: Scores, other: Scores, groups: Groups | None = None) -> Interval:
    """Mean of `other` divided by the mean of `stock`, 1 being stock's accuracy, with its 95 % interval, at least 0.

    The score interval of a paired ratio (Nam and Blackwelder 2002), made for clusters as in `paired_difference`: each
    hypothetical ratio is tested on the mean of `other - ratio * stock`, with the design effect of that. At a ratio of 1
    this is the test of `difference_p`, so with more than a few images the interval excludes 1 exactly if that of the
    difference excludes 0.

    Where no cluster deviates from the ratio, the rule is that of `paired_difference`: up to w of the clusters may, each
    by -ratio to 1. Arguments as there. Raises ValueError where `stock` has no right answer: nothing to be a share of.
    """
    base, values = _pair(stock, other)
    n = len(base)
    codes, n_clusters = _clusters(groups, n)
    level, reached = float(base.mean()), float(values.mean())
    if level <= 0:
        raise ValueError("stock has no right answer: a share of it is undefined")
    ratio = reached / level
    if n_clusters < 2:
        return Interval(ratio, None, None)
    if _standard_error(values - ratio * base, codes, n_clusters) < _NO_SPREAD:
        unseen = _unseen(n_clusters) / level
        return Interval(ratio, ratio * max(0.0, 1 - unseen), ratio + unseen)
    quantile = _quantile(None if n_clusters == n and _is_binary(base) and _is_binary(values) else n_clusters - 1)
    shares = PairedShares.of(base, values)
    # The cluster sums of `other - ratio * stock` are linear in the ratio: their squares follow from three products.
    totals = np.stack([np.bincount(codes, weights=row) for row in (values - reached, base - level)])
    products = totals @ totals.T

    def half_width(value: float) -> float:
        weights = np.array((1.0, -value))
        variance = n_clusters / (n_clusters - 1) * float(weights @ products @ weights) / n**2
        alone = shares.variance(value) / (n - 1)
        return quantile * max(0.0, variance / alone * shares.variance_at_ratio(value) / n) ** 0.5 if alone > 0 else 0.0

    return Interval(ratio, *score_ends(lambda value: reached - value * level, half_width, ratio, lowest=0.0))


def mean_of_shares(shares: Sequence[Interval], degrees: Sequence[int | None]) -> Interval:
    """Plain mean of the shares of several datasets, each counting the same, with its 95 % interval.

    Datasets are independent samples, so squared standard errors add; a standard error is a side of the share's
    interval over the quantile it was made with, each side for itself, so that a skewed interval stays skewed (Zou and
    Donner 2008). Degrees of freedom by Welch and Satterthwaite. Of one dataset this is its own interval.

    shares: of K datasets. degrees: [K] of freedom of the t that each was made with, None for the normal quantile. A
    share without an interval leaves the mean without one. Raises ValueError if there are no shares or lengths differ.
    """
    if len(shares) != len(degrees):
        raise ValueError(f"{len(shares)} shares, but degrees of freedom of {len(degrees)}")
    if not shares:
        raise ValueError("no shares: a mean over no datasets is undefined")
    estimate = sum(share.estimate for share in shares) / len(shares)
    below: list[float] = []
    above: list[float] = []
    for share, df in zip(shares, degrees, strict=True):
        if share.low is None or share.high is None:
            return Interval(estimate, None, None)
        below.append((share.estimate - share.low) / _quantile(df))
        above.append((share.high - share.estimate) / _quantile(df))
    return Interval(
        estimate,
        estimate - _joint_half_width(below, degrees) / len(shares),
        estimate + _joint_half_width(above, degrees) / len(shares),
    )


def bootstrap_difference(
    before: Scores, after: Scores, groups: Groups | None = None, seed: int = 0, n_resamples: int = 2000
) -> Interval:
    """`paired_difference` checked by another road: the interval by a bootstrap over whole clusters.

    Clusters are drawn with replacement, each with all its pairs (scipy, percentile interval); needs no normal
    distribution, but is too narrow on few clusters. Where no cluster deviates, resampling cannot either, and
    the rule of `paired_difference` gives the ends. Arguments and errors as there; the same seed gives the same ends.
    """
    plain = paired_difference(before, after, groups)
    first, second = _pair(before, after)
    codes, n_clusters = _clusters(groups, len(first))
    differences = second - first
    if n_clusters < 2 or _standard_error(differences - plain.estimate, codes, n_clusters) < _NO_SPREAD:
        return plain
    from scipy.stats import bootstrap

    sums = np.bincount(codes, weights=differences)
    sizes = np.bincount(codes).astype(np.float64)

    def ratio(totals: NDArray[np.float64], counts: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
        return totals.sum(axis=axis) / counts.sum(axis=axis)

    drawn: Any = bootstrap(
        (sums, sizes),
        ratio,
        n_resamples=n_resamples,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(seed),
    )
    ends = drawn.confidence_interval
    return Interval(plain.estimate, min(float(ends.low), plain.estimate), max(float(ends.high), plain.estimate))


def _pair(before: Scores, after: Scores) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if len(first) != len(second):
        raise ValueError(f"paired scores must be of the same samples: {len(first)} before, {len(second)} after")
    if len(first) == 0:
        raise ValueError("no pairs: a difference over nothing is undefined")
    return first, second


def _clusters(groups: Groups | None, n: int) -> tuple[NDArray[np.intp], int]:
    """Cluster number of each of the n samples, and how many clusters there are."""
    if groups is None:
        return np.arange(n), n
    if len(groups) != n:
        raise ValueError(f"{len(groups)} groups for {n} samples")
    labels, codes = np.unique(np.asarray(groups), return_inverse=True)
    return codes.reshape(-1), len(labels)


def _standard_error(residuals: NDArray[np.float64], codes: NDArray[np.intp], n_clusters: int) -> float:
    """Cluster-robust standard error of a mean, given what is left of each sample after it; at least two clusters.

    The sandwich of a regression on a constant (Liang and Zeger 1986) with the correction G / (G - 1): what
    statsmodels' OLS with `cov_type="cluster"` gives, without the fit.
    """
    sums = np.bincount(codes, weights=residuals)
    return float((n_clusters / (n_clusters - 1) * (sums @ sums)) ** 0.5) / len(residuals)


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Ends of Wilson's (1927) score interval for a share of n independent trials, which need not be whole."""
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    # At shares of 0 and 1 the ends are off by rounding; an interval holds its estimate.
    return max(0.0, min(center - half, share)), min(1.0, max(center + half, share))


def _unseen(n_clusters: int) -> float:
    """The share of clusters that may deviate though none of these did: Wilson's upper bound for 0 of G."""
    return _Z**2 / (n_clusters + _Z**2)


def _joint_half_width(errors: Sequence[float], degrees: Sequence[int | None]) -> float:
    """Half of the interval of a sum of independent terms, from their standard errors (Welch and Satterthwaite)."""
    variance = sum(error**2 for error in errors)
    if variance == 0:
        return 0.0
    unsure = sum(error**4 / df for error, df in zip(errors, degrees, strict=True) if df is not None)
    return _quantile(variance**2 / unsure if unsure else None) * variance**0.5


def _is_binary(values: NDArray[np.float64]) -> bool:
    return bool(((values == 0) | (values == 1)).all())


# scipy takes a fraction of a second to import, which only a run that has results to judge should pay.


def _quantile(degrees: float | None) -> float:
    """Student's t that the 95 % interval reaches; of None degrees of freedom the normal quantile."""
    if degrees is None:
        return _Z
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))


def _two_sided_p(statistic: float, degrees: float | None) -> float:
    """Two-sided p of Student's t, or of the normal distribution."""
    if degrees is None:
        return 2 * NormalDist().cdf(-abs(statistic))
    from scipy.special import stdtr

    return min(1.0, 2 * float(stdtr(degrees, -abs(statistic))))
