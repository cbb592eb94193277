"""Exact match as GQA's own script, lmms-eval and VLMEvalKit do it."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score


class GqaOfficial:
    """Right if the prediction, without full stops at the end and in lower case, is the answer, character by character.

    As LLaVA's `convert_gqa_for_eval.py` prepares a submission and GQA's `eval.py` compares it. Nothing else is
    forgiven: "the cat", "**yes**" and "bus," are wrong, and so are blanks around the answer, which whoever decodes the
    model's tokens has to strip.
    """

    name: ClassVar[str] = "gqa_official"
    description: ClassVar[str] = "GQA's official exact match: lower case, full stops at the end removed"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = prediction.rstrip(".").lower()
        return Score(float(parsed in answers), parsed, not parsed.strip())


class GqaLmms:
    """Right if the prediction is the answer, case and ASCII punctuation apart: lmms-eval's `exact_match`.

    "**yes**" and "tshirt" for "t-shirt" are right; a blank that punctuation leaves behind (`" yes"` in quotation
    marks) makes it wrong.
    """

    name: ClassVar[str] = "gqa_lmms"
    description: ClassVar[str] = "lmms-eval's exact match for GQA, ignoring case and punctuation"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = _without_punctuation(prediction.strip())
        return Score(float(parsed in map(_without_punctuation, answers)), parsed, not parsed)


class GqaVlmevalkit:
    """Right if the prediction is the answer, case and blanks at the ends apart."""

    name: ClassVar[str] = "gqa_vlmevalkit"
    description: ClassVar[str] = "VLMEvalKit's exact match for GQA, ignoring case and blanks at the ends"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        parsed = prediction.strip().lower()
        return Score(float(parsed in [answer.strip().lower() for answer in answers]), parsed, not parsed)


_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _without_punctuation(text: str) -> str:
    # numpy, by which the original lowers texts, keeps their length: of "İ" its dot is lost.
    return text.lower()[: len(text)].translate(_NO_PUNCTUATION)
