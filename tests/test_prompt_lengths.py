"""Prompts that cannot fit into the context are found before the first case, and nearly none is tokenised for it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_vtc.datasets.base import Sample
from pytest_vtc.models.backend import Backend, PromptError
from pytest_vtc.prompt_lengths import check_prompts


class Counting:
    """A model with a context of 100 that writes a token for every word, and 10 around them."""

    context_length: int | None = 100

    def __init__(self) -> None:
        self.tokenised: list[str] = []

    def prompt_ids(self, text: str, images: list[Any]) -> list[int]:
        self.tokenised.append(text)
        if "<image>" in text:
            raise PromptError("a placeholder in the text")
        return [0] * (10 + len(images) + len(text.split()))


def check(backend: Any, *prompts: str, max_new_tokens: int = 8) -> None:
    check_prompts(backend, "quiz", [Sample(f"s{i}", (), text) for i, text in enumerate(prompts)], max_new_tokens)


def test_short_prompts_are_not_tokenised() -> None:
    backend = Counting()
    check(backend, *(f"question {i} ?" for i in range(1000)))
    assert backend.tokenised == [""]


def test_a_prompt_just_as_long_as_the_context_fits() -> None:
    check(Counting(), "a " * 82)


def test_the_longest_prompt_is_named_with_its_length_the_context_and_how_many_more_there_are() -> None:
    with pytest.raises(PromptError) as caught:
        check(Counting(), "short", "a " * 83, "a " * 90, "a " * 84)
    message = str(caught.value)
    assert "sample 's2' of quiz does not fit" in message
    assert "(up to 8 tokens) need 108 tokens" in message
    assert "the context has 100; so for 2 more samples" in message


def test_the_answer_counts() -> None:
    check(Counting(), "a " * 60, max_new_tokens=30)
    with pytest.raises(PromptError):
        check(Counting(), "a " * 60, max_new_tokens=31)


def test_of_many_long_prompts_the_longest_are_looked_at() -> None:
    backend = Counting()
    with pytest.raises(PromptError, match="'s1000'"):
        check(backend, *("abcdefghijklmnopqrstuvwxyz " * (5 + i // 20) for i in range(1000)), "extraordinary " * 110)
    assert len(backend.tokenised) < 300


def test_what_else_is_wrong_with_a_prompt_is_left_to_its_cases() -> None:
    check(Counting(), "<image>" + "a " * 500, "half a pair \ud83d" * 20)


def test_a_model_that_names_no_limit_takes_everything() -> None:
    backend = Counting()
    backend.context_length = None
    check(backend, "a " * 500)
    assert backend.tokenised == []


def test_a_real_tokenizer_is_asked_the_same_way(tiny: Backend) -> None:
    check_prompts(tiny, "quiz", [Sample("fits", (), "what is this ? " * 200)], 8)
    with pytest.raises(PromptError, match=r"sample 'long' of quiz .* the context has 2,048"):
        check_prompts(tiny, "quiz", [Sample("long", (), "what is this ? " * 600)], 8)
