"""Rules give the verdicts of the original authors' code, on every golden of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.scoring import NO_FACTS, known_rules, rule
from tests.scoring.goldens import HERE, files, name_of, rows_of

FACTS = ("dataset", "question_type", "answer_type", "precision")


def answers_of(row: dict[str, Any]) -> list[str]:
    return row["target"] if isinstance(row["target"], list) else [row["target"]]


def facts_of(row: dict[str, Any]) -> dict[str, str]:
    return {key: str(row[key]) for key in FACTS if row.get(key) is not None} or dict(NO_FACTS)


@pytest.mark.parametrize("file", files(known_rules()))
def test_verdicts_are_the_originals(file: Path) -> None:
    judge, wrong = rule(name_of(file)), list[Any]()
    for row in rows_of(file):
        score = judge.score(row["prediction"], answers_of(row), row["options"] or (), facts_of(row))
        # Where the original guesses at random, it is the chance of a hit.
        expected = row.get("expected", row["score"])
        same = expected is None or abs(score.value - expected) <= 1e-6
        if row.get("random_fallback"):
            same = same and score.unparsed
        if isinstance(row.get("parsed"), str):
            same = same and (score.parsed or "") == row["parsed"]
        if "normalized" in row:
            same = same and score.parsed == row["normalized"]
        if not same:
            wrong.append((row, score))
    assert wrong == []


WITHOUT_GOLDENS = {"mmmu_official", "mmmu_lmms", "mmstar_lmms", "mathvision"}
"""Rules of others that were compared with the original otherwise; how is said in their own tests."""


def test_there_are_goldens_of_each_shipped_rule_of_others() -> None:
    ours = {"auto", "exact", "letters", "soft"}
    assert {name_of(file) for file in HERE.glob("*.jsonl")} >= known_rules().keys() - ours - WITHOUT_GOLDENS
