"""VizWiz: how often a model says that a question cannot be answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered

_UNANSWERABLE = "unanswerable"


class Vizwiz:
    """Rates of "unanswerable", 0 to 1: `said`, how often it was read; `expected`, how often people said it most.

    About three in ten questions are, so a model that says nothing else has an accuracy of some 30 %: a compressor that
    blinds a model can gain. VQA accuracy itself is the mean of the scores.
    """

    name: ClassVar[str] = "vizwiz"
    decimals: ClassVar[int] = 3
    description: ClassVar[str] = "how often 'unanswerable' is said for VizWiz, and how often it is the answer"
    headings: ClassVar[tuple[str, ...]] = ("unanswerable_said", "unanswerable_expected")

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        said = sum((row.parsed or "").lower() == _UNANSWERABLE for row in rows)
        expected = sum(_is_unanswerable(row.expected) for row in rows)
        return {"unanswerable_said": said / len(rows), "unanswerable_expected": expected / len(rows)}


def _is_unanswerable(answers: Sequence[str]) -> bool:
    """Whether no other answer was given as often."""
    given = [answer.lower().strip() for answer in answers]
    return _UNANSWERABLE in given and given.count(_UNANSWERABLE) == max(map(given.count, given))
