"""Tests and intervals that hold however often one looks: betting on image groups. Knows numpy only.

**What is estimated.** Image groups are independent draws from a population, the images that a dataset was collected
from. Of each group come a numerator A (a sum over its samples) and a denominator B, and the estimand is
m = E[A] / E[B], the ratio of expectations, which is what a mean over samples estimates when groups differ in size:

- `difference`: A sums (other - stock), B counts samples; m in [-1, 1].
- `accuracy`: A sums scores, B counts samples; m in [0, 1].
- `share`: A sums other's scores, B stock's; m in [0, infinity).

For the true m, and for no other, A - m B has mean zero, exactly, whatever the sizes of the groups. It is bounded by the
largest group, which is known before the run: scores lie in [0, 1].

**How it is tested.** Somebody who bets on "the truth lies above m" pays 1 and after each group has the wealth
prod(1 + c (A - m B) / bound) for a stake c in (0, 1), `bound` being the most that one group can cost. If m is the truth
the expected wealth never exceeds 1, so that it reaches 40 at any time with a probability of at most 1 / 40 (Ville's
inequality): an error of 2.5 % on each side, under looks after every group. Here the wealth is a weighted mean over a
few stakes, each held to the end (a mixture, which is such a wealth itself). This is the hedged capital of Waudby-Smith
and Ramdas ("Estimating means of bounded random variables by betting", JRSSB 2024, arXiv:2010.09686) with that mixture
in the place of their predictable stakes, and with a ratio in the place of a mean.

**Why a mixture.** A stake is best near mean / variance, which one must guess; their stakes learn it from the groups
so far (aGRAPA). Measured on paired answers (15 % changed, drops 1 to 20 points off the margin, groups of 1 to 10),
the mixture needed as many groups or up to 25 % fewer, the fewest where the drop is close to the margin. Besides, its
wealth does not depend on the order of the groups, and it falls steadily in m for the bet on "above", so that the ends
of an interval are found by bisection, to any number of digits, rather than on a grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.statistics import CONFIDENCE, Interval

Estimand = Literal["difference", "accuracy", "share"]
Side = Literal["above", "below"]

Sums = NDArray[np.float64]

REJECTED = 2 / (1 - CONFIDENCE)
"""The wealth at which a value is given up: 40, as each side may err in half of 5 %."""

STAKES = np.array([0.95, 0.4, 0.16, 0.06, 0.02])
WEIGHTS = np.array([0.4, 0.18, 0.16, 0.14, 0.12])
"""Half of the way to the largest stake is the best where groups are large or a drop is; the others are for small ones.
"""

_LEAST_BOUND = 1e-9  # at the ends of an estimand's range a group cannot cost anything
_ROUNDING = 1e-9
_STEPS = 40
_LARGEST_SHARE = 1e6


class MarginTest:
    """Whether an estimand lies above or below a margin, asked after every group.

    Adding a group takes some microseconds, however many were there before. Once `side` is known it stays.
    """

    def __init__(self, estimand: Estimand, margin: float, largest_group: int) -> None:
        """largest_group: samples in the largest group of the dataset. Raises ValueError if it is not positive."""
        self._estimand: Estimand = estimand
        self._margin, self._largest = margin, _positive(largest_group)
        self._costs = _costs(estimand, margin, largest_group)
        self._logs = np.zeros((2, len(STAKES)))
        self.side: Side | None = None

    def add(self, numerator: float, denominator: float) -> Side | None:
        """Take in the next group's sums. Raises ValueError if they exceed what the largest group can have."""
        _check(self._estimand, np.array([numerator]), np.array([denominator]), self._largest)
        gain = numerator - self._margin * denominator
        for logs, sign, cost in zip(self._logs, (1, -1), self._costs, strict=True):
            logs += np.log1p(STAKES * max(-1.0, sign * gain / cost))
        if self.side is None:
            above, below = (float(WEIGHTS @ np.exp(np.minimum(logs, 700))) for logs in self._logs)
            # Both at once would take two contradictory groups; the greater wealth is the better evidence.
            if max(above, below) >= REJECTED:
                self.side = "above" if above >= below else "below"
        return self.side


def anytime_interval(numerators: Sums, denominators: Sums, largest_group: int, estimand: Estimand) -> Interval:
    """The estimand with the interval that holds at all times at once, with 95 % confidence.

    It is what every look so far has left over, so it never widens as groups are added; the price is that the
    estimate, which is that of all groups, may in rare cases lie just outside. Should nothing be left over (which has a
    probability of less than 5 %) both ends are the point between them.

    numerators, denominators: [G] sums of each group, in the order in which they were looked at. largest_group: samples
    in the largest group of the dataset. The upper end of a share is None as long as nothing bounds it.
    Raises ValueError if there is nothing to divide by, or a sum exceeds what the largest group can have.
    """
    _positive(largest_group)
    _check(estimand, numerators, denominators, largest_group)
    total = float(denominators.sum())
    if total <= 0:
        raise ValueError("nothing to divide by: the ratio is undefined")
    estimate = float(numerators.sum()) / total

    def given_up(side: Side) -> Callable[[float], bool]:
        return lambda m: _most_wealth(numerators, denominators, largest_group, estimand, m, side) >= REJECTED

    least, most = (-1.0 if estimand == "difference" else 0.0), 1.0
    if estimand == "share":
        while not given_up("below")(most) and most < _LARGEST_SHARE:
            most *= 2
    low = _last(given_up("above"), least, most)
    high: float | None = _last(given_up("below"), most, least)
    if estimand == "share" and high >= _LARGEST_SHARE:
        high = None
    if high is not None and low > high:
        low = high = (low + high) / 2
    return Interval(estimate, low, high, anytime=True)


def anytime_p(numerators: Sums, denominators: Sums, largest_group: int, estimand: Estimand, value: float) -> float:
    """Two-sided p that the estimand is `value`, valid at whatever time one stops; arguments as in `anytime_interval`.

    Twice the inverse of the greatest wealth so far: at most 0.05 exactly if the interval has given `value` up.
    """
    _check(estimand, numerators, denominators, largest_group)
    sides: tuple[Side, Side] = ("above", "below")
    most = max(_most_wealth(numerators, denominators, largest_group, estimand, value, side) for side in sides)
    return min(1.0, 2 / most)


def _most_wealth(
    numerators: Sums, denominators: Sums, largest_group: int, estimand: Estimand, m: float, side: Side
) -> float:
    """The greatest wealth so far, at least the 1 of the beginning, of the bet that the estimand lies to a side of m."""
    if not len(numerators):
        return 1.0
    above, below = _costs(estimand, m, largest_group)
    gains = numerators - m * denominators
    per_cost = gains / above if side == "above" else -gains / below
    logs = np.cumsum(np.log1p(STAKES[:, None] * np.maximum(per_cost, -1.0)), axis=1)
    return max(1.0, float((WEIGHTS @ np.exp(np.minimum(logs, 700))).max()))


def _costs(estimand: Estimand, m: float, largest_group: int) -> tuple[float, float]:
    """The most that one group can cost somebody who bets on "above m", and on "below m"."""
    above = {"difference": 1 + m, "accuracy": m, "share": m}[estimand]
    below = {"difference": 1 - m, "accuracy": 1 - m, "share": 1.0}[estimand]
    return max(above, _LEAST_BOUND) * largest_group, max(below, _LEAST_BOUND) * largest_group


def _last(given_up: Callable[[float], bool], outer: float, inner: float) -> float:
    """The last value from `outer` towards `inner` that is given up, to about a billionth; `outer` if that is not.

    What is given up lies together at the outer end.
    """
    if given_up(inner):
        return inner
    for _ in range(_STEPS):
        middle = (outer + inner) / 2
        if given_up(middle):
            outer = middle
        else:
            inner = middle
        if abs(inner - outer) < _ROUNDING:
            break
    return outer


def _positive(largest_group: int) -> int:
    if largest_group < 1:
        raise ValueError(f"the largest group has {largest_group} samples: it needs at least one")
    return largest_group


def _check(estimand: Estimand, numerators: Sums, denominators: Sums, largest_group: int) -> None:
    if len(numerators) != len(denominators):
        raise ValueError(f"{len(numerators)} numerators, but {len(denominators)} denominators")
    most = largest_group + _ROUNDING
    bounds = np.full_like(denominators, most) if estimand == "share" else denominators + _ROUNDING
    lowest = -bounds if estimand == "difference" else np.full_like(bounds, -_ROUNDING)
    fits = (denominators >= -_ROUNDING) & (denominators <= most) & (numerators <= bounds) & (numerators >= lowest)
    if not fits.all():
        at = int(np.argmin(fits))
        raise ValueError(
            f"group {at}: {numerators[at]:g} of {denominators[at]:g} is not what at most {largest_group} samples with "
            "scores from 0 to 1 can have"
        )
