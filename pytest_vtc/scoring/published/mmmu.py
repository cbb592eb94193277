"""MMMU's figures: accuracy by discipline, each instance counting alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered

DISCIPLINES = {
    "Art and Design": ("Art", "Art Theory", "Design", "Music"),
    "Business": ("Accounting", "Economics", "Finance", "Manage", "Marketing"),
    "Science": ("Biology", "Chemistry", "Geography", "Math", "Physics"),
    "Health and Medicine": (
        *("Basic Medical Science", "Clinical Medicine", "Diagnostics and Laboratory Medicine", "Pharmacy"),
        "Public Health",
    ),
    "Humanities and Social Science": ("History", "Literature", "Psychology", "Sociology"),
    "Tech and Engineering": (
        *("Agriculture", "Architecture and Engineering", "Computer Science", "Electronics", "Energy and Power"),
        *("Materials", "Mechanical Engineering"),
    ),
}
"""The 30 subjects of each discipline, by MMMU's mmmu/utils/data_utils.py (with underscores for blanks there)."""

_DISCIPLINE_OF = {subject: discipline for discipline, subjects in DISCIPLINES.items() for subject in subjects}


class Mmmu:
    """Percentages: instance-weighted accuracy over all subjects, and over those of each discipline that there are.

    As `calculate_ins_level_acc` of MMMU's mmmu/utils/eval_utils.py, unrounded. A row's category is its subject; rows of
    other categories count in the overall figure alone.
    """

    name: ClassVar[str] = "mmmu"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "MMMU's accuracy by discipline, each instance counting alike; %"
    headings: ClassVar[tuple[str, ...]] = ("overall", *DISCIPLINES)

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        by_discipline: dict[str, list[float]] = {discipline: [] for discipline in DISCIPLINES}
        for row in rows:
            if discipline := _DISCIPLINE_OF.get(row.category.replace("_", " ")):
                by_discipline[discipline].append(row.score)
        return {"overall": _percent(row.score for row in rows)} | {
            discipline: _percent(scores) for discipline, scores in by_discipline.items() if scores
        }


def _percent(scores: Iterable[float]) -> float:
    every = list(scores)
    return 100 * math.fsum(every) / len(every)
