"""docs/scoring.md: every rule and every published metric has its row."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_vtc.scoring import known_judged_rules, known_rules
from pytest_vtc.scoring.published import known_metrics

PAGE = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text(encoding="utf-8")
DESCRIBED = {
    name for cell in re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
}


@pytest.mark.parametrize("name", [*known_rules(), *known_judged_rules(), *known_metrics()])
def test_every_rule_and_metric_is_described(name: str) -> None:
    assert name in DESCRIBED, "write a row in docs/scoring.md"
