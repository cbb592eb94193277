"""MMBench's CircularEval: a question counts only if it is answered right however its options are rotated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered


class Circular:
    """Percentages: of questions right in every rotation, overall and by category; of first and of all rotations right.

    As `mcq_circular_eval` of VLMEvalKit's dataset/utils/multiple_choice.py, and what its image_mcq.py calls vanilla_0
    and vanilla_all. Rows are of one question if their `group` is the same; its first rotation, fact `rotation` "0" or
    none stated, says its category, and a group without it does not count. Where a rule scores the chance of a guess,
    the chance that all rotations are right is that of independent guesses.
    """

    name: ClassVar[str] = "circular"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "MMBench's CircularEval: right in every rotation of the options; % of questions"
    headings: ClassVar[tuple[str, ...]] = ("circular", "vanilla")

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        firsts = {row.group: row for row in rows if row.facts.get("rotation", "0") == "0"}
        if not firsts:
            return {}
        scores: dict[str, list[float]] = {group: [] for group in firsts}
        for row in rows:
            if row.group in scores:
                scores[row.group].append(row.score)
        hits = {group: math.prod(each) for group, each in scores.items()}
        return _by_category(firsts, hits) | {
            "circular": _percent(hits.values()),
            "vanilla": _percent(row.score for row in firsts.values()),
            "vanilla_all": _percent(row.score for row in rows),
        }


def _by_category(firsts: Mapping[str, Answered], hits: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for group, row in firsts.items():
        if row.category:
            found.setdefault(row.category, []).append(hits[group])
    return {category: _percent(of_it) for category, of_it in sorted(found.items())}


def _percent(scores: Iterable[float]) -> float:
    every = list(scores)
    return 100 * math.fsum(every) / len(every)
