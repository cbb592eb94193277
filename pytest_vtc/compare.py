"""`python -m pytest_vtc compare A B ...`: runs against the first of them, paired by sample id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_vtc.cells import Cell
from pytest_vtc.gates import Verdict
from pytest_vtc.regression import judge, not_judged
from pytest_vtc.run_comparison import CellComparison, Measured, compare_runs, corrected, unequal_answers
from pytest_vtc.run_differences import Difference, differences
from pytest_vtc.run_files import RunFiles, read_run


class CompareError(ValueError):
    """Runs that cannot be compared; the message says why and what to do."""


@dataclass(frozen=True)
class ComparedRun:
    """One run against the reference. only_reference, only_compared: cells that only one of the two has.

    obstacles: why a cell (as it is called in this run) is compared but not judged, for those that are not.
    """

    name: str
    differences: tuple[Difference, ...]
    cells: tuple[CellComparison, ...]
    only_reference: tuple[Cell, ...]
    only_compared: tuple[Cell, ...]
    obstacles: Mapping[Cell, str]


@dataclass(frozen=True)
class Compared:
    """Runs against the first of them. names: of all, its own first. limit: `max_regression`, if one is given."""

    names: tuple[str, ...]
    runs: tuple[RunFiles, ...]
    compared: tuple[ComparedRun, ...]
    limit: float | None

    @property
    def n_tests(self) -> int:
        """Cells that Holm's correction was made over, of all comparisons together."""
        return sum(cell.p_holm is not None for run in self.compared for cell in run.cells)

    def verdict(self, run: ComparedRun, cell: CellComparison) -> Verdict | None:
        """What the limit says of a cell of a run, and why; None without a limit."""
        if self.limit is None:
            return None
        if (obstacle := run.obstacles.get(cell.after)) is not None:
            return not_judged(cell.after.id, cell.after, self.limit, obstacle)
        return judge(cell.after.id, cell, self.limit, self.n_tests)

    @property
    def regressed(self) -> bool:
        """Whether a cell fails."""
        verdicts = (self.verdict(run, cell) for run in self.compared for cell in run.cells)
        return any(verdict is not None and verdict.outcome == "fail" for verdict in verdicts)


def compare(
    paths: Sequence[Path], limit: float | None = None, allow_differences: bool = False, across_models: bool = False
) -> Compared:
    """Compare the runs at these paths with the first of them, each on the cells and samples that both have.

    across_models: of two runs with one model each, cells match if they are of one dataset and variant.
    Raises CompareError, or RunFilesError for files that cannot be read.
    """
    if len(paths) < 2:
        raise CompareError("give two runs or more; the first is what the others are compared with")
    runs = [read_run(path) for path in paths]
    names = _names([run.path.resolve().parent for run in runs])
    before = runs[0].by_cell()
    compared = [
        _compare(runs[0], before, run, (names[0], name), allow_differences, across_models)
        for run, name in zip(runs[1:], names[1:], strict=True)
    ]
    every = iter(corrected([cell for run in compared for cell in run.cells]))
    compared = [replace(run, cells=tuple(next(every) for _ in run.cells)) for run in compared]
    return Compared(tuple(names), tuple(runs), tuple(compared), limit)


def _compare(
    reference: RunFiles,
    before: Measured,
    run: RunFiles,
    names: tuple[str, str],
    allow_differences: bool,
    across_models: bool,
) -> ComparedRun:
    """names: of the reference and of the run."""
    matches = _matches(reference, run, across_models)
    if not matches:
        raise CompareError(
            f"{reference.path} and {run.path} share no cell: the first has {_some(reference)}, the other {_some(run)}"
            + ("" if across_models else "; runs of one model each are compared across models with --across-models")
        )
    after = run.by_cell()
    models = list(dict.fromkeys((one.model, other.model) for one, other in matches))
    datasets = list(dict.fromkeys(other.dataset for _, other in matches))
    found = differences(reference.manifest, run.manifest, models, datasets)
    for dataset, samples in unequal_answers(before, after, matches).items():
        sample = samples[0]
        one, other = (
            next(
                ", ".join(own[sample].expected)
                for cell, own in side.items()
                if cell.dataset == dataset and sample in own
            )
            for side in (before, after)
        )
        what = f"dataset {dataset}: expected answers, in {len(samples):,} of the common samples, first {sample}"
        found.insert(0, Difference(what, one, other, True))
    if not allow_differences and (forbidding := [str(d) for d in found if d.forbids]):
        listed = "".join(f"  {line}\n" for line in forbidding)
        raise CompareError(
            f"{reference.path} and {run.path} were run with other settings, which change every answer:\n{listed}"
            "Run one of them again as the other was run; --allow-differences compares them all the same"
        )
    matched = {one for one, _ in matches}, {other for _, other in matches}
    return ComparedRun(
        name=names[1],
        differences=tuple(found),
        cells=tuple(compare_runs(before, after, matches)),
        only_reference=tuple(cell for cell in before if cell not in matched[0]),
        only_compared=tuple(cell for cell in after if cell not in matched[1]),
        obstacles=_obstacles(reference, run, names, matches),
    )


def _obstacles(
    reference: RunFiles, run: RunFiles, names: tuple[str, str], matches: Sequence[tuple[Cell, Cell]]
) -> dict[Cell, str]:
    """Why cells of `run` are not judged: incomplete there or in the reference, or ended early."""
    sides = (reference, {one.id: other for one, other in matches}), (run, {other.id: other for _, other in matches})
    found: dict[Cell, str] = {}
    for name, (files, called) in zip(names, sides, strict=True):
        for entry in files.document["cells"]:
            if entry["id"] not in called:
                continue
            if files.document["interrupted"]:
                why = "was interrupted"
            elif entry["n_missing"]:
                why = f"lacks {entry['n_missing']:,} of its {entry['n_expected']:,} cases"
            elif entry["sequential"] is not None and entry["sequential"]["decided"]:
                why = "ended it early (--vtc-sequential): its samples were not chosen beforehand"
            else:
                continue
            found.setdefault(called[entry["id"]], f"{name} {why}")
    return found


def _matches(reference: RunFiles, run: RunFiles, across_models: bool) -> list[tuple[Cell, Cell]]:
    """The cells that both runs have, in the order of `run`."""
    there = set(reference.cells.values())
    if not across_models:
        return [(cell, cell) for cell in run.cells.values() if cell in there]
    for one in (reference, run):
        if len(models := {cell.model for cell in one.cells.values()}) != 1:
            raise CompareError(f"--across-models needs runs of one model each; {one.path} has {len(models)}")
    by_place = {(cell.dataset, cell.variant): cell for cell in there}
    places = [(by_place.get((cell.dataset, cell.variant)), cell) for cell in run.cells.values()]
    return [(one, cell) for one, cell in places if one is not None]


def _some(run: RunFiles) -> str:
    cells = list(run.cells)
    return ", ".join(cells[:3]) + (f" and {len(cells) - 3:,} more" if len(cells) > 3 else "")


def _names(folders: Sequence[Path]) -> list[str]:
    """Each folder's name, with as many of those above it as tell all folders apart."""
    different = len(set(folders))
    for depth in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ["/".join(folder.parts[-depth:]) for folder in folders]
        if len(set(names)) == different:
            return names
    return [str(folder) for folder in folders]
