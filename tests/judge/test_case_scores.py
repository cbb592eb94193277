"""What an answer is worth in a run: by rule, or by judge, with the harness's own policy on silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.case_scores import AnsweredCase, CaseScores
from pytest_vtc.cells import CaseFailed, Cell, Generation, Measurement
from pytest_vtc.datasets.base import Sample, SampleSet
from pytest_vtc.judge.choice import choose_judge
from pytest_vtc.judge.client import JudgeError
from pytest_vtc.judge.judge import Judge
from pytest_vtc.judge.replies import Replies
from pytest_vtc.models.catalogue import ModelLocation
from pytest_vtc.sweep import Block, Sweep
from tests.test_schedule import SETTINGS

FACTS = {"caption": "A cat."}


class Replying:
    """A judge's client that says the same to all. asked: bodies."""

    def __init__(self, reply: str | JudgeError) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self._reply = reply

    def reply(self, body: Mapping[str, Any]) -> str:
        self.asked.append(body)
        if isinstance(self._reply, JudgeError):
            raise self._reply
        return self._reply

    def stop(self) -> None:
        pass


class Scored:
    """One sample of a dataset, scored by a judge that replies so. literal: as the original does."""

    def __init__(self, tmp_path: Path, reply: str | JudgeError, scoring: str = "llava_bench", literal: bool = False):
        sample = Sample("q1", (), "What is it?", ("a cat",), category="conv", facts=FACTS)
        data = SampleSet("cats", (sample,), scoring, 8, 1, literal=literal)
        block = Block(ModelLocation("m", "m", None), data, (Cell("m", "cats"), Cell("m", "cats", "c", 0.5)), 8)
        judge = choose_judge("http://localhost:1", "grader", [], [data])
        self.sweep = Sweep(replace(SETTINGS, output=tmp_path), (block,), {}, (), judge=judge)
        self.client = Replying(reply)
        self.scores = CaseScores(self.sweep, Judge("grader", self.client, Replies(tmp_path)))

    def results(self, *answers: str) -> list[Measurement | CaseFailed]:
        found = self.scores.results(
            AnsweredCase(self.sweep.case(order), Generation(answer, 9, 9, 9, 0, 1, "compact", False, False, 0.1), False)
            for order, answer in enumerate(answers)
        )
        return [found[order] for order in range(len(answers))]

    def verdict(self, answer: str) -> tuple[float | None, str | None, bool]:
        (found,) = self.results(answer)
        assert isinstance(found, Measurement)
        return found.score, found.parsed, found.unparsed


def test_the_verdict_of_the_judge_is_the_score(tmp_path: Path) -> None:
    assert Scored(tmp_path, "8 7").verdict("a tabby") == (0.7, "8 7", False)


def test_all_answers_are_judged_together_and_keep_their_places(tmp_path: Path) -> None:
    found = Scored(tmp_path, "8 7").results("a tabby", "")
    assert [(m.cell.variant, m.score) for m in found if isinstance(m, Measurement)] == [("stock", 0.7), ("c@0.5", 0.0)]


@pytest.mark.parametrize("blank", ["", " \n"])
def test_a_blank_answer_is_wrong_and_no_judge_is_asked(tmp_path: Path, blank: str) -> None:
    scored = Scored(tmp_path, "8 7")
    assert scored.verdict(blank) == (0.0, None, True)
    assert scored.client.asked == []


def test_to_the_letter_a_blank_answer_is_judged_too(tmp_path: Path) -> None:
    scored = Scored(tmp_path, "8 1", literal=True)
    assert scored.verdict("") == (0.1, "8 1", False)


def test_a_reply_that_cannot_be_read_makes_the_answer_wrong_and_unparsed(tmp_path: Path) -> None:
    assert Scored(tmp_path, "Both are fine.").verdict("a tabby") == (0.0, None, True)


def test_to_the_letter_such_a_reply_keeps_what_the_original_reads(tmp_path: Path) -> None:
    assert Scored(tmp_path, "Both are fine.", literal=True).verdict("a tabby") == (0.0, "-1 -1", True)


def test_a_judge_that_fails_fails_the_case_and_says_that_the_answer_is_kept(tmp_path: Path) -> None:
    (found,) = Scored(tmp_path, JudgeError("the judge is out")).results("a tabby")
    assert isinstance(found, CaseFailed)
    assert str(found) == ("answered, but not judged: the judge is out. The answer is kept: --lf has it judged again")


def test_a_rule_that_needs_no_judge_asks_none(tmp_path: Path) -> None:
    scored = Scored(tmp_path, "8 7", scoring="exact")
    assert scored.verdict("a cat")[0] == 1.0
    assert scored.client.asked == []
    assert scored.sweep.judge is None


def test_what_is_not_scored_has_no_score(tmp_path: Path) -> None:
    assert Scored(tmp_path, "8 7", scoring="none").verdict("a cat") == (None, None, False)
