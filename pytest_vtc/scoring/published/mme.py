"""MME's scores: per category accuracy and accuracy+, and their sums over perception and cognition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered

_PERCEPTION = frozenset(
    {"existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR"}
)
_QUESTIONS_ON_AN_IMAGE = 2


class Mme:
    """Per category 100 x (accuracy + accuracy+), where an image counts for accuracy+ if both its questions are right.

    Figures: `<category>` (0 to 200), `<category>/acc` and `<category>/acc_plus` (0 to 100), `perception` (2000 at most)
    and `cognition` (800), sums over the categories that there are (0 of none), and their `sum`, as lmms-eval and the
    authors' tool have them. What is none of the ten categories of perception is cognition. An image without exactly two
    judged questions is left out.
    """

    name: ClassVar[str] = "mme"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "MME's score: accuracy and accuracy+ (both questions on an image) per category, summed"
    headings: ClassVar[tuple[str, ...]] = ("perception", "cognition", "sum")

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        images: defaultdict[tuple[str, str], list[bool]] = defaultdict(list)
        for row in rows:
            images[row.category, row.group].append(row.score == 1)
        pairs: defaultdict[str, list[list[bool]]] = defaultdict(list)
        for (category, _), pair in images.items():
            if len(pair) == _QUESTIONS_ON_AN_IMAGE:
                pairs[category].append(pair)
        return _figures(pairs)


def _figures(pairs: Mapping[str, Sequence[Sequence[bool]]]) -> dict[str, float]:
    sums = {"perception": 0.0, "cognition": 0.0}
    figures: dict[str, float] = {}
    for category, answered in sorted(pairs.items()):
        acc = 100 * sum(sum(pair) for pair in answered) / (_QUESTIONS_ON_AN_IMAGE * len(answered))
        acc_plus = 100 * sum(all(pair) for pair in answered) / len(answered)
        ability = "perception" if category in _PERCEPTION else "cognition"
        sums[ability] += acc + acc_plus
        figures |= {category: acc + acc_plus, f"{category}/acc": acc, f"{category}/acc_plus": acc_plus}
    return {**sums, "sum": sum(sums.values()), **figures} if figures else {}
