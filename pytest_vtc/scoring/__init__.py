"""Scoring rules by name."""

from __future__ import annotations

import functools

from pytest_vtc.scoring.auto import Auto
from pytest_vtc.scoring.base import NOTHING, Rule, Score, ScoringError
from pytest_vtc.scoring.exact import Exact
from pytest_vtc.scoring.gqa import Gqa
from pytest_vtc.scoring.letters import Letters
from pytest_vtc.scoring.mmmu_pro import MmmuPro
from pytest_vtc.scoring.soft import Soft

__all__ = ["NOTHING", "Rule", "Score", "ScoringError", "known_rules", "rule"]


def known_rules() -> dict[str, Rule]:
    """Every rule by name. ("none" is not among them: it says that a dataset has no answers to score by.)"""
    every: list[Rule] = [Exact(), Letters(), Soft(), Auto(), MmmuPro(), Gqa()]
    return {each.name: each for each in every}


@functools.cache
def rule(name: str) -> Rule:
    """The rule called `name`. Raises ScoringError, naming the nearest ones, if there is none."""
    rules = known_rules()
    if name not in rules:
        from pytest_vtc.datasets.base import nearest

        raise ScoringError(f"unknown scoring rule {name!r}: {nearest(name, [*rules, 'none'])}")
    return rules[name]
