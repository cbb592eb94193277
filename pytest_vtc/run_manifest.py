"""What a run was: settings, models, datasets, versions, hardware. The part of results.json that makes it repeatable."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pytest_vtc.image_compression import substitutes_for
from pytest_vtc.manifest_fields import CompressorInfo, DatasetInfo, Git, Hardware, JudgeInfo, Manifest, ModelInfo, Run

if TYPE_CHECKING:
    from pytest_vtc.bench import Bench
    from pytest_vtc.case_keys import CaseKeys
    from pytest_vtc.sweep import Sweep

_PACKAGES = ("pytest", "torch", "transformers", "accelerate", "bitsandbytes", "datasets", "pillow", "numpy")


def describe_run(bench: Bench) -> Manifest:
    """How the sweep was set up, and what is known of its models once they were used."""
    return {**describe_sweep(bench.sweep, bench.keys), "run": _run(bench)}


def describe_sweep(sweep: Sweep, keys: CaseKeys) -> Manifest:
    """How the sweep is set up, before anything of it has run: `run` is empty."""
    settings = sweep.settings
    random = {block.model.label for block in sweep.blocks if block.model.random}
    models: dict[str, ModelInfo] = {
        label: {
            "source": identity.source if not Path(identity.source).is_dir() else Path(identity.source).name,
            "revision": identity.revision,
            "dtype": identity.dtype,
            "quantization": identity.quantization,
            "attention": identity.attention,
            "warnings": list(identity.warnings),
            "device": identity.device,
            "positions": settings.positions or identity.default_positions,
            "sliding_window": identity.sliding_window,
            "unsupported": {
                str(item.cell.compressor): item.reason for item in sweep.skipped if item.cell.model == label
            },
            "substitutes": _substitutes(sweep, keys, label),
            "random_weights": label in random,
        }
        for label, identity in keys.identities.items()
    }
    datasets: dict[str, DatasetInfo] = {
        block.data.name: {
            "n": len(block.data.samples),
            "size": block.data.size,
            "drawn_from": block.data.drawn_from,
            "scoring": block.data.scoring,
            "literal": block.data.literal,
            "published": block.data.published,
            "prompt_style": block.data.prompt_style,
            "whole_groups": block.data.whole_groups,
            "max_new_tokens": block.max_new_tokens,
            "fingerprint": block.data.fingerprint(),
            "judge": _judge(sweep, block.data.name),
        }
        for block in sweep.blocks
    }
    groups = {spec: group for group, specs in sweep.seed_groups.items() for spec in specs}
    compressors: dict[str, CompressorInfo] = {
        spec: {
            "name": c.name,
            "parameters": c.parameters,
            "source_hash": keys.source_hashes[spec],
            "reference": c.reference,
            "exact": c.exact,
            "seed_group": groups.get(spec),
        }
        for spec, c in sweep.compressors.items()
    }
    # Said elsewhere in the file, or where results go and not what they are.
    left_out = {"models", "random_weights", "data", "compressors", "output", "fresh", "seed", "shard"}
    left_out |= {"gates", "gate_inconclusive", "baseline", "max_regression", "scoring", "prompt_style"}
    left_out |= {"judge", "judge_model", "judge_prompts"}
    return {
        "pytest_vtc": importlib.metadata.version("pytest-vtc"),
        "seed": settings.seed,
        "models": models,
        "datasets": datasets,
        "compressors": compressors,
        "settings": {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in asdict(settings).items()
            if key not in left_out
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": _hardware(),
        "git": _git(),
        "run": {
            "started": "",
            "seconds": 0.0,
            "command": [],
            "loaded": {},
            "shard": None,
            "merged": [],
            "unread_replies": {},
        },
    }


def _judge(sweep: Sweep, dataset: str) -> JudgeInfo | None:
    choice = sweep.judge
    if choice is None or dataset not in choice.prompts:
        return None
    fingerprint = choice.prompts[dataset].fingerprint()
    return {"model": choice.model, "prompt": fingerprint, "own_words": dataset in choice.own_words}


def _substitutes(sweep: Sweep, keys: CaseKeys, model: str) -> dict[str, dict[str, str]]:
    """What each compressor that runs on a model does for want of what the model lacks; most do nothing."""
    lacking = keys.identities[model].lacking
    run = {cell.compressor for cell in sweep.cells if cell.model == model}
    found = {spec: substitutes_for(c, lacking) for spec, c in sweep.compressors.items() if spec in run}
    return {spec: substitutes for spec, substitutes in found.items() if substitutes}


def _run(bench: Bench) -> Run:
    started, seconds = bench.started()
    arguments = bench.command()
    command = [Path(arguments[0]).name, *arguments[1:]]
    shard = bench.sweep.settings.shard
    return {
        "started": started,
        "seconds": seconds,
        "command": command,
        "loaded": bench.loaded,
        "shard": None if shard is None else str(shard),
        "merged": [],
        "unread_replies": {},
    }


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # bitsandbytes is not to be had on every platform
    return found


def _hardware() -> Hardware:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "n_cpus": os.cpu_count() or 1,
        "memory_bytes": pages,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def _git() -> Git | None:
    """Commit of the folder the run was started in, and whether it had changes; None outside a repository."""
    commit = _git_says("rev-parse", "HEAD")
    return None if commit is None else {"commit": commit, "dirty": bool(_git_says("status", "--porcelain", "-uno"))}


def _git_says(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
