"""MMMU-Pro's official reading of multiple-choice answers, `parse_multi_choice_response` of its evaluate.py."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score

_CUE = "Answer:"
_WORDS_TO_SEARCH_FOR_OPTION_TEXTS = 5


class MmmuProOfficial:
    """Right if the letter read is the answer; where the official rule would guess at random, the chance of a hit.

    A random guess would add noise to every difference between stock and compressed, so its expectation, 1 / number of
    options, is scored and the answer marked unparsed.
    """

    name: ClassVar[str] = "mmmu_pro_official"
    description: ClassVar[str] = "MMMU-Pro's official parser; unreadable answers score the chance of a guess"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = parse(prediction, options)
        if parsed is None:
            return Score(chance(answers, options), None, True)
        return Score(float(parsed in answers), parsed, False)


def chance(answers: Sequence[str], options: Sequence[str]) -> float:
    """How often a letter drawn at random from those of the options is an accepted one."""
    letters = _letters(options)
    return sum(letter in answers for letter in letters) / len(letters) if letters else 0.0


def parse(response: str, options: Sequence[str]) -> str | None:
    """The letter that the official rule reads, or None where it would guess.

    Its steps, each taken only if those before it found nothing:
    after the last "Answer:", if exactly one of the letters occurs there at all; "(B)"; "B "; "B."; and in a response of
    more than five words the text of an option. Of several candidates it takes the one that stands last.
    """
    letters = _letters(options)
    _, cue, tail = response.rpartition(_CUE)
    if cue and len(named := [letter for letter in letters if letter in tail]) == 1:
        return named[0]

    for mark in ",.!?;:'":
        response = response.strip(mark)
    response = f" {response} "
    if found := [letter for letter in letters if f"({letter})" in response]:
        return max(found, key=lambda letter: response.rfind(f"({letter})"))
    for after in (" ", "."):
        if found := [letter for letter in letters if letter + after in response]:
            # Looked for with blanks on both sides even so: of letters that never stand alone, the first one wins.
            return max(found, key=lambda letter: response.rfind(f" {letter} "))
    if len(response.split()) > _WORDS_TO_SEARCH_FOR_OPTION_TEXTS:
        lower = response.lower()
        texts = {letter: option.lower() for letter, option in zip(letters, options, strict=False)}
        if found := [letter for letter in letters if texts[letter] in lower]:
            return max(found, key=lambda letter: lower.rfind(texts[letter]))
    return None


def _letters(options: Sequence[str]) -> str:
    return string.ascii_uppercase[: len(options)]
