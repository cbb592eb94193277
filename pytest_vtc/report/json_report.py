"""Writes results.json (documented in results.schema.json) and samples.jsonl, each whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pytest_vtc.analysis import Analysis
from pytest_vtc.cells import Cell, Generation, Measurement, SkippedCell
from pytest_vtc.comparison import Comparison
from pytest_vtc.gates import Verdict
from pytest_vtc.published_figures import PublishedFigures
from pytest_vtc.results import CategorySummary, CellSummary, Results, in_run_order
from pytest_vtc.scoring.published import metric
from pytest_vtc.seed_groups import SeedGroup
from pytest_vtc.standings import MeanShare, Pair
from pytest_vtc.statistics import Interval
from pytest_vtc.whole_file import write_whole

SCHEMA_VERSION = 5
SCHEMA = Path(__file__).with_name("results.schema.json")

RUN_DEPENDENT = "run"
"""The one key, at any depth of both files, under which two runs of the same command may differ."""


class ReportError(RuntimeError):
    """A results file cannot be written; the message names it and says what to do."""


def write(
    results: Results,
    analysis: Analysis,
    verdicts: Sequence[Verdict],
    folder: Path,
    baseline: Mapping[str, Any] | None = None,
) -> tuple[Path, Path]:
    """Write `results.json` and `samples.jsonl` to `folder` and return their paths.

    baseline: the entry on the run that this one was compared with.
    Each is written beside its place, synced, and moved there, so that a reader finds the old file or the new one.
    Raises ReportError.
    """
    document = to_document(results, analysis, verdicts, baseline)
    samples = (sample_line(measurement) for measurement in in_run_order(results))
    summary_path, samples_path = folder / "results.json", folder / "samples.jsonl"
    write_lines(samples_path, samples)
    _replace(summary_path, [json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2), "\n"])
    return summary_path, samples_path


def to_document(
    results: Results, analysis: Analysis, verdicts: Sequence[Verdict], baseline: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The content of results.json as plain data; NaN and infinity have become None."""
    order = {cell: rank for rank, cell in enumerate(results.cells)}
    errors = sorted(results.errors, key=lambda error: (order[error.cell], error.sample))
    document = {
        "schema_version": SCHEMA_VERSION,
        "manifest": results.manifest,
        "interrupted": results.interrupted,
        "cells": [_cell(summary) for summary in analysis.cells],
        "seed_groups": [_seed_group(group) for group in analysis.seed_groups],
        "skipped": [_skipped(item) for item in results.skipped],
        "pairs": [_pair(pair) for pair in analysis.pairs],
        "shares": [_mean_share(share) for share in analysis.shares],
        "metrics": _metrics(results),
        "categories": [_category(summary) for summary in analysis.categories],
        "budget": [_budget(summary) for summary in analysis.cells],
        "gates": {
            "asked": list(results.gates),
            "inconclusive": results.gate_inconclusive,
            "verdicts": [_verdict(verdict) for verdict in verdicts],
        },
        "baseline": baseline,
        "errors": [{"cell": e.cell.id, "sample": e.sample, "message": e.message} for e in errors],
    }
    return cast("dict[str, Any]", _plain(document))


def sample_line(measurement: Measurement) -> dict[str, Any]:
    """One line of samples.jsonl as plain data."""
    generation = measurement.generation
    return {
        "cell": measurement.cell.id,
        "sample": measurement.sample,
        "category": measurement.category,
        "group": measurement.group,
        "expected": list(measurement.expected),
        "facts": dict(measurement.facts),
        "answer": generation.answer,
        "parsed": measurement.parsed,
        "score": _finite(measurement.score),
        "empty": measurement.empty,
        "unparsed": measurement.unparsed,
        "truncated": generation.truncated,
        "beyond_window": generation.beyond_window,
        "n_tokens": generation.n_tokens,
        "n_asked": generation.n_asked,
        "n_kept": generation.n_kept,
        "kv_bytes": generation.kv_bytes,
        "n_generated": generation.n_generated,
        "positions": generation.positions,
        RUN_DEPENDENT: {
            "seconds": _finite(generation.seconds),
            "cached": measurement.cached,
            "order": measurement.order,
        },
    }


def measurement_of(line: Mapping[str, Any], cell: Cell) -> Measurement:
    """Read back what `sample_line` gives. Raises KeyError or TypeError if it is something else."""
    run = line[RUN_DEPENDENT]
    return Measurement(
        cell=cell,
        sample=line["sample"],
        category=line["category"],
        group=line["group"],
        expected=tuple(line["expected"]),
        generation=Generation(
            answer=line["answer"],
            n_tokens=line["n_tokens"],
            n_asked=line["n_asked"],
            n_kept=line["n_kept"],
            kv_bytes=line["kv_bytes"],
            n_generated=line["n_generated"],
            positions=line["positions"],
            truncated=line["truncated"],
            beyond_window=line["beyond_window"],
            seconds=math.nan if run["seconds"] is None else run["seconds"],
        ),
        score=line["score"],
        parsed=line["parsed"],
        unparsed=line["unparsed"],
        cached=run["cached"],
        order=run["order"],
        facts=line["facts"],
    )


def comparable(document: Any) -> Any:
    """A document, or a line, without what may differ between two runs of the same command."""
    if isinstance(document, dict):
        entries = cast("dict[str, Any]", document)
        return {key: comparable(value) for key, value in entries.items() if key != RUN_DEPENDENT}
    if isinstance(document, list):
        return [comparable(value) for value in cast("list[Any]", document)]
    return document


def _metrics(results: Results) -> dict[str, Any]:
    names = dict.fromkeys(name for about in results.manifest["datasets"].values() if (name := about["published"]))
    every = {name: metric(name) for name in names}
    return {
        name: {"description": found.description, "headings": list(found.headings), "decimals": found.decimals}
        for name, found in every.items()
    }


def _cell(summary: CellSummary) -> dict[str, Any]:
    cell = summary.cell
    return {
        "id": cell.id,
        "model": cell.model,
        "dataset": cell.dataset,
        "variant": cell.variant,
        "compressor": cell.compressor,
        "ratio": cell.ratio,
        "n_expected": summary.n_expected,
        "n_measured": summary.n_measured,
        "n_missing": summary.n_missing,
        "n_errors": summary.n_errors,
        "n_empty": summary.n_empty,
        "n_unparsed": summary.n_unparsed,
        "by_chance": summary.by_chance,
        "by_default": summary.by_default,
        "n_yes": summary.n_yes,
        "n_truncated": summary.n_truncated,
        "n_beyond_window": summary.n_beyond_window,
        "scored": summary.scored,
        "n_scored": summary.n_scored,
        "accuracy": interval_of(summary.accuracy),
        "versus_stock": None if summary.versus is None else comparison(summary.versus),
        "p_holm": summary.p_holm,
        "published": _published(summary.published),
        "sequential": None if summary.sequential is None else dataclasses.asdict(summary.sequential),
        "positions": list(summary.positions),
        RUN_DEPENDENT: {"n_cached": summary.n_cached, "seconds_per_case": summary.seconds},
    }


def _seed_group(group: SeedGroup) -> dict[str, Any]:
    return {
        "model": group.model,
        "dataset": group.dataset,
        "compressor": group.compressor,
        "ratio": group.ratio,
        "cells": [cell.id for cell in group.cells],
        "seeds": list(group.seeds),
        "missing_seeds": list(group.missing),
        "n_scored": group.n_samples,
        "accuracy": interval_of(group.accuracy),
        "by_seed": list(group.by_seed),
        "lowest": min(group.by_seed, default=None),
        "highest": max(group.by_seed, default=None),
        "sd": group.sd,
        "versus_stock": None if group.versus is None else comparison(group.versus),
        "p_holm": group.p_holm,
        "published": _published(group.published),
    }


def _published(published: PublishedFigures | None) -> dict[str, Any] | None:
    if published is None:
        return None
    return {
        "n": published.n,
        "n_paired": published.n_paired,
        "n_cut": published.n_cut,
        "figures": {f.name: {"value": f.value, "difference": f.difference} for f in published.figures},
    }


def _skipped(item: SkippedCell) -> dict[str, Any]:
    return {"id": item.cell.id, "variant": item.cell.variant, **item.to_dict()}


def _budget(summary: CellSummary) -> dict[str, Any]:
    budget = summary.budget
    return {
        "cell": summary.cell.id,
        "ratio": summary.cell.ratio,
        "n": summary.n_measured,
        "tokens_stock": None if budget is None else budget.n_tokens,
        "tokens_asked": None if budget is None else budget.asked,
        "tokens_kept": None if budget is None else budget.kept,
        "kept_min": None if budget is None else budget.kept_min,
        "kept_max": None if budget is None else budget.kept_max,
        "ratio_kept": None if budget is None or not budget.n_tokens else budget.kept / budget.n_tokens,
        "n_below": None if budget is None else budget.n_below,
        "n_above": None if budget is None else budget.n_above,
        "kv_bytes": None if budget is None else budget.kv_bytes,
        "kv_bytes_share": None if budget is None else budget.kv_share,
    }


def _category(summary: CategorySummary) -> dict[str, Any]:
    return {
        "model": summary.model,
        "dataset": summary.dataset,
        "category": summary.category,
        "n": summary.n,
        "variants": [
            {
                "variant": v.variant,
                "n": v.n,
                "accuracy": v.accuracy,
                "delta_pp": interval_of(v.delta_pp),
                "p": v.p,
                "q": v.q,
            }
            for v in summary.variants
        ],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "cell": verdict.cell.id,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "condition": verdict.condition,
        "limit": verdict.limit,
        "category": verdict.category,
        "rule": verdict.rule,
        "estimate": verdict.estimate,
        "low": verdict.low,
        "high": verdict.high,
        "n": verdict.n,
        "n_needed": verdict.n_needed,
    }


def comparison(versus: Comparison) -> dict[str, Any]:
    """A comparison as plain data."""
    flips = versus.flips
    return {
        "n": versus.n,
        "n_images": versus.n_images,
        "difference_pp": interval_of(versus.difference_pp),
        "bootstrap_pp": interval_of(versus.bootstrap_pp),
        "share": interval_of(versus.share),
        "flips": None if flips is None else dataclasses.asdict(flips),
        "p": versus.p,
        "p_mcnemar": versus.p_mcnemar,
    }


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "model": pair.model,
        "dataset": pair.dataset,
        "ratio": pair.ratio,
        "first": pair.first,
        "second": pair.second,
        "versus": comparison(pair.versus),
        "p_holm": pair.p_holm,
    }


def _mean_share(share: MeanShare) -> dict[str, Any]:
    return {
        "model": share.model,
        "compressor": share.compressor,
        "ratio": share.ratio,
        "share": interval_of(share.share),
        "datasets": list(share.datasets),
        "missing": list(share.missing),
    }


def interval_of(interval: Interval | None) -> dict[str, Any] | None:
    """An interval as plain data."""
    return None if interval is None else dataclasses.asdict(interval)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Iterable[Any]", value)]
    return _finite(value) if isinstance(value, float) else value


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file for people to read, whole or not at all; NaN becomes null. Raises ReportError."""
    _replace(path, [json.dumps(_plain(document), ensure_ascii=False, allow_nan=False, indent=2), "\n"])


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write a file of JSON lines, whole or not at all. Raises ReportError."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    _replace(path, (f"{encode(line)}\n" for line in lines))


def _replace(path: Path, text: Iterable[str]) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise ReportError(
            f"cannot write {path} ({error.strerror}); the measurements are in the store: make room or choose a folder "
            "that can be written, then run the same command again"
        ) from error
