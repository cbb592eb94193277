"""The judge: verdicts on many answers at a time, kept replies, and what becomes of replies that nobody can read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.judge.client import ChatClient, JudgeError
from pytest_vtc.judge.endpoint import endpoint
from pytest_vtc.judge.judge import AT_ONCE, ATTEMPTS, Judge, Question
from pytest_vtc.judge.replies import Replies
from pytest_vtc.scoring.base import NOTHING, Score
from pytest_vtc.scoring.judges import Asked, known_judged_rules
from pytest_vtc.store import StoreError
from tests.judge.fake_judge import Answer, FakeJudge

MM_VET = known_judged_rules()["mm_vet"]
HALF = Score(0.5, "0.5", False)


class Scripted:
    """A client without a network. asked: bodies, in order."""

    def __init__(self, reply: Callable[[Mapping[str, Any]], str]) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self.stopped = False
        self._reply = reply

    def reply(self, body: Mapping[str, Any]) -> str:
        self.asked.append(body)
        return self._reply(body)

    def stop(self) -> None:
        self.stopped = True


def question(said: str, rule: str = "mm_vet", **more: Any) -> Question:
    judged_by = known_judged_rules()[rule]
    asked = Asked(said, "What is it?", more.get("answers", ["a cat"]), facts=more.get("facts", {}))
    return Question(judged_by, judged_by.prompt, asked, more.get("images", ()))


def grade_of(body: Mapping[str, Any]) -> str:
    """The grade that the answer itself names: `say 0.7`."""
    return body["messages"][-1]["content"].rpartition("say ")[2].split(" ")[0]


def test_each_answer_gets_its_own_verdict(tmp_path: Path) -> None:
    judge = Judge("grader", Scripted(grade_of), Replies(tmp_path))
    found = judge.scores([question(f"say {n / 10:g}") for n in range(11)])
    assert [score.value for score in found if isinstance(score, Score)] == [n / 10 for n in range(11)]


def test_answers_that_are_alike_are_asked_about_once(tmp_path: Path) -> None:
    client = Scripted(grade_of)
    found = Judge("grader", client, Replies(tmp_path)).scores([question("say 0.5")] * 5)
    assert found == [HALF] * 5
    assert len(client.asked) == 1


def test_nothing_is_asked_that_has_been_replied_to(tmp_path: Path) -> None:
    asked = [question("say 0.5"), question("say 0.7")]
    first = Judge("grader", Scripted(grade_of), Replies(tmp_path)).scores(asked)
    silent = Scripted(lambda _: pytest.fail("asked again"))
    assert Judge("grader", silent, Replies(tmp_path)).scores(asked) == first
    assert silent.asked == []


def test_another_judge_is_asked_anew(tmp_path: Path) -> None:
    Judge("grader", Scripted(grade_of), Replies(tmp_path)).scores([question("say 0.5")])
    other = Scripted(lambda _: "0.9")
    assert Judge("other", other, Replies(tmp_path)).scores([question("say 0.5")]) == [Score(0.9, "0.9", False)]


def test_a_reply_that_cannot_be_read_is_asked_for_again_at_a_higher_temperature(tmp_path: Path) -> None:
    replies = iter(["It is fine.", "0.5"])
    client = Scripted(lambda _: next(replies))
    assert Judge("grader", client, Replies(tmp_path)).scores([question("a cat")]) == [HALF]
    assert [body["temperature"] for body in client.asked] == [0, 0.5]


def test_after_some_attempts_the_answer_is_unparsed_and_that_is_kept_too(tmp_path: Path) -> None:
    client = Scripted(lambda _: "It is fine.")
    for _ in range(2):
        assert Judge("grader", client, Replies(tmp_path)).scores([question("a cat")]) == [NOTHING]
    assert len(client.asked) == ATTEMPTS


def test_one_failure_leaves_the_other_verdicts_alone(tmp_path: Path) -> None:
    def reply(body: Mapping[str, Any]) -> str:
        if "broken" in str(body):
            raise JudgeError("the judge is out")
        return "0.5"

    found = Judge("grader", Scripted(reply), Replies(tmp_path)).scores([question("broken"), question("a cat")])
    assert str(found[0]) == "the judge is out"
    assert found[1] == HALF


def test_an_image_that_has_gone_is_said_of_its_own_answer(tmp_path: Path) -> None:
    gone = (ImageFile(tmp_path / "gone.png"),)
    facts = {"weights": "10"}
    asked = [
        question("x", "mia_bench", images=gone, facts=facts),
        question("x", "mia_bench_lmms", images=gone, facts=facts),
    ]
    reply = Scripted(lambda _: "score of component 1: 5/10, total score: 5/10")
    found = Judge("grader", reply, Replies(tmp_path)).scores(asked)
    assert isinstance(found[0], JudgeError)
    assert "gone.png: no such image" in str(found[0])
    assert found[1] == Score(0.5, "0.5 0.5", False)


def test_a_reply_that_cannot_be_kept_ends_it(tmp_path: Path) -> None:
    (tmp_path / "replies").write_text("a file")
    client = Scripted(grade_of)
    with pytest.raises(StoreError, match="cannot keep"):
        Judge("grader", client, Replies(tmp_path / "replies")).scores([question("say 0.5")])
    assert client.stopped


def test_no_answers_need_no_judge(tmp_path: Path) -> None:
    assert Judge("grader", Scripted(grade_of), Replies(tmp_path)).scores([]) == []


def test_several_requests_are_under_way_at_a_time(tmp_path: Path, fake_judge: FakeJudge) -> None:
    together = threading.Barrier(AT_ONCE)

    def reply(_: dict[str, Any]) -> Answer:
        together.wait(timeout=10)  # breaks, and every request with it, unless all are there at once
        return Answer("0.5")

    fake_judge.reply = reply
    judge = Judge("grader", ChatClient(endpoint(fake_judge.url, {})), Replies(tmp_path))
    assert judge.scores([question(f"answer {n}") for n in range(AT_ONCE)]) == [HALF] * AT_ONCE
    assert fake_judge.at_once == AT_ONCE


def test_a_rate_limited_judge_is_asked_until_all_is_judged(tmp_path: Path, fake_judge: FakeJudge) -> None:
    turn = iter(range(10_000))
    fake_judge.reply = lambda _: Answer("0.5") if next(turn) % 2 else Answer("", 429)
    judge = Judge("grader", ChatClient(endpoint(fake_judge.url, {}), backoff=0.001), Replies(tmp_path))
    found = judge.scores([question(f"answer {n}") for n in range(3)])
    assert found.count(HALF) == 3
