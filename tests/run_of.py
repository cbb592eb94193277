"""Small made-up runs for the tests of results, gates and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pytest_vtc.cells import Cell, Generation, Measurement
from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.results import Results

STOCK = Cell("tiny", "probes")
HALF = Cell("tiny", "probes", "divprune", 0.5)
QUARTER = Cell("tiny", "probes", "divprune", 0.25)


def manifest(*datasets: str, scoring: str = "exact_match") -> Manifest:
    about = {"n": 200, "size": 2000, "scoring": scoring, "max_new_tokens": 8, "fingerprint": "0f"}
    about |= {
        "drawn_from": None,
        "literal": False,
        "published": None,
        "prompt_style": "own",
        "whole_groups": False,
        "judge": None,
    }
    return {
        "pytest_vtc": "0.1.0",
        "seed": 0,
        "models": {
            "tiny": {
                "source": "shipped",
                "revision": None,
                "dtype": "float32",
                "quantization": None,
                "attention": "sdpa",
                "warnings": [],
                "device": "cpu",
                "positions": "compact",
                "sliding_window": 512,
                "unsupported": {},
                "substitutes": {},
                "random_weights": False,
            }
        },
        "datasets": dict.fromkeys(datasets or ("probes",), about),  # type: ignore[misc]
        "compressors": {
            "divprune": {
                "name": "divprune",
                "parameters": {"start": "nearest"},
                "source_hash": "ab12",
                "reference": "CVPR 2025",
                "exact": True,
                "seed_group": None,
            }
        },
        "settings": {"ratios": [0.5, 0.25], "positions": None},
        "versions": {"python": "3.11.7"},
        "hardware": {
            "platform": "Linux-x86_64",
            "processor": "",
            "n_cpus": 2,
            "memory_bytes": None,
            "accelerator": None,
        },
        "git": {"commit": "c0ffee", "dirty": False},
        "run": {
            "started": "2026-11-21T10:00:00+00:00",
            "seconds": 61.5,
            "command": ["pytest", "benchmarks/"],
            "loaded": {},
            "shard": None,
            "merged": [],
            "unread_replies": {},
        },
    }


def seeded(*seeds: int, spec: str = "random") -> Manifest:
    """A manifest in which `random` was asked for and is measured with these seeds."""
    made = manifest()
    for seed in seeds:
        made["compressors"][of_seed(seed).compressor or ""] = {
            "name": "random",
            "parameters": {"seed": seed},
            "source_hash": "cd34",
            "reference": "baseline",
            "exact": True,
            "seed_group": spec,
        }
    return made


def of_seed(seed: int, ratio: float = 0.5) -> Cell:
    return Cell("tiny", "probes", f"random(seed={seed})" if seed else "random", ratio)


def measured(
    cell: Cell,
    sample: int | str,
    score: float | None = 1.0,
    *,
    answer: str = "seven",
    category: str = "digit",
    group: str | None = None,
    tokens: tuple[int, int, int] | None = None,
    cached: bool = False,
    **flags: Any,
) -> Measurement:
    """tokens: of the unmodified model, asked, kept; 64 and what the ratio leaves if not given."""
    name = sample if isinstance(sample, str) else f"s{sample:03d}"
    n_kept = 64 if cell.ratio is None else int(64 * cell.ratio)
    n_tokens, n_asked, kept = tokens or (64, n_kept, n_kept)
    return Measurement(
        cell=cell,
        sample=name,
        category=category,
        group=f"image of {name}" if group is None else group,
        expected=() if score is None else ("seven",),
        generation=Generation(
            answer=answer,
            n_tokens=n_tokens,
            n_asked=n_asked,
            n_kept=kept,
            kv_bytes=flags.get("kv_bytes", 256 * (20 + kept)),
            n_generated=2,
            positions=flags.get("positions", "compact"),
            truncated=flags.get("truncated", False),
            beyond_window=flags.get("beyond_window", False),
            seconds=flags.get("seconds", 0.25),
        ),
        score=score,
        parsed=answer if score is not None else None,
        unparsed=flags.get("unparsed", False),
        cached=cached,
        order=0,
    )


def run_of(
    scores: Mapping[Cell, Sequence[float | None]], expected: Mapping[Cell, int] | None = None, **more: Any
) -> Results:
    """A run in which each cell has these scores on samples 0, 1, 2, ...; measurements are sample-major."""
    longest = max(map(len, scores.values()))
    rows = [measured(cell, i, values[i]) for i in range(longest) for cell, values in scores.items() if i < len(values)]
    counts = {cell.id: len(values) for cell, values in scores.items()}
    counts.update({cell.id: n for cell, n in (expected or {}).items()})
    datasets = dict.fromkeys(cell.dataset for cell in scores)
    return Results(
        **{
            "manifest": manifest(*datasets),
            "cells": tuple(scores),
            "expected": counts,
            "measurements": rows,
            **more,
        }
    )
