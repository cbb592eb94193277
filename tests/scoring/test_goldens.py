"""The official rules give the verdicts of the original authors' code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.scoring import NOTHING, rule
from pytest_vtc.scoring.mmmu_pro import official_value, parse

GOLDENS = Path(__file__).parents[1] / "goldens" / "scoring"


def goldens(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDENS / f"{name}.jsonl").read_text().splitlines()]


def test_mmmu_pro_reads_the_letter_that_the_original_reads() -> None:
    rows = goldens("mmmu_pro_official")
    assert len(rows) == 264
    wrong = [row["prediction"] for row in rows if parse(row["prediction"], row["options"]) != row["parsed"]]
    assert wrong == []


def test_mmmu_pro_gives_the_originals_expectation() -> None:
    rows = goldens("mmmu_pro_official")
    values = [official_value(row["prediction"], row["target"], row["options"]) for row in rows]
    assert values == pytest.approx([row["expected"] for row in rows], abs=1e-6)


def test_mmmu_pro_departs_from_the_original_only_where_the_answer_is_empty() -> None:
    for row in goldens("mmmu_pro_official"):
        score = rule("mmmu_pro").score(row["prediction"], [row["target"]], row["options"])
        if row["prediction"].strip():
            assert (score.value, score.unparsed) == (pytest.approx(row["expected"]), row["random_fallback"])
        else:
            assert score == NOTHING


def test_gqa_gives_the_originals_verdicts() -> None:
    rows = goldens("gqa_official")
    assert len(rows) == 151
    verdicts = [rule("gqa").score(row["prediction"], [row["target"]], ()).value for row in rows]
    assert verdicts == [row["score"] for row in rows]
