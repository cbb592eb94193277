"""Chooses a rule by the answers: letters are multiple choice, anything else is matched softly."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.letters import LETTERS, Letters
from pytest_vtc.scoring.option_letters import letters_of
from pytest_vtc.scoring.soft import Soft


class Auto:
    """`letters` if every answer is a single letter from A to J, else `soft`: how the seed project vtbench chooses.

    With options, a letter of theirs.
    """

    name: ClassVar[str] = "auto"
    description: ClassVar[str] = (
        "letters where the answer is a single letter, A to J or as many as there are options, else soft"
    )

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        letters = letters_of(options) if options else LETTERS
        lettered = bool(answers) and all(
            len(letter) == 1 and letter in letters for letter in (answer.strip().upper() for answer in answers)
        )
        return (Letters() if lettered else Soft()).score(prediction, answers, options)
