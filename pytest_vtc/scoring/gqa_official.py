"""GQA's official exact match."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

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
