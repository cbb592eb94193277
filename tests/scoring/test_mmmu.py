"""MMMU: which rule a question is scored by, and what is odd about each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring import rule
from pytest_vtc.scoring.base import Score

FOUR = ("Mount Fuji", "Mount Everest", "Denali", "K2")
texts = st.text() | st.lists(st.sampled_from(["A ", "(B)", "is ", "so ", "=", "2.5", "cat", "\n", " ", "."])).map(
    "".join
)


@given(texts, st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=5))
@pytest.mark.parametrize("harness", ["official", "lmms"])
def test_question_with_options_is_multiple_choice(
    harness: str, prediction: str, answers: list[str], options: list[str]
) -> None:
    expected = rule(f"mmmu_mc_{harness}").score(prediction, answers, options)
    assert rule(f"mmmu_{harness}").score(prediction, answers, options) == expected


@given(texts, st.lists(texts, min_size=1, max_size=3))
@pytest.mark.parametrize("harness", ["official", "lmms"])
def test_question_without_options_is_open(harness: str, prediction: str, answers: list[str]) -> None:
    expected = rule(f"mmmu_open_{harness}").score(prediction, answers, ())
    assert rule(f"mmmu_{harness}").score(prediction, answers, ()) == expected


@pytest.mark.parametrize(("said", "official", "lmms"), [
    ("(A) is wrong. (C) is right.", "C", "C"), ("B and C", "C", "C"), ("It is B.", "B", "B"), ("'B'", "B", "B"),
    ("A. because of it", None, "A"), ("Its DNA shows it", None, "A"), ("**B**", None, None), ("b", None, None),
    ("what can be seen is Denali, I think", "C", "C"), ("Denali", None, None),
])  # fmt: skip
def test_letter_is_read_in_the_forms_of_each_parser(said: str, official: str | None, lmms: str | None) -> None:
    assert rule("mmmu_mc_official").score(said, ["A"], FOUR).parsed == official
    assert rule("mmmu_mc_lmms").score(said, ["A"], FOUR).parsed == lmms


def test_guess_at_random_is_scored_by_its_chance() -> None:
    assert rule("mmmu_official").score("I don't know", ["D"], FOUR) == Score(0.25, None, True)
    assert rule("mmmu_official").score("I don't know", ["E"], FOUR) == Score(0.0, None, True)


@pytest.mark.parametrize(("said", "answer", "right"), [
    ("the answer is 60", "60", 1), ("60 - 10 = 50", "60", 0), ("60 - 10 = 50", "50.001", 1), ("1,000", "1000", 1),
    ("it is so.\nthe result is 3e2 N", "300", 1), ("It could be a big Dog", "dog", 1), ("dog", "a big dog", 0),
    ("a cat", "t", 0), ("a cat", "c", 1), ("vitamin c is it", "c", 0), ("nan", "nan", 0),
    ("so \nis 5", "5", 1),
])  # fmt: skip
def test_open_answer_is_read_behind_what_announces_it(said: str, answer: str, right: int) -> None:
    assert rule("mmmu_open_official").score(said, [answer], ()).value == right


def test_what_was_read_of_an_open_answer_is_reported() -> None:
    assert rule("mmmu_open_official").score("It is two.\nSo x = 2", ["2"], ()).parsed == "two. | 2"


@given(said=texts, answer=texts.filter(str.strip))
def test_no_open_answer_is_right_by_the_mistake_of_lmms_eval(said: str, answer: str) -> None:
    for prediction in (said, answer, f"the answer is {answer}"):
        assert rule("mmmu_open_lmms").score(prediction, [answer], ()).value == 0
