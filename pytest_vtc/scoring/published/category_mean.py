"""MMStar's figure: the mean of the accuracies of its categories, however many questions each has."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered


class CategoryMean:
    """Percentages: the mean over categories, and each category's own.

    As `mmstar_aggregate_results` of lmms-eval's tasks/mmstar/utils.py, which takes MMStar's 18 finer categories. A
    category "a/b" is b of a; the figure of a is the mean over what it is made of, as there.
    """

    name: ClassVar[str] = "category_mean"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "mean over categories, each counting alike, as MMStar averages; %"
    headings: ClassVar[tuple[str, ...]] = ("category_mean",)

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        by_category: dict[str, list[float]] = {}
        for row in rows:
            by_category.setdefault(row.category, []).append(100 * row.score)
        own = {category: _mean(scores) for category, scores in sorted(by_category.items())}
        wider: dict[str, list[float]] = {}
        for category, figure in own.items():
            if "/" in category:
                wider.setdefault(category.partition("/")[0], []).append(figure)
        means = {category: _mean(figures) for category, figures in wider.items()}
        named = {category: figure for category, figure in own.items() if category}
        return means | named | {"category_mean": _mean(own.values())}


def _mean(figures: Iterable[float]) -> float:
    every = list(figures)
    return math.fsum(every) / len(every)
