"""MMMU-Pro's official reading of multiple-choice answers, `parse_multi_choice_response` of its evaluate.py."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.mmmu_choices import RIGHT_BOUNDED, read_choice
from pytest_vtc.scoring.option_letters import guessed, letters_of

_CUE = "Answer:"


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
        return guessed(answers, options) if parsed is None else Score(float(parsed in answers), parsed, False)


def parse(response: str, options: Sequence[str]) -> str | None:
    """The letter that the official rule reads, or None where it would guess.

    After the last "Answer:" it is read if exactly one of the letters occurs there at all, within words or not.
    Otherwise the whole response is read by the steps of `read_choice`: "(B)"; "B "; "B."; the text of an option.
    """
    _, cue, tail = response.rpartition(_CUE)
    if cue and len(named := [letter for letter in letters_of(options) if letter in tail]) == 1:
        return named[0]
    return read_choice(response, options, RIGHT_BOUNDED)
