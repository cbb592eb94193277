"""Score intervals of paired answers: the values whose own test does not reject them, as Wilson's is of a proportion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_WIDEST_RATIO = 1e9  # beyond this an end is given up as infinitely far


@dataclass(frozen=True)
class PairedShares:
    """What share of pairs is right both times, gained and lost; the rest is wrong both times.

    A score between 0 and 1 counts in part: what both times have, what is more after, what was more before.
    """

    both: float
    gained: float
    lost: float

    @classmethod
    def of(cls, before: NDArray[np.float64], after: NDArray[np.float64]) -> PairedShares:
        """Of paired scores, each [n] in [0, 1]."""
        both = np.minimum(before, after)
        return cls(float(both.mean()), float((after - both).mean()), float((before - both).mean()))

    def variance(self, ratio: float = 1.0) -> float:
        """Variance of `after - ratio * before` among these pairs, each right or wrong."""
        mean = self.both + self.gained - ratio * (self.both + self.lost)
        return self.gained + self.lost * ratio**2 + self.both * (1 - ratio) ** 2 - mean**2

    def variance_at_difference(self, difference: float) -> float:
        """Variance of one pair's `after - before` if its mean were `difference`, the rest as likely as it can be.

        Tango (1998): the share lost is the maximum-likelihood one under that mean, here with shares for counts.
        """
        b = (2 - self.gained + self.lost) * difference - self.gained - self.lost
        lost = (_root(b * b + 8 * self.lost * difference * (1 - difference)) - b) / 4
        return max(0.0, 2 * lost + difference * (1 - difference))

    def variance_at_ratio(self, ratio: float) -> float:
        """Variance of one pair's `after - ratio * before` if that were the ratio of the means.

        Nam and Blackwelder (2002), with the maximum-likelihood share lost under that ratio.
        """
        right = self.both + self.gained + self.lost
        a = 1 + ratio
        b = (self.both + self.lost) * ratio**2 - (self.both + self.gained + 2 * self.lost)
        lost = (_root(b * b - 4 * a * self.lost * (1 - ratio) * right) - b) / (2 * a)
        return max(0.0, a * lost + right * (ratio - 1))


def score_ends(
    distance: Callable[[float], float], half_width: Callable[[float], float], estimate: float, lowest: float
) -> tuple[float, float]:
    """The values left and right of the estimate where the distance to the data equals the half width there.

    distance(value): what the data says less what `value` says, falling in it, 0 at the estimate. half_width(value):
    the quantile times the standard error if `value` were true, above 0 at the estimate. lowest: no value is below.
    """
    # scipy takes a fraction of a second to import, which only a run that has results to judge should pay.
    from scipy.optimize import brentq

    def below(value: float) -> float:
        return distance(value) - half_width(value)

    def above(value: float) -> float:
        return distance(value) + half_width(value)

    find: Callable[[Callable[[float], float], float, float], float] = cast(Any, brentq)
    # Where not even the lowest value is rejected, the interval ends there.
    low = find(below, lowest, estimate) if below(lowest) > 0 else lowest
    reach = estimate + 1
    while above(reach) > 0:
        reach *= 2
        if reach > _WIDEST_RATIO:
            return low, float("inf")
    return low, find(above, estimate, reach)


def _root(value: float) -> float:
    return max(0.0, value) ** 0.5
