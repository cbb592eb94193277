"""Nothing finished is lost or computed twice."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.report.json_report import comparable
from tests.plugin.conftest import SUITE, RunVtc

COUNTING = """
import pathlib
import torch
from pytest_vtc.compression import Compressor

class Counting(Compressor):
    name = "counting"
    description = "leaves a trace each time it is called"
    def compress(self, features, n_target, **ctx):
        trace = pathlib.Path("trace")
        trace.write_text((trace.read_text() if trace.exists() else "") + "x")
        return torch.arange(n_target)
"""


def _cached(results: Any) -> dict[str, int]:
    return {cell["variant"]: cell["run"]["n_cached"] for cell in results()["cells"]}


def test_the_same_command_again_is_answered_from_the_store(run_vtc: RunVtc, results: Any, samples: Any) -> None:
    run_vtc()
    first, first_samples = results(), samples()
    assert set(_cached(results).values()) == {0}
    run_vtc()
    assert set(_cached(results).values()) == {4}
    assert comparable(results()) == comparable(first)
    assert comparable(samples()) == comparable(first_samples)


def test_the_bytes_of_the_cache_are_measured_stored_and_summed_up(run_vtc: RunVtc, results: Any, samples: Any) -> None:
    for _ in range(2):  # computed, and from the store
        run_vtc("--vtc-compressors=identity")
        stock, half = (
            [line["kv_bytes"] for line in samples() if variant in line["cell"]] for variant in ("stock", "@")
        )
        saved = {one - other for one, other in zip(stock, half, strict=True)}
        assert len(saved) == 1  # the same tokens less of every prompt, however long
        assert 0 < saved.pop() < min(stock)
        assert [entry["kv_bytes"] for entry in results()["budget"]] == [sum(stock) / 4, sum(half) / 4]
        assert [entry["kv_bytes_share"] for entry in results()["budget"]] == [1.0, sum(half) / sum(stock)]


def test_a_cached_case_says_so(run_vtc: RunVtc) -> None:
    run_vtc("--vtc-n=1")
    run_vtc("--vtc-n=1", "-v").stdout.re_match_lines([r".*stock.*(CORRECT|WRONG) \(cached\)"])


def test_fresh_ignores_the_store(run_vtc: RunVtc, results: Any) -> None:
    run_vtc()
    run_vtc("--vtc-fresh")
    assert set(_cached(results).values()) == {0}


@pytest.mark.parametrize("change", ["--vtc-positions=original", "--vtc-max-new-tokens=3", "--vtc-dtype=bfloat16"])
def test_a_setting_that_can_change_answers_is_part_of_the_key(run_vtc: RunVtc, results: Any, change: str) -> None:
    run_vtc()
    run_vtc(change)
    assert set(_cached(results).values()) == {0}


def test_a_larger_sweep_takes_over_what_a_smaller_one_measured(run_vtc: RunVtc, results: Any) -> None:
    run_vtc("--vtc-compressors=identity")
    run_vtc("--vtc-compressors=identity,fps", "--vtc-ratios=0.5,0.25", "--vtc-n=6")
    assert _cached(results) == {"stock": 4, "identity@0.5": 4, "identity@0.25": 0, "fps@0.5": 0, "fps@0.25": 0}


def test_editing_a_compressor_measures_its_cells_again_and_no_others(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    file = pytester.makepyfile(counting=COUNTING)
    command = ("--vtc-compressors=identity,./counting.py",)
    run_vtc(*command)
    file.write_text(file.read_text() + "\n# another version\n")
    run_vtc(*command)
    assert _cached(results) == {"stock": 4, "identity@0.5": 4, "counting@0.5": 0}


def test_a_replaced_image_is_measured_again(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any, manifest: Path
) -> None:
    from PIL import Image

    run_vtc(f"--vtc-data={manifest}", "--vtc-n=all")
    Image.new("RGB", (64, 64), "white").save(manifest.parent / "scene.png")
    run_vtc(f"--vtc-data={manifest}", "--vtc-n=all")
    assert set(_cached(results).values()) == {0}


def test_a_damaged_store_is_refused_before_anything_runs(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    folder = pytester.mkdir("vtc-results")
    (folder / "measurements.sqlite").write_bytes(b"this is not a database" * 100)
    result = run_vtc()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*measurements.sqlite is no store or a damaged one*delete it*"])


def test_an_output_folder_that_cannot_be_made_is_refused(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    (pytester.path / "taken").write_text("a file")
    result = run_vtc("--vtc-output=taken/results")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*cannot make the output folder taken/results*--vtc-output*"])


def test_a_full_disk_ends_the_run_and_keeps_what_was_stored(
    run_vtc: RunVtc, monkeypatch: pytest.MonkeyPatch, results: Any
) -> None:
    from pytest_vtc.store import Store, StoreError

    run_vtc("--vtc-compressors=identity")

    def full(self: Store, items: Any) -> None:
        raise StoreError(f"cannot store in {self.path} (database or disk is full); make room")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_many", full)
        result = run_vtc("--vtc-compressors=identity,fps")
    assert result.ret == 1
    assert "database or disk is full" in result.stdout.str() + result.stderr.str()
    run_vtc("--vtc-compressors=identity")
    assert set(_cached(results).values()) == {4}


@pytest.mark.slow
def test_a_run_killed_five_times_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    """kill -9 at random moments after the first window, then finish: same results.json apart from times."""
    (tmp_path / "test_accuracy.py").write_text(SUITE)

    def command(output: str) -> list[str]:
        options = ["--vtc-n=300", "--vtc-compressors=divprune,identity,random", f"--vtc-output={output}"]
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_accuracy.py", *options]

    subprocess.run(command("whole"), cwd=tmp_path, check=True, capture_output=True)
    moments = random.Random(0)
    killed = 0
    store = tmp_path / "killed" / "measurements.sqlite-wal"
    while killed < 5:
        size = store.stat().st_size if store.exists() else 0
        process = subprocess.Popen(command("killed"), cwd=tmp_path, stdout=subprocess.DEVNULL)
        while process.poll() is None and (not store.exists() or store.stat().st_size <= size):
            time.sleep(0.05)
        time.sleep(moments.uniform(0, 0.6))
        assert process.poll() is None, "the run ended before it was killed: make it longer"
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
    assert not (tmp_path / "killed" / "results.json").exists()
    subprocess.run(command("killed"), cwd=tmp_path, check=True, capture_output=True)
    import json

    whole, resumed = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("whole", "killed"))
    assert sum(cell["run"]["n_cached"] for cell in resumed["cells"]) > 0
    assert comparable(resumed) == comparable(whole)
    lines = [(tmp_path / name / "samples.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    assert [comparable(json.loads(line)) for line in lines[0]] == [comparable(json.loads(line)) for line in lines[1]]
