"""Compared runs for people and programs: lines for a terminal, comparison.json and flips.jsonl."""

from __future__ import annotations

import importlib.metadata
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytest_vtc.compare import Compared, ComparedRun, CompareError
from pytest_vtc.gates import Outcome
from pytest_vtc.report.columns import Colour, Paint, clipped, painter
from pytest_vtc.report.comparison_json import FLIPS, SCHEMA_VERSION, cell_entry, difference_entries, flip_entry
from pytest_vtc.report.comparison_tables import (
    cell_tables,
    difference_lines,
    flip_lines,
    legend,
    only_lines,
    unchanged_line,
)
from pytest_vtc.report.json_report import write_document, write_lines
from pytest_vtc.run_comparison import CellComparison
from pytest_vtc.run_files import RESULTS, RunFiles

COMPARISON = "comparison.json"
_COLOURS: dict[Outcome, Colour] = {"pass": "green", "fail": "red"}


def render(done: Compared, limit: int, width: int, colour: bool) -> list[str]:
    """Lines for a terminal of `width` columns, at least 80. limit: changed answers shown of each cell."""
    paint = painter(colour)
    lines = [clipped(f"Reference: {_about(done.names[0], done.runs[0])}", width)]
    for run, files in zip(done.compared, done.runs[1:], strict=True):
        lines += [clipped(f"Compared: {_about(run.name, files)}", width), ""]
        lines += _paragraph(difference_lines(run.differences, width, paint))
        lines += cell_tables(run.cells, width, paint)
        lines += _paragraph(only_lines(done.names[0], run.only_reference, width, "the reference"))
        lines += _paragraph(only_lines(run.name, run.only_compared, width, "the run compared with it"))
        lines += _changed(run, limit, width, paint)
        lines += _verdicts(done, run, width, paint)
    return [line.rstrip() for line in [*lines, *legend(done.n_tests, width)]]


def _about(name: str, run: RunFiles) -> str:
    manifest = run.manifest
    about = [manifest["run"]["started"], f"pytest-vtc {manifest['pytest_vtc']}"]
    if manifest["git"] is not None:
        about.append(f"commit {manifest['git']['commit'][:10]}{', changed' if manifest['git']['dirty'] else ''}")
    if run.document["interrupted"]:
        about.append("interrupted")
    if (shard := manifest["run"]["shard"]) is not None:
        about.append(f"shard {shard}")
    return f"{name} ({', '.join(about)})"


def _changed(run: ComparedRun, limit: int, width: int, paint: Paint) -> list[str]:
    changed = [cell for cell in run.cells if cell.flips]
    if not changed:
        return [unchanged_line(run.cells), ""]
    if not limit:
        return []
    lines = [paint("Answers that changed, before -> after", "bold")]
    for cell in changed:
        lines += flip_lines(cell.flips, limit, width)
    return [*lines, ""]


def _verdicts(done: Compared, run: ComparedRun, width: int, paint: Paint) -> list[str]:
    lines: list[str] = []
    for cell in run.cells:
        if (verdict := done.verdict(run, cell)) is not None:
            word = verdict.outcome.upper()
            first, *rest = textwrap.wrap(
                f"{word}  {cell.after.id}: {verdict.reason}", width, subsequent_indent="      "
            )
            lines += [paint(word, _COLOURS.get(verdict.outcome, "yellow")) + first[len(word) :], *rest]
    return _paragraph(lines)


def _paragraph(lines: Sequence[str]) -> list[str]:
    return [*lines, ""] if lines else []


def write(done: Compared, output: Path) -> tuple[Path, Path]:
    """Write the comparison and the changed answers, and return their paths.

    output: a folder, for comparison.json and flips.jsonl; or a *.json, beside which lies the same with .flips.jsonl.
    Raises CompareError or ReportError.
    """
    if output.suffix == ".json":
        path, flips = output, output.with_suffix(".flips.jsonl")
    else:
        path, flips = output / COMPARISON, output / FLIPS
    if path.name == RESULTS or (flips.name == FLIPS and (path.parent / RESULTS).exists()):
        raise CompareError(f"{path.parent} is the folder of a run, which has files of these names; choose another")
    write_document(path, to_document(done))
    write_lines(flips, _flip_entries(done))
    return path, flips


def to_document(done: Compared) -> dict[str, Any]:
    """The content of comparison.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "pytest_vtc": importlib.metadata.version("pytest-vtc"),
        "max_regression": done.limit,
        "n_tests": done.n_tests,
        "runs": [_run_entry(name, run) for name, run in zip(done.names, done.runs, strict=True)],
        "comparisons": [
            {
                "reference": done.names[0],
                "compared": run.name,
                "differences": difference_entries(run.differences),
                "cells": [{**cell_entry(cell), "verdict": _verdict_entry(done, run, cell)} for cell in run.cells],
                "only_reference": [cell.id for cell in run.only_reference],
                "only_compared": [cell.id for cell in run.only_compared],
            }
            for run in done.compared
        ],
    }


def _run_entry(name: str, run: RunFiles) -> dict[str, Any]:
    manifest = run.manifest
    return {
        "name": name,
        "pytest_vtc": manifest["pytest_vtc"],
        "started": manifest["run"]["started"],
        "git": manifest["git"],
        "interrupted": run.document["interrupted"],
        "shard": manifest["run"]["shard"],
    }


def _verdict_entry(done: Compared, run: ComparedRun, cell: CellComparison) -> dict[str, Any] | None:
    verdict = done.verdict(run, cell)
    return (
        None
        if verdict is None
        else {"outcome": verdict.outcome, "reason": verdict.reason, "n_needed": verdict.n_needed}
    )


def _flip_entries(done: Compared) -> Iterator[dict[str, Any]]:
    for run in done.compared:
        for cell in run.cells:
            for flip in cell.flips:
                yield {"reference": done.names[0], "compared": run.name, **flip_entry(flip)}
