"""Scoring rules by name; those of others say whose reading of which dataset they are: `vqa_evalai`, `seed_lmms`."""

from __future__ import annotations

import functools

from pytest_vtc.scoring.ai2d import Ai2dLmms
from pytest_vtc.scoring.anls import Anls, AnlsStvqa
from pytest_vtc.scoring.auto import Auto
from pytest_vtc.scoring.base import GROUP_SIZE, NO_FACTS, NOTHING, Rule, Score, ScoringError, judged
from pytest_vtc.scoring.exact import Exact
from pytest_vtc.scoring.gqa import GqaLmms, GqaOfficial, GqaVlmevalkit
from pytest_vtc.scoring.judges import JudgedRule, known_judged_rules
from pytest_vtc.scoring.letters import Letters
from pytest_vtc.scoring.mathvision import Mathvision
from pytest_vtc.scoring.mathvista import MathvistaNormalize
from pytest_vtc.scoring.mcq_lmms import McqExtractLmms, MmstarLmms, RealworldqaLmms
from pytest_vtc.scoring.mcq_vlmevalkit import McqVlmevalkit
from pytest_vtc.scoring.mmbench_lmms import MmbenchLmmsStatic
from pytest_vtc.scoring.mme import MmeYesNoLmms, MmeYesNoOfficial
from pytest_vtc.scoring.mmmu import MmmuLmms, MmmuOfficial
from pytest_vtc.scoring.mmmu_choices import MmmuMcLmms, MmmuMcOfficial
from pytest_vtc.scoring.mmmu_open import MmmuOpenLmms, MmmuOpenOfficial
from pytest_vtc.scoring.mmmu_pro_official import MmmuProOfficial
from pytest_vtc.scoring.ocrbench import OcrbenchLmms, OcrbenchOfficial
from pytest_vtc.scoring.pope import PopeLmms, PopeOfficial
from pytest_vtc.scoring.relaxed_accuracy import RelaxedAccuracy
from pytest_vtc.scoring.scienceqa import ScienceqaLlava, ScienceqaLmms, ScienceqaOfficial
from pytest_vtc.scoring.seed import SeedLlava, SeedLmms
from pytest_vtc.scoring.soft import Soft
from pytest_vtc.scoring.vqa import VqaEvalAI, VqaOfficial, Vqav2Lmms, VqaVlmevalkit
from pytest_vtc.scoring.yorn import YornVlmevalkit

__all__ = [
    "GROUP_SIZE",
    "NOTHING",
    "NO_FACTS",
    "JudgedRule",
    "Rule",
    "Score",
    "ScoringError",
    "any_rule",
    "judged",
    "known_judged_rules",
    "known_rules",
    "rule",
]


def known_rules() -> dict[str, Rule]:
    """Every rule by name, but for those of judges. ("none", which is not among them, says that nothing is scored.)"""
    every: list[Rule] = [
        *(Exact(), Letters(), Soft(), Auto()),
        *(MmmuProOfficial(), MmmuOfficial(), MmmuMcOfficial(), MmmuOpenOfficial()),
        *(MmmuLmms(), MmmuMcLmms(), MmmuOpenLmms()),
        *(McqVlmevalkit(), McqExtractLmms(), MmbenchLmmsStatic(), MmstarLmms(), RealworldqaLmms()),
        *(ScienceqaOfficial(), ScienceqaLlava(), ScienceqaLmms()),
        *(SeedLlava(), SeedLmms(), Ai2dLmms()),
        *(GqaOfficial(), GqaLmms(), GqaVlmevalkit()),
        *(VqaOfficial(), VqaEvalAI(), Vqav2Lmms(), VqaVlmevalkit()),
        *(Anls(), AnlsStvqa(), RelaxedAccuracy()),
        *(MmeYesNoOfficial(), MmeYesNoLmms(), PopeOfficial(), PopeLmms(), YornVlmevalkit()),
        *(OcrbenchOfficial(), OcrbenchLmms(), MathvistaNormalize(), Mathvision()),
    ]
    return {each.name: each for each in every}


@functools.cache
def any_rule(name: str, besides: tuple[str, ...] = ("none",)) -> Rule | JudgedRule:
    """The rule called `name`, be it a judge's. Raises ScoringError, naming the nearest ones, if there is none.

    besides: what else could have been meant where the name was given.
    """
    rules: dict[str, Rule | JudgedRule] = {**known_rules(), **known_judged_rules()}
    if name not in rules:
        from pytest_vtc.datasets.base import nearest

        raise ScoringError(f"unknown scoring rule {name!r}: {nearest(name, [*rules, *besides])}")
    return rules[name]


def rule(name: str) -> Rule:
    """The rule called `name`, which scores by itself. Raises ScoringError if there is none, or if it needs a judge."""
    found = any_rule(name, ())
    if isinstance(found, JudgedRule):
        raise ScoringError(f"the scoring rule {name!r} needs a judge, which only runs have: pytest --vtc-judge ...")
    return found
