"""The line above a table: which samples, asked and scored how."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_vtc.report.heading import about_samples
from tests.run_of import manifest


def said(answers: str | None = None, **about: Any) -> str:
    made = manifest()
    made["datasets"]["probes"].update(about)  # type: ignore[typeddict-item]
    made["settings"]["answers"] = answers
    return about_samples(made, "probes", 200)


def test_samples_seed_and_rule_are_said() -> None:
    assert said() == "200 of 2,000 samples, seed 0, scored by exact_match"


def test_a_rule_that_is_followed_to_the_letter_is_said_to_be() -> None:
    text = said(literal=True, scoring="pope_official")
    assert text.endswith(", scored by pope_official to the letter, empty answers too")


def test_nothing_is_followed_to_the_letter_where_nothing_is_scored() -> None:
    assert said(literal=True, scoring="none").endswith(", not scored")


@pytest.mark.parametrize(("style", "told"), [("lmms", ", lmms prompts"), ("own", "")])
def test_prompts_of_others_are_said_to_be(style: str, told: str) -> None:
    assert said(prompt_style=style).endswith(f"exact_match{told}")


def test_letters_are_said_to_be_how_it_was_answered() -> None:
    assert said("letters", prompt_style="lmms").endswith(", lmms prompts, answered by letter probabilities")
