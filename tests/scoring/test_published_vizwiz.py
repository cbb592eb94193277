"""VizWiz: how often "unanswerable" is said, and how often it is the answer."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring import judged, rule
from pytest_vtc.scoring.published import Answered, metric


def answered(said: str, *people: str) -> Answered:
    score = judged(rule("vqa_evalai"), said, people)
    return Answered(sample="x", score=score.value, parsed=score.parsed, expected=people)


@pytest.mark.parametrize(
    ("said", "rate"), [("Unanswerable.", 1), ("unanswerable", 1), ("", 0), ("it is unanswerable", 0), ("can", 0)]
)
def test_unanswerable_is_what_the_rule_read(said: str, rate: float) -> None:
    assert metric("vizwiz").figures([answered(said, "can")])["unanswerable_said"] == rate


def test_rates_are_over_all_questions() -> None:
    rows = [
        answered("unanswerable", "unanswerable", "unanswerable", "can"),
        answered("can", "can", "can", "unanswerable"),
        answered("can", "unanswerable", "can"),
        answered("unanswerable", "can"),
    ]
    assert metric("vizwiz").figures(rows) == {"unanswerable_said": 0.5, "unanswerable_expected": 0.5}
