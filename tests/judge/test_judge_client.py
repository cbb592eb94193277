"""Asking a judge over HTTP: what is sent, what is tried again, what is said when it fails."""

from __future__ import annotations

import datetime
import email.utils
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_vtc.judge.client import TRIES, ChatClient, JudgeError, _seconds
from pytest_vtc.judge.endpoint import endpoint
from tests.judge.fake_judge import Answer, FakeJudge

BODY = {"model": "grader", "temperature": 0.0, "messages": [{"role": "user", "content": "Grade é."}]}


@pytest.fixture
def client(fake_judge: FakeJudge) -> ChatClient:
    return ChatClient(endpoint(fake_judge.url, {}), backoff=0.001)


def refused(client: ChatClient) -> str:
    with pytest.raises(JudgeError) as raised:
        client.reply(BODY)
    return str(raised.value)


def test_the_request_arrives_as_it_is_and_the_content_comes_back(client: ChatClient, fake_judge: FakeJudge) -> None:
    fake_judge.answers(Answer("0.7 – gut"))
    assert client.reply(BODY) == "0.7 – gut"
    assert fake_judge.asked == [BODY]
    assert fake_judge.paths == ["/v1/chat/completions"]
    assert fake_judge.headers[0]["Content-Type"] == "application/json"
    assert "Authorization" not in fake_judge.headers[0]


def test_the_key_is_sent_as_a_bearer_token(fake_judge: FakeJudge) -> None:
    ChatClient(endpoint(fake_judge.url, {"VTC_JUDGE_API_KEY": "sk-1"})).reply(BODY)
    assert fake_judge.headers[0]["Authorization"] == "Bearer sk-1"


@pytest.mark.parametrize("content", ["", None])
def test_a_judge_that_says_nothing_has_replied(client: ChatClient, fake_judge: FakeJudge, content: str | None) -> None:
    body = b'{"choices": [{"message": {"role": "assistant", "content": null}}]}'
    fake_judge.answers(Answer(content, body=body))
    assert client.reply(BODY) == ""


def test_a_reply_in_parts_is_put_together(client: ChatClient, fake_judge: FakeJudge) -> None:
    parts = b'[{"type": "text", "text": "8 "}, {"type": "text", "text": "7"}]'
    fake_judge.answers(Answer(None, body=b'{"choices": [{"message": {"content": ' + parts + b"}}]}"))
    assert client.reply(BODY) == "8 7"


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 529])
def test_what_may_pass_is_tried_again(client: ChatClient, fake_judge: FakeJudge, status: int) -> None:
    fake_judge.answers(Answer("", status), Answer("", status), Answer("0.5"))
    assert client.reply(BODY) == "0.5"
    assert len(fake_judge.asked) == 3


def test_a_response_that_breaks_off_is_asked_for_again(client: ChatClient, fake_judge: FakeJudge) -> None:
    fake_judge.answers(Answer("0.1", cut=True), Answer("0.5"))
    assert client.reply(BODY) == "0.5"


def test_a_slow_judge_is_given_up_after_the_time_limit(fake_judge: FakeJudge) -> None:
    fake_judge.answers(Answer(wait=5))
    slow = ChatClient(endpoint(fake_judge.url, {}), timeout=0.05, backoff=0.001)
    began = time.monotonic()
    assert "gives no reply after 5 tries (nothing came for 0.05 s)" in refused(slow)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_will_not_pass_is_not_tried_again(client: ChatClient, fake_judge: FakeJudge, status: int) -> None:
    fake_judge.answers(Answer("", status))
    refused(client)
    assert len(fake_judge.asked) == 1


def error(text: str) -> bytes:
    return json.dumps({"error": {"message": text}}).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(None, 401, error("no key")), "refuses to be asked (401: no key); set the environment variable"),
        (Answer(None, 404, error("no model x")), "(404: no model x); check --vtc-judge and --vtc-judge-model"),
        (Answer(None, 400, b"too\nlong " + b"x" * 300), f"refuses the request (400: too long {'x' * 191}...); if"),
        (Answer(None, 307, headers={"Location": "https://x.org"}), "points to https://x.org; give --vtc-judge"),
        (Answer(None, 200, b"<html>Hello</html>"), "no chat completion (<html>Hello</html>); check the address"),
        (Answer(None, 200, b'{"choices": []}'), "no chat completion"),
        (Answer(None, 200, error("upstream is down")), "no chat completion (upstream is down)"),
        (Answer(None, 200, b"[1]"), "no chat completion"),
        (Answer(None, 200, b""), "no chat completion (nothing)"),
        (Answer(None, 503, b""), "gives no reply after 5 tries (503: Service Unavailable)"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    client: ChatClient, fake_judge: FakeJudge, answer: Answer, said: str
) -> None:
    fake_judge.answers(answer)
    message = refused(client)
    assert message.startswith(f"the judge at {fake_judge.url}/chat/completions ")
    assert "\n" not in message
    assert said in message


def test_a_judge_that_is_not_there_is_said_to_be(fake_judge: FakeJudge) -> None:
    gone = ChatClient(endpoint("http://127.0.0.1:9/v1", {}), backoff=0.001)
    assert "gives no reply after 5 tries (" in refused(gone)


def test_the_key_is_in_no_message(fake_judge: FakeJudge) -> None:
    client = ChatClient(endpoint(fake_judge.url, {"VTC_JUDGE_API_KEY": "sk-secret"}))
    fake_judge.answers(Answer(None, 401, b'{"error": {"message": "sk-secret is no key"}}'))
    message = refused(client)
    assert "sk-secret" not in message
    assert "check the key in VTC_JUDGE_API_KEY" in message


def test_a_key_that_was_held_back_is_said_to_be(fake_judge: FakeJudge) -> None:
    found = endpoint("https://x.org/v1", {"OPENAI_API_KEY": "sk"})
    assert "OPENAI_API_KEY goes to OpenAI and this machine alone" in ChatClient(found)._about_the_key()


# Waiting


@pytest.fixture
def waited() -> list[float]:
    return []


@pytest.fixture
def patient(fake_judge: FakeJudge, waited: list[float], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Asks a judge that answers so, and notes how long it would have waited."""

    def ask(*answers: Answer) -> str:
        def wait(seconds: float) -> bool:
            waited.append(seconds)
            return False

        fake_judge.answers(*answers)
        client = ChatClient(endpoint(fake_judge.url, {}))
        monkeypatch.setattr(client._stopped, "wait", wait)
        return client.reply(BODY)

    return ask


def test_waits_double_from_try_to_try(patient: Callable[..., Any], waited: list[float]) -> None:
    with pytest.raises(JudgeError, match=f"after {TRIES} tries"):
        patient(Answer("", 500))
    assert waited == [1, 2, 4, 8]


def test_a_server_that_says_how_long_is_given_that_time(patient: Callable[..., Any], waited: list[float]) -> None:
    patient(Answer("", 429, headers={"Retry-After": "7"}), Answer("0.5"))
    assert waited == [7]


def test_a_server_that_asks_for_too_long_is_not_waited_for(patient: Callable[..., Any], waited: list[float]) -> None:
    with pytest.raises(JudgeError, match=r"wants to be asked again in 3,600 s only \(429: Too Many Requests\)"):
        patient(Answer(None, 429, headers={"Retry-After": "3600"}))
    assert waited == []


def test_retry_after_may_be_a_date() -> None:
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=30)
    assert 28 < _seconds(email.utils.format_datetime(later, usegmt=True)) <= 30
    assert [_seconds(text) for text in (None, "", "soon", "-3", "1.5")] == [0, 0, 0, 0, 1.5]


def test_a_stopped_run_waits_no_longer(fake_judge: FakeJudge) -> None:
    fake_judge.answers(Answer("", 500))
    client = ChatClient(endpoint(fake_judge.url, {}), backoff=60)
    threading.Timer(0.1, client.stop).start()
    began = time.monotonic()
    assert "the run was stopped" in refused(client)
    assert time.monotonic() - began < 10


# A judge that is down


def test_a_judge_that_has_failed_for_good_is_tried_once_until_it_is_back(
    client: ChatClient, fake_judge: FakeJudge
) -> None:
    fake_judge.answers(*[Answer("", 500)] * (TRIES + 1), Answer("0.5"), Answer("", 500), Answer("0.6"))
    refused(client)
    assert "gives no reply (500" in refused(client)
    assert len(fake_judge.asked) == TRIES + 1
    assert client.reply(BODY) == "0.5"
    assert client.reply(BODY) == "0.6"
