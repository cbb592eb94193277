"""HallusionBench: per question, per figure and per question over all its figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered


class Hallusion:
    """aAcc: right answers. fAcc: figures on which all are right. qAcc: questions right for all figures. In per cent.

    Needs the facts `set`, `figure` and `question`, and categories such as "VD/illusion". Figures: `aAcc`, `fAcc`,
    `qAcc`, their `mean`, which leader boards rank by, and the three as `<part>/...` for every part of a category
    ("VD/aAcc", "illusion/aAcc"). As VLMEvalKit, which tells figures and questions apart by sub-category, set and
    number: those of "VD/ocr" and "VS/ocr" with the same numbers are one, and harder to get right.
    """

    name: ClassVar[str] = "hallusion"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "HallusionBench's accuracy per answer, figure and question, and their mean"
    headings: ClassVar[tuple[str, ...]] = ("aAcc", "fAcc", "qAcc", "mean")

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        figures = _figures(rows)
        if len(figures) == len(_GROUPED) + 1:
            figures["mean"] = sum(figures.values()) / len(figures)
        parts: defaultdict[str, list[Answered]] = defaultdict(list)
        for row in rows:
            for part in dict.fromkeys(filter(None, row.category.split("/"))):
                parts[part].append(row)
        for part in sorted(parts):
            figures |= {f"{part}/{key}": value for key, value in _figures(parts[part]).items()}
        return figures


_GROUPED = {"fAcc": "figure", "qAcc": "question"}


def _figures(rows: Sequence[Answered]) -> dict[str, float]:
    figures = {"aAcc": 100 * sum(row.score for row in rows) / len(rows)}
    for name, number in _GROUPED.items():
        groups: defaultdict[tuple[str, ...], list[bool]] = defaultdict(list)
        if all("set" in row.facts and number in row.facts for row in rows):
            for row in rows:
                part = row.category.rpartition("/")[2]
                groups[part, row.facts["set"], row.facts[number]].append(row.score == 1)
            figures[name] = 100 * sum(map(all, groups.values())) / len(groups)
    return figures
