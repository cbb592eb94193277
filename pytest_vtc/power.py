"""What a run of this size can show: the drop it can detect, and the samples that would decide a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

POWER = 0.8
SIGNIFICANCE = 0.05  # two-sided: the 95 % interval excludes 0
CHANGED_SHARE = 0.15  # of the answers: gained or lost
CHANGE_CORRELATION = 0.2  # of the changes of two questions on one image


def detectable_drop(group_sizes: Sequence[int]) -> float | None:
    """The smallest true drop, in percentage points, that such a run finds significant in 80 of 100 runs.

    Known before a run, as it rests on assumptions instead of answers: `CHANGED_SHARE` of the answers change, and the
    changes of two questions on one image correlate by `CHANGE_CORRELATION`. A run that changes more needs more.

    The mean difference of n pairs has the variance (changed - drop^2) / n times the design effect
    1 + correlation * (sum of squared group sizes / n - 1) (Kish 1965); the drop must be the normal quantile of the
    power plus Student's of the two-sided test (clusters - 1 degrees of freedom) of its standard errors. A drop beyond
    the changed share is one in which every change is a loss.

    group_sizes: number of samples on each image. None for fewer than two: such a run has no interval.
    Raises ValueError if a size is less than 1. Imports nothing but the standard library: collection calls it.
    """
    if any(size < 1 for size in group_sizes):
        raise ValueError("an image has at least one sample")
    if len(group_sizes) < 2:
        return None
    n = sum(group_sizes)
    design_effect = 1 + CHANGE_CORRELATION * (sum(size * size for size in group_sizes) / n - 1)
    z = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)
    # Student's t by the first term of its expansion in 1 / degrees of freedom (Fisher), which needs no library.
    t = z + (z**3 + z) / (4 * (len(group_sizes) - 1))
    scale = (t + NormalDist().inv_cdf(POWER)) ** 2 * design_effect / n
    drop = math.sqrt(scale * CHANGED_SHARE / (1 + scale))
    return 100 * (drop if drop <= CHANGED_SHARE else scale / (1 + scale))


def samples_needed(
    estimate: float, end: float, margin: float, n: int, variance: Callable[[float], float] | None = None
) -> int | None:
    """About how many samples, those already there included, would bring the interval clear of the margin.

    If the estimate holds. A score interval ends where the distance to the estimate equals a quantile times the standard
    error that the end itself implies, the root of variance(end) / n; so the margin is left outside with
    n * (distance of end / distance of margin)^2 * variance(margin) / variance(end) samples. Where few answers changed
    the variance grows with the distance, and the number falls with the distance and not with its square.

    estimate, end (of the interval, towards the margin), margin: in one unit. n: samples that gave them. variance: of
    one sample if a value were true, in any unit; the same everywhere if not given.
    None where the estimate lies on the margin: no number decides then.
    """
    distance = abs(estimate - margin)
    if distance < 1e-12:
        return None
    needed = n * ((end - estimate) / distance) ** 2
    if variance is not None and (at_end := variance(end)) > 0:
        needed *= variance(margin) / at_end
    return math.ceil(needed)
