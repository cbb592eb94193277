"""A judge's replies are read as the original authors' code reads them, on every golden of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.scoring import known_judged_rules
from pytest_vtc.scoring.base import Score
from pytest_vtc.scoring.judges import Asked
from tests.scoring.goldens import HERE, files, rows_of

READ_BY = {
    "mmvet_judge_parse_official": "mm_vet",
    "mmvet_judge_parse_vlmevalkit": "mm_vet_vlmevalkit",
    "llavabench_judge_parse": "llava_bench",
    "llavabench_judge_parse_lmms": "llava_bench_lmms",
}


def agrees(row: dict[str, Any], score: Score) -> bool:
    if (pair := row.get("parsed")) is not None:
        # Written with six digits; "nan" is no number and equals itself here.
        return [f"{float(grade):g}" for grade in pair] == (score.parsed or "").split()
    if row["score"] is None:
        return score.unparsed
    return abs(score.value - row["score"]) <= 1e-6 and (not row.get("retry") or score.unparsed)


@pytest.mark.parametrize("file", files(READ_BY))
def test_replies_are_read_as_the_originals_do(file: Path) -> None:
    rule = known_judged_rules()[READ_BY[file.stem]]
    asked = Asked("said", "asked", ["expected"])
    read = [(row, rule.verdict(row["prediction"], asked)) for row in rows_of(file)]
    assert [(row, score) for row, score in read if not agrees(row, score)] == []


def test_each_kind_of_reply_has_goldens() -> None:
    assert {file.stem for file in HERE.glob("*judge_parse*.jsonl")} == READ_BY.keys()
