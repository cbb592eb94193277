"""What holds for every scoring rule, and looking them up."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.scoring import NOTHING, ScoringError, judged, known_rules, rule
from pytest_vtc.scoring.base import Score

RULES = sorted(known_rules())
OF_LETTERS = {
    *("letters", "mmmu_pro_official", "mmmu_official", "mmmu_mc_official", "mmmu_lmms", "mmmu_mc_lmms"),
    *("mcq_vlmevalkit", "mcq_extract_lmms", "mmbench_lmms_static", "mmstar_lmms", "realworldqa_lmms"),
    *("scienceqa_official", "scienceqa_llava", "scienceqa_lmms", "seed_llava", "seed_lmms", "ai2d_lmms"),
}
"""Rules whose answers are letters of options."""
YES_NO = {"mme_yesno_lmms", "mme_yesno_official", "pope_lmms", "pope_official", "yorn_vlmevalkit"}
VQA = {"vqa_evalai", "vqa_official", "vqa_vlmevalkit", "vqav2_lmms"}
WORDED = {"scienceqa_official": "The answer is {}."}
"""How an answer has to be said where the answer alone is not read."""
NEVER_RIGHT = {"mmmu_open_lmms"}
"""By a mistake of the original's."""
CAN_BE_RIGHT = sorted({*RULES} - NEVER_RIGHT)


def accepted(name: str) -> tuple[list[str], tuple[str, ...]]:
    """Answers that the rule accepts beside each other, and options."""
    if name in OF_LETTERS:
        return ["A", "B"], ("x", "y")
    # One person's answer among others is not worth much to VQA accuracy.
    return ["no", "yes"] if name in YES_NO else ["dog", "cat"] * (4 if name in VQA else 1), ()


facts = st.dictionaries(
    st.sampled_from(["dataset", "question_type", "answer_type", "precision"]),
    st.sampled_from(["HME100k", "multi_choice", "free_form", "text", "integer", "float", "list", "1.0", "-2", "nan"]),
)
pieces = st.sampled_from(
    [
        "A",
        "b",
        "(C)",
        " ",
        "\n",
        ".",
        ",",
        "not",
        "Answer:",
        "the answer is",
        "or",
        "yes",
        "no",
        "cat",
        "1,000",
        "-5%",
        "\\boxed{",
        "}",
        "\\frac{",
        "^",
        "1e9",
        "'",
    ]
)
predictions = st.text() | st.lists(pieces).map("".join) | st.lists(pieces).map(" ".join)


@settings(max_examples=120, deadline=None)
@pytest.mark.parametrize("name", RULES)
@given(
    prediction=predictions,
    answers=st.lists(predictions, max_size=3),
    options=st.lists(predictions, max_size=30),
    facts=facts,
)
def test_any_answer_is_scored_between_0_and_1(
    name: str, prediction: str, answers: list[str], options: list[str], facts: dict[str, str]
) -> None:
    score = rule(name).score(prediction, answers, options, facts)
    assert 0 <= score.value <= 1
    assert score.parsed is not None or score.unparsed


@pytest.mark.parametrize("name", RULES)
@given(blank=st.text(" \t\n\r\u00a0\u3000"), answer=predictions)
def test_empty_answer_is_wrong_and_unparsed(name: str, blank: str, answer: str) -> None:
    assert judged(rule(name), blank, [answer, ""], ["x", "y", ""]) == NOTHING == Score(0.0, None, True)


def test_empty_answer_is_scored_as_the_rule_does_where_that_is_asked_for() -> None:
    mmmu_pro = rule("mmmu_pro_official")
    assert judged(mmmu_pro, " ", ["A"], ["x", "y"], literal=True) == Score(0.5, None, True)


@pytest.mark.parametrize("name", CAN_BE_RIGHT)
def test_the_answer_itself_is_right(name: str) -> None:
    (*_, answer), options = accepted(name)
    assert rule(name).score(WORDED.get(name, "{}").format(answer), [answer], options).value == 1


@pytest.mark.parametrize("name", CAN_BE_RIGHT)
def test_any_of_several_answers_is_right(name: str) -> None:
    answers, options = accepted(name)
    said = [WORDED.get(name, "{}").format(answer) for answer in answers]
    assert [rule(name).score(each, answers, options).value for each in said] == [1] * len(said)


@pytest.mark.parametrize("name", RULES)
def test_long_answer_takes_no_long_time(name: str) -> None:
    texts = ("A " * 50_000, "(" * 100_000, "not " * 30_000 + "cat", "is the answer " * 10_000)
    started = time.perf_counter()
    for prediction in (
        *(*texts, "\n" * 100_000 + "x", "the answer is " + " " * 100_000, "1" * 100_000 + "x"),
        *("oxed{" * 20_000, "1," * 50_000, "9^" * 50_000, "dont " * 20_000),
    ):
        assert 0 <= rule(name).score(prediction, ["cat"], ["x", "y"]).value <= 1
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("name", RULES)
def test_rule_describes_itself(name: str) -> None:
    assert rule(name).name == name
    assert len(rule(name).description) > 20


def test_unknown_rule_gives_the_nearest() -> None:
    with pytest.raises(ScoringError, match="unknown scoring rule 'mmmu_pro': did you mean mmmu_pro_official"):
        rule("mmmu_pro")


def test_scoring_imports_nothing_heavy() -> None:
    code = "import sys, pytest_vtc.scoring; print([m for m in ('torch', 'numpy', 'PIL', 'sympy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
