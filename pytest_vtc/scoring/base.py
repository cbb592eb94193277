"""What a scoring rule is: it reads a model's answer and says how right it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol


class ScoringError(ValueError):
    """There is no such rule; the message names the nearest ones."""


@dataclass(frozen=True)
class Score:
    """value: 0 (wrong) to 1 (right). parsed: what the rule read in the answer. unparsed: it found nothing to read."""

    value: float
    parsed: str | None
    unparsed: bool


NOTHING = Score(0.0, None, True)
"""An answer that is empty, or in which the rule finds nothing: wrong, and counted as unparsed."""


class Rule(Protocol):
    """Judges one answer. Never raises, whatever the model said; an empty or blank answer is always `NOTHING`."""

    name: ClassVar[str]
    description: ClassVar[str]

    def score(self, prediction: str, answers: Sequence[str], options: Sequence[str]) -> Score:
        """prediction: what the model said. answers: every accepted one. options: texts of the choices, A first."""
        ...
