"""SEED-Bench's multiple choice as LLaVA and lmms-eval score what is said (its authors rank likelihoods instead)."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.option_letters import verdict


class SeedLlava:
    """Right if the prediction is the letter and nothing else, as in LLaVA's scripts/convert_seed_for_submission.py."""

    name: ClassVar[str] = "seed_llava"
    description: ClassVar[str] = "LLaVA's rule for SEED-Bench: the letter and nothing else"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return verdict(right=prediction in answers, read=prediction, options=options)


class SeedLmms:
    """Right if the first character, of either case, is the letter: "Dog" is read as D, "Answer: B" as A.

    As `seed_process_result` and `seed_aggregation_result` of lmms-eval's tasks/seedbench/utils.py, and those of
    tasks/seedbench_2_plus.
    """

    name: ClassVar[str] = "seed_lmms"
    description: ClassVar[str] = "lmms-eval's rule for SEED-Bench and SEED-Bench-2-Plus: the first character"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        first = prediction.strip()[:1]
        right = first.lower() in [answer.lower().strip() for answer in answers]
        return verdict(right=right, read=first.upper(), options=options)
