"""POPE's yes or no, as read by the authors' script and by lmms-eval."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score

_DENIALS = frozenset({"No", "not", "no"})
_YES = re.compile(r"\byes\b", re.IGNORECASE)


class PopeOfficial:
    """ "no" if a word of the first sentence is "No", "no" or "not", else "yes", whatever is said, as in `evaluate.py`.

    Words are what stands between blanks, commas apart: "NO", "Nope", "cannot", "no-" and "No\\n\\nBecause" are "yes". A
    sentence that says neither a denial nor "yes" is unparsed.
    """

    name: ClassVar[str] = "pope_official"
    description: ClassVar[str] = "POPE's official reading: no if the first sentence denies, else yes"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        sentence = prediction.partition(".")[0].replace(",", "")
        parsed = "yes" if _DENIALS.isdisjoint(sentence.split(" ")) else "no"
        unparsed = parsed == "yes" and _YES.search(sentence) is None
        return Score(float(parsed in _lower(answers)), parsed, unparsed)


class PopeLmms:
    """Right if the answer is all that is said, case and blanks at the ends apart: "No." is wrong, and unparsed."""

    name: ClassVar[str] = "pope_lmms"
    description: ClassVar[str] = "lmms-eval's reading for POPE: nothing but yes or no"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = prediction.lower().strip()
        parsed = said if said in ("yes", "no") else None
        return Score(float(said in _lower(answers)), parsed, parsed is None)


def _lower(answers: Sequence[str]) -> list[str]:
    return [answer.lower().strip() for answer in answers]
