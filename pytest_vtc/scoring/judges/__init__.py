"""Judged rules by name: those whose scores are a language model's."""

from __future__ import annotations

from pytest_vtc.scoring.judges.base import PREDICTION, Asked, JudgedRule
from pytest_vtc.scoring.judges.llava_bench import LlavaBench, LlavaBenchLmms
from pytest_vtc.scoring.judges.mia_bench import MiaBench, MiaBenchLmms
from pytest_vtc.scoring.judges.mm_vet import MmVet, MmVetLmms, MmVetVlmevalkit
from pytest_vtc.scoring.judges.prompt import Message, Prompt

__all__ = ["PREDICTION", "Asked", "JudgedRule", "Message", "Prompt", "known_judged_rules"]


def known_judged_rules() -> dict[str, JudgedRule]:
    """Every judged rule by name."""
    every: list[JudgedRule] = [
        *(MmVet(), MmVetLmms(), MmVetVlmevalkit()),
        *(LlavaBench(), LlavaBenchLmms()),
        *(MiaBench(), MiaBenchLmms()),
    ]
    return {each.name: each for each in every}
