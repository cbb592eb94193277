"""What a scoring rule is: it reads a model's answer and says how right it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Protocol


class ScoringError(ValueError):
    """There is no such rule; the message names the nearest ones."""


@dataclass(frozen=True)
class Score:
    """value: 0 (wrong) to 1 (right). parsed: what the rule read in the answer. unparsed: it found nothing to read.

    A rule that falls back on something where it finds nothing (a guess, "yes") is unparsed there all the same; its
    value is then what the fallback is worth: of a guess at random, the chance of a hit.
    """

    value: float
    parsed: str | None
    unparsed: bool


NOTHING = Score(0.0, None, True)
"""An answer in which there is nothing to read: wrong, and counted as unparsed."""

NO_FACTS: Mapping[str, str] = MappingProxyType({})
"""What is known of a question beyond its answers and options: nothing."""

GROUP_SIZE = "group_size"
"""The fact that says how many samples a group has that counts only as a whole."""


class Rule(Protocol):
    """Judges one answer. Never raises, whatever the model said. Rules of others give their verdicts to the letter."""

    name: ClassVar[str]
    description: ClassVar[str]

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        """prediction: what the model said. answers: every accepted one. options: texts of the choices, A first.

        facts: what else the dataset says of the question and the rule depends on, such as its `answer_type`.
        """
        ...


def judged(
    rule: Rule,
    prediction: str,
    answers: Sequence[str],
    options: Sequence[str] = (),
    facts: Mapping[str, str] = NO_FACTS,
    *,
    literal: bool = False,
) -> Score:
    """The score that counts in a run: that of the rule, but an empty or blank answer is wrong and unparsed.

    Some official rules reward silence (POPE takes it for "yes", MMMU guesses a letter), by which a compressor that
    silences the model would gain. literal: score it as the rule does all the same.
    """
    if not literal and not prediction.strip():
        return NOTHING
    return rule.score(prediction, answers, options, facts)
