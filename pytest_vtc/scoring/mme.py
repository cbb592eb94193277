"""MME's yes or no, as read by the authors' tool and by lmms-eval."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score

_OTHER = "other"
"""What both call an answer that begins with neither."""

_BEGINNING = 4
"""How many characters of an answer are looked at."""


class MmeYesNoOfficial:
    """ "yes" if the first four characters contain it, else "no" if they contain that, else "other", which is wrong.

    Letters of other words count: "know" and "note" are "no", "eyes" is "yes". "The answer is yes" is "other".
    """

    name: ClassVar[str] = "mme_yesno_official"
    description: ClassVar[str] = "MME's official reading: yes or no within the first four characters"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return _score(_beginning(prediction.lower()), [answer.lower() for answer in answers])


class MmeYesNoLmms:
    """The same, but full stops and blanks at the ends do not count, and "y" and "n" alone are read."""

    name: ClassVar[str] = "mme_yesno_lmms"
    description: ClassVar[str] = "lmms-eval's reading for MME: yes, no, y, n, or the first four characters"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = _plain(prediction)
        if len(said) == 1:
            said = {"y": "yes", "n": "no"}.get(said, "")
        return _score(_beginning(said), [_plain(answer) for answer in answers])


def _plain(text: str) -> str:
    return text.lower().strip().replace(".", "")


def _beginning(text: str) -> str:
    beginning = text[:_BEGINNING]
    return next((word for word in ("yes", "no") if word in beginning), _OTHER)


def _score(parsed: str, answers: Sequence[str]) -> Score:
    return Score(float(parsed in answers), parsed, parsed == _OTHER)
