"""MMMU's official reading of multiple-choice answers, and lmms-eval's: `parse_multi_choice_response` of either."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.option_letters import guessed, letters_of

_WORDS_TO_SEARCH_FOR_OPTION_TEXTS = 5


class MmmuMcOfficial:
    """Right if the letter read is the answer; where the official rule would guess at random, the chance of a hit.

    As `parse_multi_choice_response` and `eval_multi_choice` of MMMU's mmmu/utils/eval_utils.py.
    """

    name: ClassVar[str] = "mmmu_mc_official"
    description: ClassVar[str] = (
        "MMMU's official multiple-choice parser; unreadable answers score the chance of a guess"
    )

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return _judged(read_choice(prediction, options, [" {} "]), answers, options)


class MmmuMcLmms:
    """As lmms-eval reads them for MMMU and MMMU-Pro: a blank, or then a full stop, after the letter is enough.

    As `parse_mmmu_multi_choice_response` of lmms-eval's tasks/_task_utils/mmmu_mcq_utils.py.
    """

    name: ClassVar[str] = "mmmu_mc_lmms"
    description: ClassVar[str] = "lmms-eval's parser for MMMU; unreadable answers score the chance of a guess"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return _judged(read_choice(prediction, options, RIGHT_BOUNDED), answers, options)


RIGHT_BOUNDED = ("{} ", "{}.")
"""How a letter may stand for lmms-eval and for MMMU-Pro: any word may end with it, as "DNA" does with A."""


def read_choice(response: str, options: Sequence[str], forms: Sequence[str]) -> str | None:
    """The letter that the rules of MMMU's family read, or None where they would guess.

    forms: how a letter may stand, with {} in its place; the first one by which any letter stands counts.

    Their steps, each taken only if those before it found nothing: "(B)"; `forms`; and in a response of more than five
    words the text of an option. Of several candidates the one that stands last is taken.
    """
    letters = letters_of(options)
    for mark in ",.!?;:'":
        response = response.strip(mark)
    response = f" {response} "
    if found := [letter for letter in letters if f"({letter})" in response]:
        return max(found, key=lambda letter: response.rfind(f"({letter})"))
    for form in forms:
        if found := [letter for letter in letters if form.format(letter) in response]:
            # Looked for with blanks on both sides even so: of letters that never stand alone, the first one wins.
            return max(found, key=lambda letter: response.rfind(f" {letter} "))
    if len(response.split()) > _WORDS_TO_SEARCH_FOR_OPTION_TEXTS:
        lower = response.lower()
        texts = {letter: option.lower() for letter, option in zip(letters, options, strict=False)}
        if found := [letter for letter in letters if texts[letter] in lower]:
            return max(found, key=lambda letter: lower.rfind(texts[letter]))
    return None


def _judged(parsed: str | None, answers: Sequence[str], options: Sequence[str]) -> Score:
    return guessed(answers, options) if parsed is None else Score(float(parsed in answers), parsed, False)
