"""A run against an earlier one, its baseline: read and checked before any case runs, judged when all have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pytest_vtc.cells import Cell, Measurement
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.gates import Verdict
from pytest_vtc.manifest_fields import DatasetInfo, Manifest
from pytest_vtc.option_values import of_datasets
from pytest_vtc.regression import judge, not_judged
from pytest_vtc.results import Results
from pytest_vtc.run_comparison import CellComparison, Flip, Measured, compare_runs
from pytest_vtc.run_differences import Difference, differences
from pytest_vtc.run_files import RESULTS, read_run

if TYPE_CHECKING:
    from pytest_vtc.sweep import Sweep

_NAMED = 3

Expected = Mapping[Cell, Mapping[str, tuple[str, ...]]]
"""The answers that a run expects, by cell and sample id."""


class BaselineError(ValueError):
    """A baseline that this run cannot be compared with; the message lists why and says what to do."""


@dataclass(frozen=True)
class Baseline:
    """What a run is compared with. name: of its folder. limit: `max_regression` in percentage points, if there is one.

    measured: of the cells that the run has too. new: cells of the run that the baseline lacks; gone: the reverse.
    replaced: it lies where the run writes its own results.
    """

    name: str
    manifest: Manifest
    measured: Measured
    limit: float | None
    new: tuple[Cell, ...]
    gone: tuple[Cell, ...]
    replaced: bool

    def describe(self) -> list[str]:
        """Lines for the header of a run."""
        rule = "no significant regression" if self.limit is None else f"at most {self.limit:g} pp of regression"
        lines = [f"vtc: baseline {self.name}, compared on {_count(len(self.measured), 'cell')}: {rule}"]
        if self.new:
            lines.append(f"vtc: not judged, as the baseline lacks {_named([cell.id for cell in self.new])}")
        if self.replaced:
            lines.append(f"vtc: the baseline lies where this run writes; it has been read, and {RESULTS} is replaced")
        return lines


@dataclass(frozen=True)
class BaselineComparison:
    """How a run stands against its baseline. cells: those that both have, in the order of the run.

    differences: of the two runs' settings, none of which forbids the comparison.
    """

    baseline: Baseline
    cells: tuple[CellComparison, ...]
    differences: tuple[Difference, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def flips(self) -> Iterable[Flip]:
        return (flip for cell in self.cells for flip in cell.flips)

    @property
    def n_tests(self) -> int:
        """Cells that Holm's correction was made over."""
        return sum(cell.p_holm is not None for cell in self.cells)


def open_baseline(
    path: Path,
    limit: float | None,
    manifest: Manifest,
    expected: Expected,
    output: Path,
    content: Callable[[str, int], str] | None = None,
) -> Baseline:
    """Read the run at `path` and check that the run at hand can be compared with it, sample by sample.

    manifest: of the run at hand; its `run` is not looked at. expected: its cells and samples.
    content: (dataset, n) -> fingerprint of so many samples of it, drawn as this run draws; with it, the prompts of a
    baseline of more samples are checked as well. Raises BaselineError or RunFilesError.
    """
    run = read_run(path)
    there = set(run.cells.values())
    shared = [cell for cell in expected if cell in there]
    if not shared:
        raise BaselineError(
            f"the baseline {run.path} has no cell of this run: it has {_named(list(run.cells))}, this run has "
            f"{_named([cell.id for cell in expected])}"
        )
    models = [(model, model) for model in dict.fromkeys(cell.model for cell in shared)]
    datasets = list(dict.fromkeys(cell.dataset for cell in shared))
    now = manifest if content is None else _as_large(manifest, run.manifest, datasets, content)
    reasons = [str(found) for found in differences(run.manifest, now, models, datasets) if found.forbids]
    _refuse(run.path, "was run with other settings (baseline -> this run)", reasons)
    measured = run.by_cell(shared)
    lacking = {cell.id: n for cell in shared if (n := len(expected[cell].keys() - measured[cell].keys()))}
    what = "was interrupted and lacks" if run.document["interrupted"] else "lacks"
    n_samples = {cell.id: len(expected[cell]) for cell in shared}
    shown = [f"{cell}: {n:,} of {n_samples[cell]:,}" for cell, n in lacking.items()]
    _refuse(run.path, f"{what} samples that this run measures", shown)
    _refuse(run.path, "expects other answers", _unequal(measured, expected))
    return Baseline(
        name=run.name,
        manifest=run.manifest,
        measured=measured,
        limit=limit,
        new=tuple(cell for cell in expected if cell not in there),
        gone=tuple(cell for cell in run.cells.values() if cell not in expected),
        replaced=run.path.resolve() == (output / RESULTS).resolve(),
    )


def compare_with_baseline(
    baseline: Baseline, results: Results, samples: Mapping[str, int], shard: str | None
) -> BaselineComparison:
    """Compare every cell that both have, and judge every cell of the run.

    samples: cell id -> samples of the sweep; a cell of which fewer were selected is not judged, nor is anything of an
    interrupted run or of a shard.
    """
    after: dict[Cell, dict[str, Measurement]] = {cell: {} for cell in results.cells}
    for measurement in sorted(results.measurements, key=lambda m: m.order):
        after[measurement.cell][measurement.sample] = measurement
    cells = compare_runs(baseline.measured, after, [(cell, cell) for cell in after if cell in baseline.measured])
    by_cell = {cell.after: cell for cell in cells}
    n_tests = sum(cell.p_holm is not None for cell in cells)
    several = len({(cell.model, cell.dataset) for cell in results.cells}) > 1
    verdicts: list[Verdict] = []
    for cell in results.cells:
        found = by_cell.get(cell)
        name = cell.id if several else cell.variant
        if (reason := _obstacle(results, cell, len(after[cell]), samples[cell.id], shard)) is not None:
            verdicts.append(not_judged(name, cell, baseline.limit, reason))
        elif found is None:
            verdicts.append(not_judged(name, cell, baseline.limit, "the baseline has no such cell"))
        else:
            verdicts.append(judge(name, found, baseline.limit, n_tests))
    models = [(model, model) for model in dict.fromkeys(cell.after.model for cell in cells)]
    datasets = list(dict.fromkeys(cell.after.dataset for cell in cells))
    told = differences(baseline.manifest, results.manifest, models, datasets)
    return BaselineComparison(baseline, tuple(cells), tuple(told), tuple(verdicts))


def _obstacle(results: Results, cell: Cell, n_measured: int, n_samples: int, shard: str | None) -> str | None:
    n_expected = results.expected[cell.id]
    if shard is not None:
        return f"this is shard {shard}: merge the shards, with --baseline"
    if results.interrupted:
        return "the run was interrupted"
    if n_expected < n_samples:
        return f"only {n_expected:,} of its {n_samples:,} cases were selected"
    if n_measured < n_expected:
        return f"{n_expected - n_measured:,} of {n_expected:,} cases are missing"
    return None


def _as_large(
    manifest: Manifest, before: Manifest, datasets: Sequence[str], content: Callable[[str, int], str]
) -> Manifest:
    """The manifest of this run, had it drawn as many samples as a baseline that has more."""
    larger = dict(manifest["datasets"])
    for name in datasets:
        here, there = manifest["datasets"][name], before["datasets"][name]
        if here["n"] < there["n"] <= here["size"]:
            drawn = {**here, "n": there["n"], "fingerprint": content(name, there["n"])}
            larger[name] = cast("DatasetInfo", drawn)
    return cast("Manifest", {**manifest, "datasets": larger})


def _unequal(measured: Measured, expected: Expected) -> list[str]:
    found: dict[str, str] = {}
    for cell, samples in expected.items():
        for sample, answers in samples.items():
            partner = measured.get(cell, {}).get(sample)
            if partner is not None and partner.expected != answers:
                found[f"{cell.dataset}/{sample}"] = f"{', '.join(partner.expected)} -> {', '.join(answers)}"
    return [f"{sample}: {answers}" for sample, answers in found.items()]


def _refuse(path: Path, what: str, reasons: Sequence[str]) -> None:
    if not reasons:
        return
    shown = [*reasons[:20], *([f"and {len(reasons) - 20:,} more"] if len(reasons) > 20 else [])]
    raise BaselineError(
        f"the baseline {path} {what}:\n"
        + "".join(f"  {reason}\n" for reason in shown)
        + "Make the baseline again as this run is made, or leave --vtc-baseline out; `python -m pytest_vtc compare` "
        "has --allow-differences"
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else "")


def baseline_of(sweep: Sweep, selected: Collection[str], manifest: Manifest) -> Baseline | None:
    """The baseline that a sweep was asked to be compared with, read and checked; None if it was not.

    selected: ids of the cells of which anything is run. manifest: of the sweep.
    Raises BaselineError, RunFilesError or DatasetError.
    """
    settings = sweep.settings
    if settings.baseline is None:
        return None
    expected: dict[Cell, Mapping[str, tuple[str, ...]]] = {}
    for block in sweep.blocks:
        answers = {sample.id: sample.answers for sample in block.data.samples}
        expected |= {cell: answers for cell in block.cells if cell.id in selected}
    names = list(dict.fromkeys(block.data.name for block in sweep.blocks))
    specs = dict(zip(names, settings.data or names, strict=True))

    def content(name: str, n: int) -> str:
        shown = {spec: name for name, spec in specs.items()}
        style = of_datasets("prompt-style", settings.prompt_style, shown)[specs[name]]
        return open_samples(specs[name], data_home(), n, settings.seed, None, style, settings.columns).fingerprint()

    return open_baseline(
        settings.baseline, settings.max_regression, manifest, expected, settings.output, content=content
    )
