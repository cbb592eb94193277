"""MathVista's normalisation: what is said of a question decides how an answer is read."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring.mathvista import MathvistaNormalize

OPTIONS = ("145°", "135°", "red")
INTEGER = {"question_type": "free_form", "answer_type": "integer"}
FLOAT = {"question_type": "free_form", "answer_type": "float", "precision": "1.0"}


@pytest.mark.parametrize(("said", "parsed", "unparsed"), [
    ("B", "135°", False), ("It is (b)", "135°", False), ("red", "red", False), ("read", "red", True),
    ("Z", "red", True), ("(Z)", "red", True),
])  # fmt: skip
def test_options_are_read_by_letter_or_taken_by_likeness(said: str, parsed: str, unparsed: bool) -> None:
    score = MathvistaNormalize().score(said, ["red"], OPTIONS)
    assert (score.parsed, score.unparsed) == (parsed, unparsed)


@pytest.mark.parametrize(("facts", "said", "parsed"), [
    (INTEGER, "8.9", "8"), (INTEGER, "8 cm", None), (INTEGER, "inf", None), (INTEGER, "nan", None),
    (FLOAT, "1.25", "1.2"), (FLOAT, "x", None), ({**FLOAT, "precision": ""}, "1.25", None),
    ({"answer_type": "list"}, "[1, 2]", "[1, 2]"), ({}, " as it is ", " as it is "),
    ({"question_type": "multi_choice"}, "A", "A"),
])  # fmt: skip
def test_free_answers_are_read_by_type(facts: dict[str, str], said: str, parsed: str | None) -> None:
    score = MathvistaNormalize().score(said, ["x"], (), facts)
    assert (score.parsed, score.unparsed) == (parsed, parsed is None)
