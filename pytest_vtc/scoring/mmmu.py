"""MMMU's questions of both kinds, each scored by the rule of its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.mmmu_choices import MmmuMcLmms, MmmuMcOfficial
from pytest_vtc.scoring.mmmu_open import MmmuOpenLmms, MmmuOpenOfficial


class MmmuOfficial:
    """`mmmu_mc_official` where a question has options, `mmmu_open_official` where it has none."""

    name: ClassVar[str] = "mmmu_official"
    description: ClassVar[str] = "MMMU's official rules: multiple choice where there are options, else open"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return (MmmuMcOfficial() if options else MmmuOpenOfficial()).score(prediction, answers, options, facts)


class MmmuLmms:
    """`mmmu_mc_lmms` where a question has options, `mmmu_open_lmms` (nothing is right) where it has none."""

    name: ClassVar[str] = "mmmu_lmms"
    description: ClassVar[str] = "lmms-eval's rules for MMMU: multiple choice where there are options, else open"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return (MmmuMcLmms() if options else MmmuOpenLmms()).score(prediction, answers, options, facts)
