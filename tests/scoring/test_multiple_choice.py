"""Multiple-choice rules of other harnesses: what is odd about each, and what they report as unread."""

from __future__ import annotations

import pytest

from pytest_vtc.scoring import rule
from pytest_vtc.scoring.base import Score

FOUR = ("a red car", "a blue truck", "a bicycle", "a bus")


def read(name: str, said: str, options: tuple[str, ...] = FOUR) -> str | None:
    return rule(name).score(said, ["A"], options).parsed


@pytest.mark.parametrize(("said", "letter"), [
    ("B", "B"), ("(C) it is", "C"), ("**C**", "C"), ("A dog", "A"), ("A person is holding something, so D", "Z"),
    ("B one two three", "B"), ("B one two three four", "Z"), ("the answer is b, I say to all of you", "B"),
    ("A blue truck", "A"), ("it is a blue truck", "B"), ("a red car or a bus", "Z"), ("b", "Z"), ("", "Z"),
    ("a bus " * 12, "Z"), ("Cannot determine the answer: C", "Z"),
])  # fmt: skip
def test_vlmevalkit_reads_a_lone_letter_near_the_end_or_a_lone_text(said: str, letter: str) -> None:
    score = rule("mcq_vlmevalkit").score(said, ["A"], FOUR)
    assert (score.parsed, score.unparsed) == (letter, letter == "Z")


@pytest.mark.parametrize(("said", "letter"), [
    ("B is not it, so C", "B"), ("it is not B so C", "C"), ("The answer is B, not A, it seems", "A"),
    ("I choose (B), or (D), for now", "D"), ("see (B) then C. that", "B"), ("NASA", "A"), ("b", None), ("E", None),
    ("정답은 C 입니다", "C"), ("", None), ("...", None),
])  # fmt: skip
def test_lmms_parser_takes_the_last_letter_of_the_most_telling_form(said: str, letter: str | None) -> None:
    score = rule("mcq_extract_lmms").score(said, ["A"], FOUR)
    assert (score.parsed, score.unparsed) == (letter, letter is None)


def test_lmms_parser_looks_for_the_letters_of_the_options_and_for_eight_without() -> None:
    assert [read("mcq_extract_lmms", "F", ("",) * n) for n in (5, 6, 0)] == [None, "F", "F"]
    assert [read("mcq_extract_lmms", "J", ("",) * n) for n in (10, 0)] == ["J", None]


def test_mmstar_has_four_letters_and_answers_of_either_case() -> None:
    assert rule("mmstar_lmms").score("It is (B)", [" b "], ()).value == 1
    assert read("mmstar_lmms", "E", ("",) * 8) is None


@pytest.mark.parametrize(("said", "answer", "right"), [
    ("It is (B).", "b", 1), ("B or so, D", "B", 1), ("Two. ", "two", 1), ("2", "two", 0), ("it is two", "two", 0),
    ("E", "E", 1), ("It is (E)", "E", 0),
])  # fmt: skip
def test_realworldqa_extracts_a_letter_only_where_the_answer_is_one(said: str, answer: str, right: int) -> None:
    assert rule("realworldqa_lmms").score(said, [answer], ()).value == right


@pytest.mark.parametrize(("said", "letter"), [
    ("B", "B"), ("A cat it is", "A"), ("E", "E"), ("(B). sure, not C,", "C"), ("it is a bus", "D"),
    ("D) or a bus", "D"), ("So (C), not D or so", "D"), ("c", None),
])  # fmt: skip
def test_mmbench_reads_a_lone_letter_then_a_lone_text_then_by_the_parser(said: str, letter: str | None) -> None:
    assert read("mmbench_lmms_static", said) == letter


@pytest.mark.parametrize(("said", "official", "llava", "lmms"), [
    ("B", 0.25, 1, 1), ("b", 0.25, 0, 1), ("B. a truck", 0.25, 1, 1), ("B.", 0.25, 0, 1), ("B) a truck", 0.25, 0, 0),
    ("The answer is B.", 1, 1, 0), ("The answer is B", 0.25, 0, 0), ("the answer is B.", 0.25, 0, 0),
    ("The answer is B. The answer is B.", 0.25, 0, 0), ("The answer is A.", 0, 0, 0), ("The answer is E.", 0.25, 0, 0),
    (" B ", 0.25, 0, 1),
])  # fmt: skip
def test_scienceqa_answers_are_read_as_each_harness_wants_them(
    said: str, official: float, llava: float, lmms: float
) -> None:
    values = [rule(f"scienceqa_{harness}").score(said, ["B"], FOUR).value for harness in ("official", "llava", "lmms")]
    assert values == [official, llava, lmms]


@pytest.mark.parametrize(("said", "llava", "lmms"), [
    ("B", 1, 1), ("b", 0, 1), (" B", 0, 1), ("B. a truck", 0, 1), ("Bus", 0, 1), ("(B)", 0, 0), ("Answer: B", 0, 0),
])  # fmt: skip
def test_seed_answers_are_read_as_each_harness_wants_them(said: str, llava: int, lmms: int) -> None:
    assert rule("seed_llava").score(said, ["B"], FOUR).value == llava
    assert rule("seed_lmms").score(said, ["B"], FOUR).value == lmms


@pytest.mark.parametrize(("said", "right"), [
    ("B", 1), ("(b)", 1), ("B. cat", 1), (" B.", 1), ("B: cat", 0), ("b. cat", 0), ("The answer is B", 0),
])  # fmt: skip
def test_ai2d_reads_a_label_or_the_letter_in_punctuation(said: str, right: int) -> None:
    assert rule("ai2d_lmms").score(said, ["B"], FOUR).value == right


@pytest.mark.parametrize("name", ["seed_llava", "seed_lmms", "ai2d_lmms", "scienceqa_lmms"])
def test_answer_that_begins_with_no_letter_of_an_option_is_unparsed(name: str) -> None:
    assert rule(name).score("?", ["B"], FOUR) == Score(0.0, None, True)
    assert rule(name).score("E", ["B"], FOUR) == Score(0.0, None, True)
    assert rule(name).score("C", ["B"], FOUR) == Score(0.0, "C", False)
