"""lmms-eval's reading of MMBench answers without a judge, `eval_sub_data` with static_only."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.mcq_lmms import FOUR, extracted


class MmbenchLmmsStatic:
    """Right if the letter read is the answer.

    As `MMBench_Evaluator.eval_sub_data` of lmms-eval's tasks/mmbench/mmbench_evals.py for one row of a group; that of a
    whole group is right if all of its rows are. Read in this order: the only letter, of A to E whatever the options,
    that stands as a word; with the punctuation of one kind; the only option whose text occurs; what `mcq_extract_lmms`
    finds among the letters of the first four options.
    """

    name: ClassVar[str] = "mmbench_lmms_static"
    description: ClassVar[str] = (
        "lmms-eval's rule for MMBench without a judge: a lone letter or option text, else its parser"
    )

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        choices = dict(zip(FOUR, options, strict=False))
        parsed = _sole_letter(prediction) or _sole_text(prediction, choices)
        parsed = parsed or extracted(prediction, "".join(choices))
        return Score(float(bool(parsed) and parsed in answers), parsed or None, not parsed)


_LETTERS = "ABCDE"
_WRAPPINGS = (
    "{}.", "{},", "{}:", "{})", "{}).", "({})", "({}).", ":{}", ":{},", ":{}.", ":{})", ":{}).",
)  # fmt: skip
_MOST_WORDS_BESIDE_AN_ARTICLE = 3


def _sole_letter(response: str) -> str:
    """The only letter that is a word of the response, or is with one of the wrappings; the first of these counts."""
    if "Failed to obtain answer via API" in response:
        return ""
    words = response.split()
    said = frozenset(words)
    bare = [letter for letter in _LETTERS if letter in said]
    if len(bare) == 1 and not (bare == ["A"] and len(words) > _MOST_WORDS_BESIDE_AN_ARTICLE):
        return bare[0]
    for wrapping in _WRAPPINGS:
        wrapped = [letter for letter in _LETTERS if wrapping.format(letter) in said]
        if len(wrapped) == 1:
            return wrapped[0]
    return ""


def _sole_text(response: str, choices: Mapping[str, str]) -> str:
    """The letter of the only option whose text is part of the response, in lower case both."""
    response = response.lower()
    named = [letter for letter, text in choices.items() if text.lower() in response]
    return named[0] if len(named) == 1 else ""
