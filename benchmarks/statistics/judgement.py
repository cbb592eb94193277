"""On which side of the truth each of many simulated runs' 95 % intervals lies; vectorised over the runs.

A score interval holds a value exactly if the test of that value does not reject it, so no end has to be computed. This
repeats pytest_vtc.statistics for arrays of runs; `coverage.py` compares the two run by run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from population import AFTER, BEFORE, Population
from scipy.special import stdtrit

Array = NDArray[np.float64]
Z = 1.959963984540054
NO_SPREAD = 1e-12
RESAMPLES = 2000


@dataclass(frozen=True)
class Missed:
    """Per run: the whole interval is below the truth, or above it. One that covers it is neither. [runs] each."""

    below: NDArray[np.bool_]
    above: NDArray[np.bool_]


@dataclass(frozen=True)
class Runs:
    """Simulated runs: how many questions of each image met each fate, [runs, images, 4]."""

    fates: Array

    @property
    def sizes(self) -> Array:
        return self.fates.sum(axis=2)

    @property
    def n(self) -> Array:
        return self.fates.sum(axis=(1, 2))

    @property
    def images(self) -> int:
        return self.fates.shape[1]

    @property
    def shares(self) -> Array:
        """[runs, 4]"""
        return self.fates.sum(axis=1) / self.n[:, None]

    def mean(self, values: Array) -> Array:
        """Mean over questions of a score given by fate."""
        return self.shares @ values

    def sandwich(self, values: Array, mean: Array) -> Array:
        """Cluster-robust variance of that mean."""
        left = self.fates @ values - self.sizes * mean[:, None]
        return self.images / (self.images - 1) * (left**2).sum(axis=1) / self.n**2

    def alone(self, values: Array, mean: Array) -> Array:
        """Variance of the mean if every question stood alone."""
        return (self.shares @ values**2 - mean**2) / (self.n - 1)


def accuracy(runs: Runs, truth: Population, *, clustered: bool = True) -> Missed:
    """Wilson's interval of the compressed accuracy."""
    p = truth.accuracy
    mean = runs.mean(AFTER)
    variance = runs.sandwich(AFTER, mean)
    n, quantile = runs.n, Z
    if clustered:
        with np.errstate(divide="ignore", invalid="ignore"):
            n = mean * (1 - mean) / variance
        varies = variance**0.5 >= NO_SPREAD
        n, quantile = np.where(varies, n, runs.images), np.where(varies, stdtrit(runs.images - 1, 0.975), Z)
    return _sides(mean - p, quantile * (p * (1 - p) / n) ** 0.5)


def difference(runs: Runs, truth: Population, *, clustered: bool = True) -> Missed:
    """Tango's interval of the paired difference, with the design effect of the images or without."""
    at = truth.difference
    units = runs.images if clustered else runs.n
    mean = runs.mean(AFTER - BEFORE)
    _, gained, lost, _ = runs.shares.T
    b = (2 - gained + lost) * at - gained - lost
    likeliest = (np.maximum(b * b + 8 * lost * at * (1 - at), 0) ** 0.5 - b) / 4
    under = np.maximum(2 * likeliest + at * (1 - at), 0)
    return _judged(runs, AFTER - BEFORE, mean, mean - at, under, clustered=clustered, rule=_by_rule(mean, at, units))


def share(runs: Runs, truth: Population, *, clustered: bool = True) -> Missed:
    """The score interval of the ratio of the means."""
    at = truth.share
    both, gained, lost, _ = runs.shares.T
    right, a = both + gained + lost, 1 + at
    b = (both + lost) * at**2 - (both + gained + 2 * lost)
    likeliest = (np.maximum(b * b - 4 * a * lost * (1 - at) * right, 0) ** 0.5 - b) / (2 * a)
    under = np.maximum(a * likeliest + right * (at - 1), 0)
    before, after = runs.mean(BEFORE), runs.mean(AFTER)
    before = np.where(before > 0, before, np.nan)  # stock all wrong: no share to be missed
    unseen = Z**2 / ((runs.images if clustered else runs.n) + Z**2) / before
    ratio = after / before
    rule = Missed(ratio + unseen < at, ratio * np.maximum(0, 1 - unseen) > at)
    residual = AFTER - at * BEFORE
    varies = _estimated_spread(runs, ratio) >= NO_SPREAD
    return _judged(
        runs, residual, runs.mean(residual), after - at * before, under, clustered=clustered, rule=rule, varies=varies
    )


def plain_t(runs: Runs, truth: Population) -> Missed:
    """For comparison: the mean difference plus and minus t cluster-robust standard errors."""
    mean = runs.mean(AFTER - BEFORE)
    error = runs.sandwich(AFTER - BEFORE, mean) ** 0.5
    rule = _by_rule(mean, truth.difference, runs.images)
    return _either(error >= NO_SPREAD, _sides(mean - truth.difference, stdtrit(runs.images - 1, 0.975) * error), rule)


def bootstrap(runs: Runs, truth: Population, rng: np.random.Generator) -> Missed:
    """The percentile interval over whole images; groups of 500 runs share their resamples."""
    mean = runs.mean(AFTER - BEFORE)
    low, high = np.empty_like(mean), np.empty_like(mean)
    sums, sizes = runs.fates @ (AFTER - BEFORE), runs.sizes
    for start in range(0, len(mean), 500):
        at = slice(start, start + 500)
        drawn = rng.multinomial(runs.images, np.full(runs.images, 1 / runs.images), size=RESAMPLES).astype(np.float64)
        means = (drawn @ sums[at].T) / (drawn @ sizes[at].T)
        low[at], high[at] = np.quantile(means, (0.025, 0.975), axis=0)
    missed = Missed(high < truth.difference - 1e-12, low > truth.difference + 1e-12)
    varies = runs.sandwich(AFTER - BEFORE, mean) ** 0.5 >= NO_SPREAD
    return _either(varies, missed, _by_rule(mean, truth.difference, runs.images))


def significant(runs: Runs) -> NDArray[np.bool_]:
    """Whether the test of no difference rejects, per run."""
    missed = difference(runs, Population(0.5, 0.5, 0.0, 0.0))
    return missed.below | missed.above


def _judged(
    runs: Runs,
    values: Array,
    mean: Array,
    distance: Array,
    under: Array,
    *,
    clustered: bool,
    rule: Missed,
    varies: NDArray[np.bool_] | None = None,
) -> Missed:
    """The score test: `under` is a question's variance under the tested value, times the design effect of `values`."""
    if not clustered:
        return _either(runs.alone(values, mean) > 0, _sides(distance, Z * (under / runs.n) ** 0.5), rule)
    robust, alone = runs.sandwich(values, mean), runs.alone(values, mean)
    varies = robust**0.5 >= NO_SPREAD if varies is None else varies
    design_effect = robust / np.where(alone > 0, alone, np.inf)
    scored = _sides(distance, stdtrit(runs.images - 1, 0.975) * (under * design_effect / runs.n) ** 0.5)
    return _either(varies, scored, rule)


def _estimated_spread(runs: Runs, ratio: Array) -> Array:
    """Cluster-robust standard error of what is left of each question at the ratio of the run itself."""
    left = runs.fates @ AFTER - ratio[:, None] * (runs.fates @ BEFORE)
    return (runs.images / (runs.images - 1) * (left**2).sum(axis=1)) ** 0.5 / runs.n


def _by_rule(mean: Array, at: float, units: Array | int) -> Missed:
    """What the rule for no variation says of a difference over so many units."""
    unseen = Z**2 / (units + Z**2)
    center = (1 - unseen) * mean
    return Missed(center + unseen < at, center - unseen > at)


def _sides(distance: Array, half_width: Array) -> Missed:
    return Missed(distance < -half_width, distance > half_width)


def _either(condition: NDArray[np.bool_], yes: Missed, no: Missed) -> Missed:
    return Missed(np.where(condition, yes.below, no.below), np.where(condition, yes.above, no.above))


Judge = Callable[[Runs, Population], Missed]
