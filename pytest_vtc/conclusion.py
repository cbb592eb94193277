"""The end of a run: from measurements to verdicts, files and the lines of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_vtc.cells import CaseError, Cell, Measurement
from pytest_vtc.gates import Verdict, evaluate, parse_gate
from pytest_vtc.report import json_report, terminal
from pytest_vtc.results import Results, summarize


@dataclass(frozen=True)
class Conclusion:
    lines: list[str]
    verdicts: list[Verdict]


def conclude(
    facts: dict[str, Any],
    measurements: Sequence[Measurement],
    errors: Sequence[CaseError],
    interrupted: bool,
    width: int,
    colour: bool,
) -> Conclusion:
    """Judge the gates, write results.json and samples.jsonl, and render the tables.

    facts: what `Bench.facts` gives. measurements: in run order. width, colour: of the terminal.
    """
    measured = {(m.cell, m.sample) for m in measurements}
    results = Results(
        manifest=facts["manifest"],
        cells=tuple(Cell(**cell) for cell in facts["cells"]),
        expected=facts["expected"],
        measurements=measurements,
        # A test that measured its case and then failed by its own assertion has still measured it.
        errors=[error for error in errors if (error.cell, error.sample) not in measured],
        gates=tuple(facts["gates"]),
        interrupted=interrupted,
    )
    summaries = summarize(results)
    verdicts = evaluate([parse_gate(text) for text in results.gates], summaries, complete=not interrupted)
    files = json_report.write(results, summaries, verdicts, Path(facts["output"]))
    return Conclusion(terminal.render(results, summaries, verdicts, files, width, colour), verdicts)
