"""Makes one run of its shards: checks that they belong together, and concludes as the whole run would have."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pytest_vtc.baseline import open_baseline
from pytest_vtc.cells import Cell, SkippedCell
from pytest_vtc.conclusion import Conclusion, conclude
from pytest_vtc.gates import GateError, InconclusiveAs, is_gated, parse_gate, read_gates, unmatched
from pytest_vtc.judge.replies import REPLIES_NAME, Replies
from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.option_values import Shard, parse_shard
from pytest_vtc.report.json_report import RUN_DEPENDENT, comparable
from pytest_vtc.run_differences import unequal
from pytest_vtc.run_files import RunFiles, read_run
from pytest_vtc.store import STORE_NAME, Store


class MergeError(RuntimeError):
    """Folders that cannot be merged; the message names one and says why."""


@dataclass(frozen=True)
class Merged(Conclusion):
    """incomplete: cases failed, or a shard was interrupted and nobody has said that this may be."""

    incomplete: bool


@dataclass(frozen=True)
class _Part:
    """What one shard wrote."""

    folder: Path
    shard: Shard
    run: RunFiles

    @property
    def document(self) -> dict[str, Any]:
        return self.run.document

    @property
    def manifest(self) -> Manifest:
        return self.run.manifest


def merge(
    folders: Sequence[Path],
    output: Path,
    gates: Sequence[str],
    partial: bool,
    width: int,
    colour: bool,
    inconclusive: InconclusiveAs | None = None,
    baseline: Path | None = None,
    max_regression: float | None = None,
) -> Merged:
    """Write to `output` what the run without shards would have written, and judge its gates and `gates`.

    partial: go on without the missing shards, as an interrupted run does. width, colour: of the terminal.
    inconclusive: how a gate counts that is not decided; as in the shards if None.
    baseline, max_regression: a run that this one is to be compared with, and what a cell may lose.
    Raises MergeError, RunFilesError, BaselineError, StoreError or GateError.
    """
    if output.resolve() in {folder.resolve() for folder in folders}:
        raise MergeError(f"{output} is one of the shards; choose another folder with --output")
    parts = sorted(map(_read, folders), key=lambda part: part.shard.index)
    missing = _check(parts, partial)
    measurements = sorted((m for part in parts for m in part.run.measurements()), key=lambda m: m.order)
    for one, other in itertools.pairwise(measurements):
        if one.order == other.order:
            raise MergeError(f"{one.cell.id}/{one.sample} was measured in two of these folders: they overlap")
    facts = _facts(parts, output, gates, inconclusive)
    against = None
    if baseline is not None:
        expected: dict[Cell, dict[str, tuple[str, ...]]] = {}
        for m in measurements:
            expected.setdefault(m.cell, {})[m.sample] = m.expected
        against = open_baseline(baseline, max_regression, facts["manifest"], expected, output)
    _merge_stores(parts, output)
    interrupted = bool(missing) or any(part.document["interrupted"] for part in parts)
    errors = [error for part in parts for error in part.run.errors()]
    done = conclude(facts, measurements, errors, interrupted, width, colour, baseline=against)
    notes = [f"Shard {shard} is missing: this is not the whole run." for shard in missing]
    if errors:
        n = len(errors)
        notes.append(f"{n} case{' was' if n == 1 else 's were'} not measured: errors in results.json says why.")
    notes += [f"{part.folder} was interrupted." for part in parts if part.document["interrupted"]]
    if len({json.dumps(part.manifest["hardware"], sort_keys=True) for part in parts}) > 1:
        notes.append("The shards ran on different machines: manifest.run.merged in results.json names them.")
    incomplete = bool(errors) or (interrupted and not partial)
    return Merged([*done.lines, *notes], done.verdicts, done.written, done.inconclusive, incomplete)


def _read(folder: Path) -> _Part:
    run = read_run(folder)
    writer, this = run.manifest["pytest_vtc"], importlib.metadata.version("pytest-vtc")
    if writer != this:
        raise MergeError(
            f"{run.path} was written by pytest-vtc {writer}; this is {this}, and what they measure may differ: merge "
            "with the version that ran the shards"
        )
    shard = run.manifest["run"]["shard"]
    if shard is None:
        raise MergeError(f"{run.path} is no shard; shards are made by pytest --vtc-shard 1/8 and so on")
    return _Part(folder, parse_shard(shard), run)


def _check(parts: Sequence[_Part], partial: bool) -> list[Shard]:
    """Which shards are missing. Raises MergeError unless the parts are of one run and, if not `partial`, all of it."""
    first = parts[0]
    for part in parts[1:]:
        if part.shard.of != first.shard.of:
            raise MergeError(f"{first.folder} is shard {first.shard} and {part.folder} {part.shard}: of different runs")
        if different := sorted(path for path, *_ in unequal(_of_the_run(first.manifest), _of_the_run(part.manifest))):
            raise MergeError(
                f"{first.folder} and {part.folder} are of different runs: they differ in {', '.join(different[:5])}"
            )
    by_index: dict[int, _Part] = {}
    for part in parts:
        if part.shard.index in by_index:
            raise MergeError(f"{by_index[part.shard.index].folder} and {part.folder} are both shard {part.shard}")
        by_index[part.shard.index] = part
    every = (Shard(index, first.shard.of) for index in range(1, first.shard.of + 1))
    missing = [shard for shard in every if shard.index not in by_index]
    if missing and not partial:
        names = ", ".join(map(str, missing[:8])) + (" ..." if len(missing) > 8 else "")
        raise MergeError(f"shard {names} is missing; --partial merges what is there, as an interrupted run")
    return missing


def _of_the_run(manifest: Manifest) -> dict[str, Any]:
    """What the shards of one run have in common. Machines of a cluster may differ."""
    return {key: value for key, value in comparable(manifest).items() if key != "hardware"}


def _facts(
    parts: Sequence[_Part], output: Path, gates: Sequence[str], inconclusive: InconclusiveAs | None
) -> dict[str, Any]:
    """What `Bench.facts` would have said of the whole run."""
    manifest = _manifest(parts)
    expected: Counter[str] = Counter()
    for part in parts:
        expected.update({cell["id"]: cell["n_expected"] for cell in part.document["cells"]})
    listed = {cell["id"] for part in parts for cell in part.document["skipped"]}
    seen = listed | {cell["id"] for part in parts for cell in (*part.document["cells"], *_judged(part))}
    every = [
        Cell(model, dataset, *variant)
        for model in manifest["models"]
        for dataset in manifest["datasets"]
        if any(cell_id.startswith(f"{model}/{dataset}/") for cell_id in seen)
        for variant in [
            (None, None),
            *((spec, ratio) for spec in manifest["compressors"] for ratio in manifest["settings"]["ratios"]),
        ]
    ]
    asked = list(dict.fromkeys(text for part in parts for text in part.document["gates"]["asked"]))
    judged = [*map(parse_gate, asked), *read_gates(gates, Path())]
    if lost := unmatched(judged, every):
        raise GateError(f"{lost[0].called} matches no cell of this run")
    reasons = {cell.id: manifest["models"][cell.model]["unsupported"].get(str(cell.compressor)) for cell in every}
    grid = [cell for cell in every if reasons[cell.id] is None]
    skipped = [SkippedCell(cell, reason) for cell in every if (reason := reasons[cell.id]) is not None]
    return {
        "cells": [cell.to_dict() for cell in grid if cell.id in expected or is_gated(cell, judged)],
        "skipped": [s.to_dict() for s in skipped if s.cell.id in listed or is_gated(s.cell, judged)],
        "expected": dict(expected),
        "samples": {cell.id: manifest["datasets"][cell.dataset]["n"] for cell in grid},
        "gates": list(dict.fromkeys(map(str, judged))),
        "gate_inconclusive": inconclusive or parts[0].document["gates"]["inconclusive"],
        "output": str(output),
        "shard": None,
        "manifest": manifest,
    }


def _judged(part: _Part) -> list[dict[str, str]]:
    return [{"id": verdict["cell"]} for verdict in part.document["gates"]["verdicts"]]


def _manifest(parts: Sequence[_Part]) -> Manifest:
    runs = [part.manifest["run"] for part in parts]
    merged = cast("Manifest", dict(parts[0].manifest))
    merged["run"] = {
        "started": min(run["started"] for run in runs),
        "seconds": sum(run["seconds"] for run in runs),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "loaded": {model: about for run in reversed(runs) for model, about in run["loaded"].items()},
        "shard": None,
        "merged": [
            {
                "shard": str(part.shard),
                "started": part.manifest[RUN_DEPENDENT]["started"],
                "seconds": part.manifest[RUN_DEPENDENT]["seconds"],
                "command": part.manifest[RUN_DEPENDENT]["command"],
                "hardware": part.manifest["hardware"],
            }
            for part in parts
        ],
        "unread_replies": {},
    }
    return merged


def _merge_stores(parts: Sequence[_Part], output: Path) -> None:
    with Store(output / STORE_NAME) as merged:
        for part in parts:
            with Store(part.folder / STORE_NAME, readonly=True) as store:
                merged.copy_from(store)
    replies = Replies(output / REPLIES_NAME)
    for part in parts:
        replies.copy_from(Replies(part.folder / REPLIES_NAME))
