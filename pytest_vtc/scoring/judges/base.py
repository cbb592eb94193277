"""What a judged rule is: a language model reads the answer, and the rule asks it and reads what it replies."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.judges.prompt import Message, Prompt

PREDICTION = "prediction"
"""The gap that stands for the model's answer: without it there would be nothing to judge."""


@dataclass(frozen=True)
class Asked:
    """One answer to be judged, with all that is known of its question. The fields are those of a `Sample`.

    prediction: what the model said.
    """

    prediction: str
    prompt: str
    answers: Sequence[str]
    category: str = ""
    facts: Mapping[str, str] = field(default_factory=lambda: NO_FACTS)

    @property
    def question(self) -> str:
        """As it was published, without what a prompt style has added to it."""
        return self.facts.get("question", self.prompt)


class JudgedRule(ABC):
    """Scores an answer by what a judge says of it. Reads a reply as the original does, to the letter.

    prompt: what the judge is asked when nobody says otherwise. gaps: what any prompt for this rule may have filled in.
    needs: facts of a question without which it cannot be judged. shows_images: the judge is shown the sample's images,
    behind the last message. max_tokens: the longest reply.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    prompt: ClassVar[Prompt]
    gaps: ClassVar[tuple[str, ...]]
    needs: ClassVar[tuple[str, ...]] = ()
    shows_images: ClassVar[bool] = False
    max_tokens: ClassVar[int] = 1024

    def request(self, asked: Asked, prompt: Prompt | None = None) -> list[Message]:
        """The messages by which an answer is judged. prompt: one whose gaps are among `gaps`; `self.prompt` if None."""
        return (prompt or self.prompt).filled(self.values(asked))

    def lacks(self, answers: Sequence[str], facts: Mapping[str, str]) -> str | None:  # noqa: ARG002
        """What a question lacks to be judged, as in `lacks the fact 'caption'`; None if nothing."""
        absent = next((name for name in self.needs if not facts.get(name, "").strip()), None)
        return None if absent is None else f"lacks the fact {absent!r}, which the judge of {self.name} is told"

    @abstractmethod
    def values(self, asked: Asked) -> dict[str, str]:
        """The text of each of `gaps`."""

    @abstractmethod
    def verdict(self, reply: str, asked: Asked) -> Score:
        """The score that a reply gives. Never raises; of a reply that cannot be read, the score is unparsed."""


def number(text: str) -> float | None:
    """`text` as Python reads a number, None if it is none; what is infinite or not a number is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
