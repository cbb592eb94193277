"""LLaVA-Bench's figure: the grades of the model's answers as a share of those of the reference answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered


class LlavaBench:
    """100 x mean grade of the answers / mean grade of the references: `overall` and per category.

    Can be more than 100. Both grades are what the rule has parsed: `8 7`. An answer without grades (it was blank, or
    the judge's reply could not be read) counts 0 among the answers, and its reference is left out; read to the letter,
    an unreadable reply counts -1 in both means, as in the original.
    """

    name: ClassVar[str] = "llava_bench"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "LLaVA-Bench's relative score: grades of the answers as a share of the references'"
    headings: ClassVar[tuple[str, ...]] = ("overall", "conv", "detail", "complex")

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        of: dict[str, list[Answered]] = {"overall": [*rows]}
        for row in rows:
            if row.category:
                of.setdefault(row.category, []).append(row)
        found = {name: _relative(group) for name, group in of.items()}
        return {name: figure for name, figure in found.items() if figure is not None}


def _relative(rows: Sequence[Answered]) -> float | None:
    """None if no reference has a grade, or they cancel out."""
    pairs = [pair for row in rows if (pair := _pair(row.parsed)) is not None]
    reference = sum(pair[0] for pair in pairs) / len(pairs) if pairs else 0.0
    if not reference:
        return None
    return 100 * (sum(pair[1] for pair in pairs) / len(rows)) / reference


def _pair(parsed: str | None) -> tuple[float, float] | None:
    try:
        reference, own = map(float, (parsed or "").split())
    except ValueError:
        return None
    return (reference, own) if math.isfinite(reference) and math.isfinite(own) else None
