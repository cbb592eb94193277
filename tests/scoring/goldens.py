"""Reads golden verdicts: ours, and those of the folder `VTC_SCORING_GOLDENS=DIR`, if there is one, of the same form."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.scoring import rule
from pytest_vtc.scoring.published import Answered

HERE = Path(__file__).parents[1] / "goldens" / "scoring"


def name_of(file: Path) -> str:
    """What a golden file is of: a rule, a normalisation or a published metric."""
    return file.stem.removesuffix("_real")


def files(names: Collection[str]) -> list[Any]:
    """Parameters for `pytest.mark.parametrize`: every golden file of one of these names, sub-folders included."""
    folders = [HERE, *map(Path, filter(None, [os.environ.get("VTC_SCORING_GOLDENS")]))]
    found = sorted(file for folder in folders for file in folder.rglob("*.jsonl") if name_of(file) in names)
    return [pytest.param(file, id=f"{file.parent.name}/{file.stem}") for file in found]


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def answered(
    rule_name: str,
    predictions: Sequence[str],
    targets: Sequence[str],
    *,
    categories: Sequence[str] = (),
    groups: Sequence[str] = (),
    facts: Sequence[Mapping[str, str]] = (),
) -> list[Answered]:
    """What a published metric gets of predictions that a rule has judged, to the letter."""
    rows: list[Answered] = []
    for i, (prediction, target) in enumerate(zip(predictions, targets, strict=True)):
        score = rule(rule_name).score(prediction, [target], ())
        rows.append(
            Answered(
                sample=str(i),
                score=score.value,
                parsed=score.parsed,
                expected=(target,),
                category=categories[i] if categories else "",
                group=groups[i] if groups else "",
                facts=facts[i] if facts else {},
            )
        )
    return rows
