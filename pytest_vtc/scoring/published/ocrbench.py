"""OCRBench's score: right answers of a thousand, in all and per kind of question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered

_RECOGNITION = {
    "Regular Text Recognition": 50,
    "Irregular Text Recognition": 50,
    "Artistic Text Recognition": 50,
    "Handwriting Recognition": 50,
    "Digit String Recognition": 50,
    "Non-Semantic Text Recognition": 50,
}
_QUESTIONS = _RECOGNITION | {
    "Scene Text-centric VQA": 200,
    "Doc-oriented VQA": 200,
    "Key Information Extraction": 200,
    "Handwritten Mathematical Expression Recognition": 100,
}
"""How many questions of each kind (the category) the published set has."""

_IN_ALL = sum(_QUESTIONS.values())


class Ocrbench:
    """The number of right answers, of a sample that which its share amounts to in the published 1000 questions.

    Figures: `score` (1000 at most), one of each kind of question (of 50, 100 or 200), and `Text Recognition` (of 300),
    the sum of the six kinds of recognition, if all six were asked. Over all 1000 questions these are plain counts.
    """

    name: ClassVar[str] = "ocrbench"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "OCRBench's score: right answers of 1000, in all and per kind of question"
    headings: ClassVar[tuple[str, ...]] = ("score",)

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        kinds: defaultdict[str, list[float]] = defaultdict(list)
        for row in rows:
            kinds[row.category].append(row.score)
        figures = {"score": _IN_ALL * sum(row.score for row in rows) / len(rows)}
        counts = {
            kind: questions * sum(kinds[kind]) / len(kinds[kind])
            for kind, questions in _QUESTIONS.items()
            if kind in kinds
        }
        if counts.keys() >= _RECOGNITION.keys():
            figures["Text Recognition"] = sum(counts[kind] for kind in _RECOGNITION)
        return figures | counts
