"""Whole runs of every family: table and files, from checkpoint folders as users give them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.report.json_report import SCHEMA
from tests.families.checkpoints import NEEDS_TIMM, NEEDS_TORCHVISION, VARIANTS
from tests.plugin.conftest import RunVtc

WITHOUT_MORE_PACKAGES = sorted(VARIANTS.keys() - NEEDS_TIMM - NEEDS_TORCHVISION)
SWEEP = (
    "--vtc-n=3",
    "--vtc-compressors=divprune,pool,downsample,random",
    "--vtc-ratios=0.5,0.25",
    "--vtc-random-seeds=1",
)


def check(results: dict[str, Any], label: str) -> None:
    """Every cell of a model is measured or says why not, and less was kept where less was asked."""
    cells = {cell["variant"]: cell for cell in results["cells"] if cell["model"] == label}
    kept = {entry["cell"]: entry["tokens_kept"] for entry in results["budget"]}
    skipped = {cell["variant"]: cell["reason"] for cell in results["skipped"] if cell["model"] == label}
    assert {cell["n_measured"] for cell in cells.values()} == {3}
    assert len(cells) + len(skipped) == 1 + 4 * 2
    assert {*skipped} in (set(), {"downsample@0.5", "downsample@0.25"})
    assert all(skipped.values())
    for compressor in {cell["compressor"] for cell in cells.values()} - {None}:
        half, quarter = (kept[f"{label}/probes/{compressor}@{ratio}"] for ratio in ("0.5", "0.25"))
        assert quarter < half < kept[f"{label}/probes/stock"]


@pytest.mark.slow
def test_a_sweep_over_every_family_ends_with_table_and_json(
    run_vtc: RunVtc, results: Any, checkpoint: Callable[[str], Path]
) -> None:
    folders = [str(checkpoint(name)) for name in WITHOUT_MORE_PACKAGES]
    result = run_vtc(f"--vtc-model={','.join(folders)}", *SWEEP, subprocess=True)
    print("\n".join(result.outlines))
    assert result.ret == 0
    document = results()
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    for folder in map(Path, folders):
        check(document, folder.name)
        result.stdout.fnmatch_lines([f"{folder.name} on probes*"])
