"""Reading a letter out of what a model wraps around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring.letters import LETTERS, Letters, read_letter


@pytest.mark.parametrize("wrapped", [
    "F", "f", " F ", "F.", "F:", "(F)", "[F]", "F)", '"F"', "'F'", "**F**", "`F`", "$F$", r"\boxed{F}",
    r"$\boxed{\text{F}}$", "<answer>F</answer>", "Ｆ", "F。", "答案是F",
    "Answer: F", "answer: f", "ANSWER: F", "Answer: (F)", "Answer: $F", "Answer: **F**", r"Answer: \boxed{F}",
    "**Answer: F**", "Answer:F", "Final Answer: F", "The answer is F.", "The answer is (F).", "the answer is: F",
    "The correct answer is F.", "The correct option is F", "Option F", "option f", "Correct option: F",
    "The best choice would be F",
    "I choose F.",
    "F. a cat", "F) a cat", "(F) a cat", "F: a cat", "F - a cat", "F\n\nExplanation: it is a cat.", "F. because A",
    "The answer is F because B is wrong.", "F is correct.", "Option F is the best.", "I'd say it is F",
])  # fmt: skip
def test_letter_is_found_in_its_wrapping(wrapped: str) -> None:
    assert read_letter(wrapped) == "F"


@pytest.mark.parametrize(("prediction", "letter"), [
    ("It is not A; it is C.", "C"),
    ("It isn't A, so D", "D"),
    ("Answer: Because of C", "C"),
    ("The answer: Based on the image, C", "C"),
    ("Final answer: Actually D", "D"),
    ("A cat is shown, so D", "D"),
    ("I think it is D", "D"),
    ("I'm sure: D", "D"),
    ("(A) is wrong, (D) is right", "D"),
    ("(C) is wrong. (B) is right. I considered (C) first", "B"),
    ("Answer: A\nWait, that is wrong.\nAnswer: B", "B"),
    ("The correct option is (A) 75 V, not (D) 95 V.", "A"),
    ("Both B and C are plausible, but C is best.", "C"),
    ("A. cat\nB. dog\nC. bird\nSo it must be B", "B"),
    ("Rule out A. Eliminate B. That leaves C", "C"),
    ("B rather than C", "B"),
    ("A is correct", "A"),
    ("Option A shows it", "A"),
    ("I is correct", "I"),
])  # fmt: skip
def test_letter_that_the_answer_settles_on_is_read(prediction: str, letter: str) -> None:
    assert read_letter(prediction) == letter


@pytest.mark.parametrize("prediction", [
    "I don't know", "I'm sorry, I can't help with that.", "DNA is here", "NASA", "A cat", "AC", "C-shaped", "C++",
    "it's", "K", "A or B", "B and C", "C, D", "A/B", "(A) or (B)", "The answer is A or B", "None of the above", "not A",
    "12", "?!",
    "A. cat\nB. dog", "e.g. this",
])  # fmt: skip
def test_nothing_is_read_where_the_answer_settles_on_nothing(prediction: str) -> None:
    score = Letters().score(prediction, ["A"], ())
    assert (score.value, score.parsed, score.unparsed) == (0, None, True)


def test_text_of_an_option_stands_for_its_letter() -> None:
    options = ("dark red", "red", "Vitamin C")
    assert [read_letter(said, options) for said in ("Red.", "dark  red", "vitamin c")] == ["B", "A", "C"]


def test_text_of_two_equal_options_settles_nothing() -> None:
    assert read_letter("red", ("red", "Red")) is None


def test_letters_end_with_the_options() -> None:
    assert read_letter("E", ("w", "x", "y", "z")) is None
    assert read_letter("L", tuple("abcdefghijkl")) == "L"


def test_answer_may_be_of_either_case() -> None:
    assert Letters().score("(B)", [" b"], ()).value == 1


@given(st.sampled_from(LETTERS), st.sampled_from(LETTERS))
def test_right_is_exactly_the_same_letter(said: str, wanted: str) -> None:
    assert Letters().score(f"Answer: {said}", [wanted], ()).value == (said == wanted)
