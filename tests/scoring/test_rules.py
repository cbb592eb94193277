"""What holds for every scoring rule, and looking them up."""

from __future__ import annotations

import subprocess
import sys

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
WORDED = {"scienceqa_official": "The answer is {}."}
"""How an answer has to be said where the answer alone is not read."""
NEVER_RIGHT = {"mmmu_open_lmms"}
"""By a mistake of the original's."""
CAN_BE_RIGHT = sorted({*RULES} - NEVER_RIGHT)
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
)
def test_any_answer_is_scored_between_0_and_1(
    name: str, prediction: str, answers: list[str], options: list[str]
) -> None:
    score = rule(name).score(prediction, answers, options)
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
    answer, options = ("B", ("x", "y")) if name in OF_LETTERS else ("cat", ())
    assert rule(name).score(WORDED.get(name, "{}").format(answer), [answer], options).value == 1


@pytest.mark.parametrize("name", CAN_BE_RIGHT)
def test_any_of_several_answers_is_right(name: str) -> None:
    answers, options = (["A", "B"], ("x", "y")) if name in OF_LETTERS else (["dog", "cat"], ())
    assert rule(name).score(WORDED.get(name, "{}").format(answers[1]), answers, options).value == 1


@pytest.mark.parametrize("name", RULES)
def test_long_answer_takes_no_long_time(name: str) -> None:
    texts = ("A " * 50_000, "(" * 100_000, "not " * 30_000 + "cat", "is the answer " * 10_000)
    for prediction in (*texts, "\n" * 100_000 + "x", "the answer is " + " " * 100_000, "1" * 100_000 + "x"):
        assert 0 <= rule(name).score(prediction, ["cat"], ["x", "y"]).value <= 1


@pytest.mark.parametrize("name", RULES)
def test_rule_describes_itself(name: str) -> None:
    assert rule(name).name == name
    assert len(rule(name).description) > 20


def test_unknown_rule_gives_the_nearest() -> None:
    with pytest.raises(ScoringError, match="unknown scoring rule 'mmmu_pro': did you mean mmmu_pro_official"):
        rule("mmmu_pro")


def test_scoring_imports_nothing_heavy() -> None:
    code = "import sys, pytest_vtc.scoring; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
