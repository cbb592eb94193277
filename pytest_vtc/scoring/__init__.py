"""Scoring rules by name; those of others say whose reading of which dataset they are: `vqa_evalai`, `seed_lmms`."""

from __future__ import annotations

import functools

from pytest_vtc.scoring.auto import Auto
from pytest_vtc.scoring.base import NO_FACTS, NOTHING, Rule, Score, ScoringError, judged
from pytest_vtc.scoring.exact import Exact
from pytest_vtc.scoring.gqa_official import GqaOfficial
from pytest_vtc.scoring.letters import Letters
from pytest_vtc.scoring.mmmu_pro_official import MmmuProOfficial
from pytest_vtc.scoring.soft import Soft

__all__ = ["NOTHING", "NO_FACTS", "Rule", "Score", "ScoringError", "judged", "known_rules", "rule"]


def known_rules() -> dict[str, Rule]:
    """Every rule by name. ("none" is not among them: it says that a dataset has no answers to score by.)"""
    every: list[Rule] = [Exact(), Letters(), Soft(), Auto(), MmmuProOfficial(), GqaOfficial()]
    return {each.name: each for each in every}


@functools.cache
def rule(name: str) -> Rule:
    """The rule called `name`. Raises ScoringError, naming the nearest ones, if there is none."""
    rules = known_rules()
    if name not in rules:
        from pytest_vtc.datasets.base import nearest

        raise ScoringError(f"unknown scoring rule {name!r}: {nearest(name, [*rules, 'none'])}")
    return rules[name]
