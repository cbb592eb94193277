"""What a run shows of cells that were judged while it went on: figures that allow for that, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_vtc.cells import Cell
from pytest_vtc.comparison import Comparison
from pytest_vtc.gates import Verdict
from pytest_vtc.results import CategorySummary, CellSummary, Results, Sequential
from pytest_vtc.seed_groups import SeedGroup
from pytest_vtc.sequential_trials import AllJudged, Judged, Trials
from pytest_vtc.standings import Pair
from pytest_vtc.statistics import Interval


@dataclass(frozen=True)
class SequentialRun:
    """A run that was judged while it went on. n_tests: tests on cases; n_not_run: of those that were left out."""

    trials: Trials
    n_tests: int
    n_not_run: int


def cut(results: Results, trials: Trials) -> Results:
    """The results without what lies beyond the judged samples of cells that ended early.

    How much of that was measured depends on windows and on timing; what is left does not.
    """
    ends = {cell: judged.n_rows for cell, judged in trials.judged.cells.items() if judged.decided}
    return replace(
        results,
        expected={
            cell.id: min(results.expected[cell.id], ends.get(cell, results.expected[cell.id])) for cell in results.cells
        },
        measurements=[m for m in results.measurements if m.cell not in ends or trials.row(m.order) < ends[m.cell]],
        errors=[e for e in results.errors if e.cell not in ends or trials.row_of(e.cell, e.sample) < ends[e.cell]],
    )


def samples_to_judge(samples: Mapping[str, int], judged: AllJudged) -> dict[str, int]:
    """Cell id -> samples that its gates ask for: all, or of a cell that ended early those that it ended with."""
    return {**samples, **{cell.id: found.n_rows for cell, found in judged.cells.items() if found.decided}}


# Figures


def allow_for_looks(summary: CellSummary, judged: Judged | None) -> CellSummary:
    """The summary of a cell with intervals and a p that hold although its gates were looked at after every image.

    Where some of what was measured could not be judged, because a case before it is missing, there are no intervals.
    """
    if judged is None:
        return summary
    usable = judged if judged.n_rows == summary.n_measured else None
    return replace(
        summary,
        accuracy=None if summary.accuracy is None else _ends(summary.accuracy, usable and usable.accuracy),
        versus=_versus(summary.versus, usable),
        sequential=Sequential(
            n_samples=judged.n_rows,
            of_samples=judged.of_rows,
            n_groups=judged.n_groups,
            of_groups=judged.of_groups,
            decided=judged.decided,
        ),
    )


def seeds_allow_for_looks(group: SeedGroup, judged: AllJudged) -> SeedGroup:
    """The same for all seeds of a compressor; no intervals where seeds were judged singly, and may have ended apart."""
    if not any(cell in judged.cells for cell in group.cells):
        return group
    found = judged.groups.get(Cell(group.model, group.dataset, group.compressor, group.ratio))
    usable = found if found is not None and found.n_samples == group.n_paired == group.n_samples else None
    return replace(
        group,
        accuracy=None if group.accuracy is None else _ends(group.accuracy, usable and usable.accuracy),
        versus=_versus(group.versus, usable),
    )


def without_share(summary: CellSummary) -> CellSummary:
    """A cell that was judged while the run went on, its share of stock without an interval.

    Means over datasets are made of intervals for one look.
    """
    return replace(summary, versus=_without_share(summary.versus)) if summary.sequential is not None else summary


def seeds_without_share(group: SeedGroup, judged: AllJudged) -> SeedGroup:
    """The same for all seeds of a compressor."""
    if not any(cell in judged.cells for cell in group.cells):
        return group
    return replace(group, versus=_without_share(group.versus))


def category_without_intervals(summary: CategorySummary, judged: AllJudged) -> CategorySummary:
    """A category, with nothing but accuracies of the cells that were judged while the run went on."""
    names = {cell.variant for cell in judged.cells if (cell.model, cell.dataset) == (summary.model, summary.dataset)}
    return replace(
        summary,
        variants=tuple(replace(v, delta_pp=None, p=None) if v.variant in names else v for v in summary.variants),
    )


def pairs_of_one_look(pairs: Sequence[Pair], groups: Sequence[SeedGroup], judged: AllJudged) -> list[Pair]:
    """The pairs of compressors neither of which was judged while the run went on."""
    repeated = {(cell.model, cell.dataset, cell.ratio, cell.compressor) for cell in judged.cells}
    repeated |= {
        (group.model, group.dataset, group.ratio, group.compressor)
        for group in groups
        if any(cell in judged.cells for cell in group.cells)
    }
    return [
        pair
        for pair in pairs
        if not any((pair.model, pair.dataset, pair.ratio, spec) in repeated for spec in (pair.first, pair.second))
    ]


def _versus(versus: Comparison | None, judged: Judged | None) -> Comparison | None:
    if versus is None:
        return None
    difference, share, p = (None, None, None) if judged is None else (judged.difference, judged.share, judged.p)
    return replace(
        versus,
        difference_pp=_ends(versus.difference_pp, None if difference is None else difference.scaled(100)),
        bootstrap_pp=None,
        share=None if versus.share is None else _ends(versus.share, share),
        p=p,
        p_mcnemar=None,
    )


def _without_share(versus: Comparison | None) -> Comparison | None:
    if versus is None or versus.share is None:
        return versus
    return replace(versus, share=_ends(versus.share, None))


def _ends(plain: Interval, judged: Interval | None) -> Interval:
    """The estimate of `plain` with the ends of `judged`, if there are any."""
    return Interval(plain.estimate, None, None) if judged is None else replace(judged, estimate=plain.estimate)


# Words


def tell(verdict: Verdict, judged: AllJudged) -> Verdict:
    """A verdict, with how far it was judged if that was while the run went on."""
    found = judged.groups.get(verdict.cell) or judged.cells.get(verdict.cell)
    if found is None or verdict.outcome == "not judged":
        return verdict
    if not found.decided and found.n_rows < found.of_rows:
        # Everything else that a case can lack has left its cell unjudged before.
        return replace(
            verdict,
            outcome="not judged",
            reason=f"only the first {found.n_rows:,} of {found.of_rows:,} samples could be judged: a stock case of "
            "the next image is missing",
            estimate=None,
            low=None,
            high=None,
            n=None,
            n_needed=None,
        )
    after = next((n for limit, n in found.decided_after.items() if verdict.name.endswith(f" {limit}")), None)
    when = "undecided after all" if after is None else f"decided after {after:,} of"
    return replace(verdict, reason=f"{verdict.reason} ({when} {found.of_rows:,}; anytime-valid interval)")


def describe(run: SequentialRun) -> str:
    """`sequential: 4 gates decided after 310 of 2,000 samples; 6,760 of 12,000 cases not run (56 %)`."""
    judged = run.trials.judged.gated
    n_gates = sum(len(found.limits) for found in judged)
    afters = sorted(after for found in judged for after in found.decided_after.values())
    if not n_gates:
        return "sequential: no cell that may end early was selected whole"
    if not afters:
        return f"sequential: {'the gate was not' if n_gates == 1 else f'none of {_gates(n_gates)} was'} decided"
    counted = _gates(n_gates) if len(afters) == n_gates else f"{len(afters):,} of {_gates(n_gates)}"
    spread = f"{afters[0]:,}" if afters[0] == afters[-1] else f"{afters[0]:,} to {afters[-1]:,}"
    return (
        f"sequential: {counted} decided after {spread} of {max(found.of_rows for found in judged):,} samples; "
        f"{run.n_not_run:,} of {run.n_tests:,} cases not run ({100 * run.n_not_run / run.n_tests:.0f} %)"
    )


def _gates(n: int) -> str:
    return f"{n:,} gate{'' if n == 1 else 's'}"
