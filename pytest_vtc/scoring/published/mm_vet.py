"""MM-Vet's figures: the mean grade of all answers, and of those that call for each of six capabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered

_CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")


class MmVet:
    """Means of 100 x the grade, 0 to 100: `total`, and each capability over the questions that call for it.

    Which those are is the fact `capability`: `rec,ocr`. A question counts under each of its capabilities.
    """

    name: ClassVar[str] = "mm_vet"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "MM-Vet's total, and its score per capability (recognition, OCR, knowledge, ...)"
    headings: ClassVar[tuple[str, ...]] = ("total", *_CAPABILITIES)

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        grades: dict[str, list[float]] = {"total": [], **{capability: [] for capability in _CAPABILITIES}}
        for row in rows:
            called_for = {name.strip() for name in row.facts.get("capability", "").split(",")}
            for name in ("total", *sorted(called_for - {"", "total"})):
                grades.setdefault(name, []).append(row.score)
        return {name: 100 * sum(found) / len(found) for name, found in grades.items() if found}
