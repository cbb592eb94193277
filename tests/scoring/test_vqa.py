"""VQA accuracy: how agreement is counted, and when text is normalised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.scoring import Rule
from pytest_vtc.scoring.vqa import VqaEvalAI, VqaOfficial, Vqav2Lmms, VqaVlmevalkit

RULES = [VqaOfficial(), VqaEvalAI(), Vqav2Lmms(), VqaVlmevalkit()]
each = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


@each
@pytest.mark.parametrize(("same", "score"), list(enumerate((0, 0.3, 0.6, 0.9, 1, 1, 1, 1, 1, 1, 1))))
def test_ten_answers(rule: Rule, same: int, score: float) -> None:
    answers = ["cat"] * same + ["dog"] * (10 - same)
    assert rule.score("cat", answers, ()).value == pytest.approx(score)


@each
@given(answers=st.lists(st.sampled_from(["cat", "dog", "cow"]), min_size=2, max_size=12))
def test_any_number_of_answers_is_left_out_one_by_one(rule: Rule, answers: list[str]) -> None:
    worth = [min(1, (answers[:i] + answers[i + 1 :]).count("cat") / 3) for i in range(len(answers))]
    assert rule.score("cat", answers, ()).value == pytest.approx(sum(worth) / len(worth))


@each
def test_single_answer_is_right_or_wrong(rule: Rule) -> None:
    assert [rule.score(said, ["cat"], ()).value for said in ("cat", "dog")] == [1, 0]


@each
def test_without_answers_nothing_is_right(rule: Rule) -> None:
    assert rule.score("cat", [], ()).value == 0


@each
def test_answer_of_articles_alone_is_unparsed(rule: Rule) -> None:
    assert rule.score("the", ["cat", "dog"], ()).unparsed


@each
def test_official_rule_normalises_only_where_people_disagree(rule: Rule) -> None:
    assert rule.score("Yes.", ["yes"] * 10, ()).value == (rule.name != "vqa_official")
    assert rule.score("Yes.", ["yes"] * 9 + ["no"], ()).value == 1
