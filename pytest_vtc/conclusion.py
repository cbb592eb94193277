"""The end of a run: from measurements to verdicts, files and the lines of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pytest_vtc.analysis import analyse
from pytest_vtc.baseline import Baseline, compare_with_baseline
from pytest_vtc.cells import CaseError, Cell, Measurement, SkippedCell
from pytest_vtc.gates import InconclusiveAs, Verdict, parse_gate, reported
from pytest_vtc.judge.unread import unread_replies
from pytest_vtc.judging import evaluate
from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.report import comparison_json, comparison_tables, json_report, step_summary, terminal
from pytest_vtc.report.columns import painter
from pytest_vtc.results import Results
from pytest_vtc.sequential_results import SequentialRun, cut, describe, samples_to_judge, tell
from pytest_vtc.sequential_trials import AllJudged


@dataclass(frozen=True)
class Conclusion:
    """written: False if the files could not be written; the lines say why. inconclusive: how such verdicts count."""

    lines: list[str]
    verdicts: list[Verdict]
    written: bool
    inconclusive: InconclusiveAs

    @property
    def gate_failed(self) -> bool:
        """Whether a verdict counts as a failed test."""
        return any(reported(verdict.outcome, self.inconclusive) == "failed" for verdict in self.verdicts)


def conclude(
    facts: dict[str, Any],
    measurements: Sequence[Measurement],
    errors: Sequence[CaseError],
    interrupted: bool,
    width: int,
    colour: bool,
    baseline: Baseline | None = None,
    sequential: SequentialRun | None = None,
) -> Conclusion:
    """Judge the gates, write results.json and samples.jsonl, and render the tables.

    facts: what `Bench.facts` gives. measurements: in run order. width, colour: of the terminal. baseline: an earlier
    run, to compare this one with. sequential: of a run that was judged while it went on.
    """
    measured = {(m.cell, m.sample) for m in measurements} if errors else set[tuple[Cell, str]]()
    cells = tuple(Cell(**cell) for cell in facts["cells"])
    every = Results(
        manifest=_with_unread(facts["manifest"], measurements),
        cells=cells,
        expected={cell.id: facts["expected"].get(cell.id, 0) for cell in cells},
        measurements=measurements,
        # A test that measured its case and then failed by its own assertion has still measured it.
        errors=[error for error in errors if (error.cell, error.sample) not in measured],
        gates=tuple(facts["gates"]),
        gate_inconclusive=facts["gate_inconclusive"],
        skipped=tuple(map(SkippedCell.from_dict, facts["skipped"])),
        interrupted=interrupted,
    )
    selected, whole = sum(every.expected.values()), sum(facts["samples"].values())
    judged = AllJudged()
    if sequential is not None:
        every, judged = cut(every, sequential.trials), sequential.trials.judged
    analysis = analyse(every, judged)
    gates = [parse_gate(text) for text in every.gates]
    shard = facts["shard"]
    samples = samples_to_judge(facts["samples"], judged)
    verdicts = [tell(verdict, judged) for verdict in evaluate(gates, every, analysis, samples, shard)]
    # A cell of which nothing was selected has a verdict, if a gate is on it, and no row.
    results = replace(every, cells=tuple(cell for cell in cells if every.expected[cell.id]))
    analysis = replace(analysis, cells=[summary for summary in analysis.cells if summary.n_expected])
    compared = None if baseline is None else compare_with_baseline(baseline, results, facts["samples"], shard)
    if compared is not None:
        verdicts += compared.verdicts
    problem = ""
    files: tuple[Path, ...] = ()
    entry = None if compared is None else comparison_json.baseline_entry(compared)
    try:
        files = json_report.write(results, analysis, verdicts, Path(facts["output"]), entry)
        if compared is not None:
            files += comparison_json.write_flips(Path(facts["output"]), compared.flips)
    except json_report.ReportError as error:
        problem = f"ERROR: {error}"
    warnings = step_summary.append(json_report.to_document(results, analysis, verdicts, entry))
    # A cell that is no worse than it was is told by the table of the comparison, and by its report.
    shown = [v for v in verdicts if compared is None or v not in compared.verdicts or v.outcome != "pass"]
    lines = terminal.render(results, analysis, shown, files, width, colour)
    if compared is not None:
        lines += ["", *comparison_tables.baseline_lines(compared, width, painter(colour))]
    if sequential is not None and not interrupted:
        lines.append(describe(sequential))
    if shard is not None:
        lines.append(
            f"These files hold shard {shard}, {selected:,} of {whole:,} cases; "
            "`python -m pytest_vtc merge DIR DIR ...` makes one run of all."
        )
    elif selected < whole:
        # Whoever reads the files later should not take them for the whole sweep.
        lines.append(f"These files hold the {selected:,} cases that were selected, of {whole:,} in the sweep.")
    lines += [*warnings, *([problem] if problem else [])]
    return Conclusion(lines, verdicts, not problem, every.gate_inconclusive)


def _with_unread(manifest: Manifest, measurements: Sequence[Measurement]) -> Manifest:
    run = manifest["run"]
    return {**manifest, "run": {**run, "unread_replies": unread_replies(manifest, measurements)}}
