"""Exact test of paired right and wrong answers, and corrections for looking at many of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.statistics import Scores

Array = NDArray[np.float64]


def mcnemar_p(before: Scores, after: Scores) -> float | None:
    """Two-sided exact p of McNemar's test (1947): are as many answers gained as lost?

    Binomial with probability 1/2 over the answers that changed (statsmodels); 1.0 where none did. It takes samples for
    independent, so it is too small where several questions share an image: `statistics.difference_p` is for those.

    before, after: [n] scores of the same samples in the same order. None unless all are 0 or 1: it is a test of
    counts. Raises ValueError if the lengths differ.
    """
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if len(first) != len(second):
        raise ValueError(f"paired scores must be of the same samples: {len(first)} before, {len(second)} after")
    if not np.isin(np.concatenate((first, second)), (0.0, 1.0)).all():
        return None
    from statsmodels.stats.contingency_tables import mcnemar

    lost, gained = int(np.sum(first > second)), int(np.sum(second > first))
    if lost + gained == 0:
        return 1.0
    table: Any = mcnemar([[0, lost], [gained, 0]], exact=True)
    return min(1.0, float(table.pvalue))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p adjusted by Holm (1979): at 5 %, the chance of even one false claim among all of them is at most 5 %.

    Valid however the tests depend on each other. A None is no test: it stays None and does not count.
    """
    return _adjusted(p, _holm)


def benjamini_hochberg(p: Sequence[float | None]) -> list[float | None]:
    """p adjusted by Benjamini and Hochberg (1995): at 5 %, about 5 % of the claims are false, for many to look through.

    Valid where tests are independent or depend positively. A None is no test: it stays None and does not count.
    """

    def adjust(known: Array) -> Array:
        from scipy.stats import false_discovery_control

        return false_discovery_control(known, method="bh")

    return _adjusted(p, adjust)


def _holm(known: Array) -> Array:
    # Not statsmodels' multipletests: that collects garbage on every call, a tenth of a second in a session with many
    # tests. The k-th smallest of m is multiplied by m - k + 1, and none is below one before it.
    order = np.argsort(known, kind="stable")
    adjusted = np.empty_like(known)
    adjusted[order] = np.minimum(np.maximum.accumulate(known[order] * np.arange(len(known), 0, -1)), 1.0)
    return adjusted


def _adjusted(p: Sequence[float | None], adjust: Callable[[Array], Array]) -> list[float | None]:
    known = [(at, value) for at, value in enumerate(p) if value is not None]
    adjusted: list[float | None] = [None] * len(p)
    if known:
        values = adjust(np.array([value for _, value in known], dtype=np.float64))
        for (at, _), value in zip(known, values.tolist(), strict=True):
            adjusted[at] = value
    return adjusted
