"""VLMEvalKit's reading of multiple-choice answers without a judge, `can_infer`."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.option_letters import letters_of

_NONE = "Z"
"""What VLMEvalKit calls no choice: a refusal, or nothing that exact matching can read."""


class McqVlmevalkit:
    """Right if the letter read is the answer; where nothing can be read the original asks a judge, or says wrong.

    As `extract_answer_from_item` of VLMEvalKit's dataset/utils/multiple_choice.py with no judge ("exact_matching").
    Read in this order: the only option's letter among the words, punctuation apart, if it first stands among the last
    four; "answer is B", of A to D; the only option whose text occurs, in an answer no longer than twice all options.
    """

    name: ClassVar[str] = "mcq_vlmevalkit"
    description: ClassVar[str] = (
        "VLMEvalKit's multiple choice without a judge: a lone letter near the end, or a lone option text"
    )

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = _letter(prediction, options) or _sole_text(prediction, options) or _NONE
        return Score(float(parsed in answers), parsed, parsed == _NONE)


_FAILED_REQUEST = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_TO_BLANKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_LAST_WORDS = 4
_STATED = re.compile(r"answer\s+is\s+\**([ABCD])", re.IGNORECASE)


def _letter(response: str, options: Sequence[str]) -> str:
    if _FAILED_REQUEST in response:
        return ""
    if any(refusal in response for refusal in _REFUSALS):
        return _NONE
    letters, words = letters_of(options), response.translate(_TO_BLANKS).split()
    said = frozenset(words)
    found = [letter for letter in letters if letter in said]
    if len(found) == 1 and words.index(found[0]) >= len(words) - _LAST_WORDS:
        return found[0]
    if not found and _NONE in said:
        return _NONE
    stated = _STATED.search(response)
    return stated[1].upper() if stated and stated[1].upper() in letters else ""


def _sole_text(response: str, options: Sequence[str]) -> str:
    response = response.lower()
    if len(response) > 2 * sum(map(len, options)):
        return ""
    named = [x for x, option in zip(letters_of(options), options, strict=False) if option.lower() in response]
    return named[0] if len(named) == 1 else ""
