"""The address of a judge and the key that is sent there."""

from __future__ import annotations

import pytest

from pytest_vtc.judge.endpoint import check_url, endpoint
from pytest_vtc.option_values import OptionError

OPENAI = "https://api.openai.com/v1"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (OPENAI, f"{OPENAI}/chat/completions"),
        (f"{OPENAI}/", f"{OPENAI}/chat/completions"),
        (f"{OPENAI}/chat/completions", f"{OPENAI}/chat/completions"),
        ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("http://[::1]:8000/", "http://[::1]:8000/v1/chat/completions"),
        ("https://x.org/deployments/a?api-version=1", "https://x.org/deployments/a/chat/completions?api-version=1"),
    ],
)
def test_the_path_of_chat_completions_is_added_where_it_is_missing(given: str, url: str) -> None:
    assert endpoint(given, {}).url == url


@pytest.mark.parametrize(
    "text",
    ["", "localhost:8000", "gpt-4o", "file:///etc/passwd", "ftp://x.org", "http://", "http://x:99999", "http://x y"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=r"--vtc-judge: .* no address"):
        check_url(text)


@pytest.mark.parametrize(
    "text", ["https://me:sk-secret@x.org/v1", "https://x.org/v1?api_key=sk-secret", "https://x?token=sk-secret"]
)
def test_a_key_in_the_address_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(OptionError, match="VTC_JUDGE_API_KEY") as raised:
        check_url(text)
    assert "sk-secret" not in str(raised.value)


def test_the_key_of_our_own_goes_to_any_judge_and_comes_first() -> None:
    environ = {"VTC_JUDGE_API_KEY": " ours\n", "OPENAI_API_KEY": "theirs"}
    assert endpoint("https://x.org/v1", environ).key == endpoint(OPENAI, environ).key == "ours"


@pytest.mark.parametrize(
    "url", [OPENAI, "https://eu.api.openai.com/v1", "http://localhost:8000", "http://127.0.0.1:1/v1"]
)
def test_openais_key_goes_to_openai_and_to_this_machine(url: str) -> None:
    assert endpoint(url, {"OPENAI_API_KEY": "theirs"}).key == "theirs"


@pytest.mark.parametrize("url", ["https://x.org/v1", "https://api.openai.com.x.org/v1", "https://notopenai.com/v1"])
def test_openais_key_goes_nowhere_else(url: str) -> None:
    found = endpoint(url, {"OPENAI_API_KEY": "theirs"})
    assert (found.key, found.withheld) == (None, True)


def test_openais_key_goes_where_its_own_variable_says_that_openai_is() -> None:
    environ = {"OPENAI_API_KEY": "theirs", "OPENAI_BASE_URL": "https://x.org/v1"}
    assert endpoint("https://x.org/api", environ).key == "theirs"


def test_a_key_that_cannot_be_sent_is_refused_and_not_shown() -> None:
    with pytest.raises(OptionError, match="VTC_JUDGE_API_KEY: the key has characters") as raised:
        endpoint(OPENAI, {"VTC_JUDGE_API_KEY": "sk-sécret"})
    assert "cret" not in str(raised.value)


def test_the_key_is_not_part_of_how_an_endpoint_is_shown() -> None:
    found = endpoint(f"{OPENAI}?api-version=1", {"VTC_JUDGE_API_KEY": "sk-secret"})
    assert str(found) == f"{OPENAI}/chat/completions"
    assert "sk-secret" not in repr(found)
