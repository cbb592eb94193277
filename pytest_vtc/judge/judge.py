"""Has answers judged, several at a time, and keeps what the judge replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_vtc.datasets.base import DatasetError, ImageSource
from pytest_vtc.judge.client import JudgeError
from pytest_vtc.judge.replies import Replies
from pytest_vtc.judge.request import Request
from pytest_vtc.scoring.base import NOTHING, Score
from pytest_vtc.scoring.judges import Asked, JudgedRule, Prompt

ATTEMPTS = 3
"""How often the judge is asked about one answer, if its replies cannot be read."""

AT_ONCE = 8
"""Requests under way at a time."""


class Client(Protocol):
    """Where requests go: `ChatClient`, or a stand-in."""

    def reply(self, body: Mapping[str, Any]) -> str:
        """The judge's words. Raises JudgeError."""
        ...

    def stop(self) -> None:
        """The run has ended: wait no longer."""
        ...


@dataclass(frozen=True)
class Question:
    """One answer to be judged. images: of its sample. prompt: what the judge is asked."""

    rule: JudgedRule
    prompt: Prompt
    asked: Asked
    images: tuple[ImageSource, ...]


class Judge:
    """A language model that reads answers. model: its name, as its endpoint knows it."""

    def __init__(self, model: str, client: Client, replies: Replies) -> None:
        self._model, self._client, self._replies = model, client, replies

    def scores(self, questions: Sequence[Question]) -> list[Score | JudgeError]:
        """The verdict on each answer, or why there is none; answers that are asked about alike are asked about once.

        A score is unparsed if no reply of `ATTEMPTS` could be read. Raises StoreError if replies cannot be kept.
        """
        pool = ThreadPoolExecutor(min(AT_ONCE, max(1, len(questions))), "vtc-judge")
        try:
            under_way: dict[Any, Future[Score | JudgeError]] = {}
            mine: list[Any] = []
            for question in questions:
                name = self._name(question)
                mine.append(name)
                if name not in under_way:
                    under_way[name] = pool.submit(self._judged, question)
            return [under_way[name].result() for name in mine]
        except BaseException:
            self._client.stop()
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _name(self, question: Question) -> Any:
        """What two questions have in common that get one verdict."""
        messages = question.rule.request(question.asked, question.prompt)
        asked = tuple((message["role"], message["content"]) for message in messages)
        images = tuple(map(str, question.images)) if question.rule.shows_images else ()
        return question.rule.name, asked, images, len(question.asked.answers)

    def _judged(self, question: Question) -> Score | JudgeError:
        rule, asked = question.rule, question.asked
        messages = tuple(rule.request(asked, question.prompt))
        images = question.images if rule.shows_images else ()
        score = NOTHING
        try:
            for attempt in range(ATTEMPTS):
                request = Request(self._model, messages, images, rule.max_tokens, attempt)
                score = rule.verdict(self._reply(request), asked)
                if not score.unparsed:
                    break
        except JudgeError as error:
            return error
        except DatasetError as error:  # an image that has gone
            return JudgeError(str(error))
        return score

    def _reply(self, request: Request) -> str:
        key = request.key()
        if (kept := self._replies.get(key)) is not None:
            return kept
        reply = self._client.reply(request.body())
        self._replies.put(key, request.facts(), reply)
        return reply
