"""ANLS: where the two rules part, and what is not compared at all."""

from __future__ import annotations

import time

import pytest

from pytest_vtc.scoring.anls import Anls, AnlsStvqa


@pytest.mark.parametrize(("prediction", "answer", "collapsed", "as_written"), [
    ("FY  2019", "FY 2019", 1, 1 - 1 / 8), ("abcd", "abce", 0.75, 0.75), ("abcd", "abXY", 0.5, 0.5),
    ("abc", "aXY", 0, 0), ("Morris", "Philip Morris", 0, 0), ("  abcd", "abce", 1 - 1 / 6, 0.75),
])  # fmt: skip
def test_similarity(prediction: str, answer: str, collapsed: float, as_written: float) -> None:
    assert Anls().score(prediction, [answer], ()).value == pytest.approx(collapsed)
    assert AnlsStvqa().score(prediction, [answer], ()).value == pytest.approx(as_written)


@pytest.mark.parametrize("rule", [Anls(), AnlsStvqa()])
def test_nearest_answer_counts(rule: Anls | AnlsStvqa) -> None:
    assert rule.score("abcd", ["xxxx", "abce", "wbce"], ()).value == 0.75


@pytest.mark.parametrize("rule", [Anls(), AnlsStvqa()])
def test_without_answers_nothing_is_right(rule: Anls | AnlsStvqa) -> None:
    assert rule.score("abcd", [], ()).value == 0


@pytest.mark.parametrize("rule", [Anls(), AnlsStvqa()])
def test_ramble_is_not_compared_with_a_short_answer(rule: Anls | AnlsStvqa) -> None:
    started = time.perf_counter()
    for _ in range(20):
        assert rule.score("ab" * 50_000, ["ab" * 20_000], ()).value == 0
    assert time.perf_counter() - started < 2
