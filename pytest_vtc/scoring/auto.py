"""Chooses a rule by the answers: letters are multiple choice, anything else is matched softly."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.letters import Letters
from pytest_vtc.scoring.soft import Soft

_LETTER = re.compile(r"[A-J]", re.IGNORECASE)


class Auto:
    """`letters` if every answer is a single letter from A to J, else `soft`: how the seed project vtbench chooses."""

    name: ClassVar[str] = "auto"
    description: ClassVar[str] = "letters where the answer is a single letter from A to J, else soft"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        lettered = bool(answers) and all(_LETTER.fullmatch(answer.strip()) for answer in answers)
        return (Letters() if lettered else Soft()).score(prediction, answers, options)
