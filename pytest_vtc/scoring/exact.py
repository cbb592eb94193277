"""Exact match after normalisation: the answer, and nothing but the answer."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, NOTHING, Score


class Exact:
    """Right if the normalised prediction equals a normalised answer.

    Normalised: blanks at the ends removed and inner ones collapsed, case folded, full stops at the end removed.
    """

    name: ClassVar[str] = "exact"
    description: ClassVar[str] = "exact match, ignoring case, blanks and a full stop at the end"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = normalise(prediction)
        if not parsed:
            return NOTHING
        return Score(float(parsed in [normalise(answer) for answer in answers]), parsed, False)


def normalise(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(". ")
