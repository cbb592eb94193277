"""Soft match: whole words, not denied; and `auto`, which chooses between it and letters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring.auto import Auto
from pytest_vtc.scoring.soft import Soft


@pytest.mark.parametrize(("prediction", "answer"), [
    ("the cat", "cat"), ("Cat.", "cat"), ("It is a cat, on a mat.", "cat"), ("**yes**", "yes"), ("yes, it is", "yes"),
    ("No, there is no dog", "no"), ("yes, no doubt", "yes"), ("There is no dog", "no"),
    ("a stop sign", "stop sign"), ("t shirt", "t-shirt"), ("two dogs", "2"), ("2", "two"), ("1,200", "1200"),
    ("It is not red but blue", "blue"), ("Not a dog. It is a cat.", "cat"), ("the cat’s bed", "cat's bed"),
    ("Paris, France", "Paris France"), ("$8", "8"), ("这是猫", "猫"), ("not sure", "not sure"), ("+", "+"),
    ("red or blue", "red or blue"),
])  # fmt: skip
def test_answer_that_is_said_is_right(prediction: str, answer: str) -> None:
    assert Soft().score(prediction, [answer], ()).value == 1


@pytest.mark.parametrize(("prediction", "answer"), [
    ("eyes", "yes"), ("piano", "no"), ("nothing", "no"), ("woman", "man"), ("person", "on"), ("e", "elephant"),
    ("sign", "stop sign"), ("sign stop", "stop sign"), ("I don't know", "no"), ("cannot tell", "no"), ("not", "no"),
    ("yes, no doubt", "no"), ("no, yes?", "yes"),
    ("It is not red", "red"), ("I don't think it is a cat", "cat"), ("There is no cat", "cat"),
    ("without a hat", "hat"), ("red or blue", "red"), ("red/blue", "blue"),
    ("57", "57.5"), ("57.5", "57"), ("14%", "14"), ("33", "0.33"), ("-5", "5"), ("10", "1"),
    ("Morris", "Philip Morris"), ("...", "x"), ("-", "+"),
])  # fmt: skip
def test_answer_that_is_not_said_or_taken_back_is_wrong(prediction: str, answer: str) -> None:
    assert Soft().score(prediction, [answer], ()).value == 0


def test_accepted_answer_that_was_found_is_reported() -> None:
    assert Soft().score("a big dog", ["cat", "dog"], ()).parsed == "dog"


def test_words_read_are_reported_where_none_matches() -> None:
    score = Soft().score("The Big, Dog", ["cat"], ())
    assert (score.parsed, score.unparsed) == ("big dog", False)


word = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=8).filter(
    lambda w: w not in ("an", "or", "no", "but", "yes")
)


@given(answer=word, before=st.text("xyz", min_size=1), after=st.text("xyz", min_size=1))
def test_part_of_a_word_never_matches(answer: str, before: str, after: str) -> None:
    for said in (before + answer, answer + after, before + answer + after):
        assert Soft().score(f"17 {said} 18", [answer], ()).value == 0


@pytest.mark.parametrize("answer", ["A", "j", " C "])
def test_auto_reads_letters_where_the_answer_is_one(answer: str) -> None:
    letter = answer.strip()
    assert Auto().score(f"The answer is ({letter.upper()}).", [answer], ()).value == 1
    assert Auto().score("D. or so", [answer], ()).value == 0


@pytest.mark.parametrize("answer", ["K", "cat", "AB", "7", ""])
def test_auto_matches_softly_elsewhere(answer: str) -> None:
    assert Auto().score(f"it is {answer} I think", [answer], ()).value == float(bool(answer))


def test_auto_reads_as_many_letters_as_there_are_options() -> None:
    animals = [f"animal {number}" for number in range(11)]
    assert Auto().score("kitten", ["K"], [*animals[:10], "kitten"]).value == 1
    assert Auto().score("it is C", ["C"], ["A", "B"]).value == 1  # no letter of theirs: matched as it stands


def test_auto_matches_softly_without_answers() -> None:
    assert Auto().score("A", [], ()).value == 0
