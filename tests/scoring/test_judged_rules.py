"""Judged rules: what a judge is told, and what its replies are worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring import NOTHING, ScoringError, any_rule, known_judged_rules, known_rules, rule
from pytest_vtc.scoring.base import Score
from pytest_vtc.scoring.judges import PREDICTION, Asked, JudgedRule, Prompt

RULES = sorted(known_judged_rules())
FACTS = {"caption": "A cat on a mat.", "question": "What is on the mat?", "weights": "4,6"}
ASKED = Asked("It is a {cat}.", "Think first. What is on the mat?", ["a cat", "a kitten"], "conv", FACTS)
pieces = st.sampled_from(
    ["8", "7", "0.5", "-1", "1e1", "nan", "inf", " ", "\n", ",", "/", ":", ".", "component 1", "total score", "2", "10"]
)
replies = st.text() | st.lists(pieces).map("".join) | st.lists(pieces).map(" ".join)


def judged_rule(name: str) -> JudgedRule:
    return known_judged_rules()[name]


@pytest.mark.parametrize("name", RULES)
@given(reply=replies)
def test_any_reply_is_worth_between_0_and_1(name: str, reply: str) -> None:
    score = judged_rule(name).verdict(reply, ASKED)
    assert 0 <= score.value <= 1
    assert score.parsed is not None or score.unparsed
    assert not (score.unparsed and score.value)


@pytest.mark.parametrize("name", RULES)
def test_long_reply_takes_no_long_time(name: str) -> None:
    for reply in ("8 " * 50_000, "score " + " " * 100_000, "component 1: " + "9" * 100_000, "9" * 10_000 + "/1"):
        judged_rule(name).verdict(reply, ASKED)


@pytest.mark.parametrize("name", RULES)
def test_prompts_of_our_own_fill_only_gaps_that_there_are_and_show_question_and_answer(name: str) -> None:
    rule = judged_rule(name)
    assert rule.prompt.gaps <= {*rule.gaps} == rule.values(ASKED).keys()
    assert PREDICTION in rule.prompt.gaps
    text = rule.request(ASKED)[-1]["content"]
    assert "It is a {cat}." in text
    assert "What is on the mat?" in text
    assert "Think first." not in text


def test_the_question_is_the_prompt_where_nothing_else_is_known() -> None:
    assert Asked("yes", "Is it a cat?", ["yes"]).question == "Is it a cat?"


def test_a_judged_rule_scores_nothing_by_itself() -> None:
    with pytest.raises(ScoringError, match="'mm_vet' needs a judge"):
        rule("mm_vet")
    assert isinstance(any_rule("mm_vet"), JudgedRule)
    assert not known_rules().keys() & known_judged_rules().keys()


def test_an_unknown_rule_is_answered_with_the_nearest_judged_ones_too() -> None:
    with pytest.raises(ScoringError, match="did you mean mm_vet"):
        any_rule("mm_vett")


# Prompts


def test_gaps_are_filled_and_doubled_braces_are_braces() -> None:
    prompt = Prompt((("system", "Be fair."), ("user", 'Reply {"grade": 1} or {{grade}} to {prediction}\n\\frac{1}{2}')))
    assert prompt.gaps == {"prediction"}
    assert prompt.filled({"prediction": "{x}"}) == [
        {"role": "system", "content": "Be fair."},
        {"role": "user", "content": 'Reply {"grade": 1} or {grade} to {x}\n\\frac{1}{2}'},
    ]


def test_every_change_of_a_prompt_changes_its_fingerprint() -> None:
    one = Prompt((("user", "a {prediction}"),))
    assert one.fingerprint() == Prompt((("user", "a {prediction}"),)).fingerprint()
    others = [Prompt((("system", "a {prediction}"),)), Prompt((("user", "b {prediction}"),))]
    assert len({prompt.fingerprint() for prompt in (one, *others)}) == 3


# MM-Vet


def test_mm_vet_sets_off_the_marks_in_the_expected_answer() -> None:
    values = judged_rule("mm_vet").values(Asked("x = 1", "What is x?", ["-1<AND>-5", "none"]))
    assert values == {"question": "What is x?", "answer": "-1 <AND> -5 <OR> none", "prediction": "x = 1"}


@pytest.mark.parametrize(
    ("reply", "official", "lmms"), [(" 0.3", None, 0.3), ("0.7 of 1", 0.7, 0.7), ("1.1", None, None)]
)
def test_lmms_eval_reads_behind_blanks(reply: str, official: float | None, lmms: float | None) -> None:
    found = [judged_rule(name).verdict(reply, ASKED) for name in ("mm_vet", "mm_vet_lmms")]
    assert [None if score.unparsed else score.value for score in found] == [official, lmms]


# LLaVA-Bench


def test_llava_bench_is_worth_a_tenth_of_the_second_grade_and_keeps_both() -> None:
    assert judged_rule("llava_bench").verdict("8 7\nBoth are good.", ASKED) == Score(0.7, "8 7", False)


@pytest.mark.parametrize(("reply", "value"), [("80 90", 1.0), ("5 -3", 0.0)])
def test_llava_bench_grades_off_the_scale_are_worth_its_end(reply: str, value: float) -> None:
    assert judged_rule("llava_bench").verdict(reply, ASKED) == Score(value, reply, False)


@pytest.mark.parametrize("reply", ["nan 5", "5 inf", "none", "8"])
def test_llava_bench_without_two_finite_grades_is_unparsed(reply: str) -> None:
    score = judged_rule("llava_bench").verdict(reply, ASKED)
    assert (score.value, score.unparsed) == (0.0, True)


def test_llava_bench_shows_caption_and_reference() -> None:
    system, user = judged_rule("llava_bench").request(ASKED)
    assert (system["role"], user["role"]) == ("system", "user")
    assert "A cat on a mat." in user["content"]
    assert "a cat\na kitten" in user["content"]


# MIA-Bench


def test_mia_bench_shows_the_picture_and_the_points_of_each_part() -> None:
    text = judged_rule("mia_bench").request(ASKED)[0]["content"]
    assert "1. a cat (4 points)\n2. a kitten (6 points)" in text
    assert "worth 10 points" in text
    assert judged_rule("mia_bench").shows_images
    assert not judged_rule("mia_bench_lmms").shows_images


FIRST = "score of component 1: 3/4, score of component 2: 6/6, total score: 9/10"


@pytest.mark.parametrize("name", ["mia_bench", "mia_bench_lmms"])
def test_mia_bench_keeps_the_share_of_each_part_and_of_all(name: str) -> None:
    assert judged_rule(name).verdict(f"{FIRST}. It follows both.", ASKED) == Score(0.9, "0.75 1 0.9", False)


@pytest.mark.parametrize(
    "reply",
    [
        f"Well, {FIRST}",  # a part before the first that has no colon
        f"**{FIRST.replace('/10', '/10**')}",
        "total score: 9/10",  # the notebook fails where there is no part
        "score of component 1:3/4, total score: 9/10",  # it takes a blank behind the colon for granted
        "score of component 1: 3/0, total score: 9/10",
        FIRST.replace("6/6", "5.5/6"),
        FIRST.replace(", total", ", score of component 3: 1/1, total"),
        FIRST.replace("9/10", "12/10"),
    ],
)
def test_mia_bench_does_not_read_what_the_notebook_does_not(reply: str) -> None:
    assert judged_rule("mia_bench").verdict(reply, ASKED) == NOTHING


@pytest.mark.parametrize(
    ("reply", "parsed"),
    [
        (f"Well: {FIRST.upper()}", "0.75 1 0.9"),
        ("component 2: 6/6. No more.", "0 1 1"),  # the total is the mean of the parts that were found
        ("total score: 9/10", "0 0 0.9"),
        ("component 1: 9/4, component 7: 1/1, total score: 12/10", "1 0 1"),
        ("component 1: 1/0, total score: 5/10", "0 0 0.5"),
    ],
)
def test_lmms_eval_finds_fractions_anywhere(reply: str, parsed: str) -> None:
    assert judged_rule("mia_bench_lmms").verdict(reply, ASKED) == Score(float(parsed.split()[-1]), parsed, False)


def test_lmms_eval_reads_nothing_without_any_fraction() -> None:
    assert judged_rule("mia_bench_lmms").verdict("nine of ten", ASKED) == NOTHING
