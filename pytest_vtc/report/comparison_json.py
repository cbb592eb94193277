"""Run against run as plain data: comparison.json, flips.jsonl, and what results.json says of a baseline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from pytest_vtc.baseline import BaselineComparison
from pytest_vtc.report.json_report import comparison, interval_of, write_lines
from pytest_vtc.run_comparison import CellComparison, Flip, Kind
from pytest_vtc.run_differences import Difference

SCHEMA = Path(__file__).with_name("comparison.schema.json")
SCHEMA_VERSION = 1
FLIPS = "flips.jsonl"


def baseline_entry(compared: BaselineComparison) -> dict[str, Any]:
    """`baseline` of results.json. No path: where the files lay is nobody's business."""
    baseline = compared.baseline
    return {
        "name": baseline.name,
        "pytest_vtc": baseline.manifest["pytest_vtc"],
        "git": baseline.manifest["git"],
        "max_regression": baseline.limit,
        "n_tests": compared.n_tests,
        "differences": difference_entries(compared.differences),
        "cells": [cell_entry(cell) for cell in compared.cells],
        "only_reference": [cell.id for cell in baseline.gone],
        "only_compared": [cell.id for cell in baseline.new],
    }


def cell_entry(cell: CellComparison) -> dict[str, Any]:
    """A cell in both runs."""
    kinds = Counter(flip.kind for flip in cell.flips)
    return {
        "cell": cell.after.id,
        "reference_cell": cell.before.id,
        "n": cell.n,
        "n_only_reference": cell.only_before,
        "n_only_compared": cell.only_after,
        "accuracy_reference": interval_of(cell.accuracy_before),
        "accuracy": interval_of(cell.accuracy_after),
        "versus": None if cell.versus is None else comparison(cell.versus),
        "p_holm": cell.p_holm,
        "flips": {kind: kinds[kind] for kind in get_args(Kind)},
    }


def difference_entries(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """What differs in the settings of two runs."""
    return [{"what": d.what, "reference": d.before, "compared": d.after, "forbids": d.forbids} for d in differences]


def write_flips(folder: Path, flips: Iterable[Flip]) -> tuple[Path, ...]:
    """Write flips.jsonl of a run and return its path. Without flips there is none, nor is an earlier one left.

    Raises ReportError.
    """
    path, entries = folder / FLIPS, [flip_entry(flip) for flip in flips]
    if entries:
        write_lines(path, entries)
        return (path,)
    path.unlink(missing_ok=True)
    return ()


def flip_entry(flip: Flip) -> dict[str, Any]:
    """One line of flips.jsonl: a sample whose answer changed."""
    before, after = flip.before, flip.after
    return {
        "cell": after.cell.id,
        "reference_cell": before.cell.id,
        "sample": after.sample,
        "kind": flip.kind,
        "expected": list(after.expected),
        "reference_answer": before.answer,
        "answer": after.answer,
        "reference_parsed": before.parsed,
        "parsed": after.parsed,
        "reference_score": before.score,
        "score": after.score,
    }
