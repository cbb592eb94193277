"""A dataset of GQA's size: fetched, listed, loaded and drawn from in the time and memory that its benchmark allows."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pytest_vtc.datasets.gqa import Gqa

HARNESS = Path(__file__).parents[2] / "benchmarks" / "harness"
N, N_IMAGES = 132_062, 10_234


@pytest.fixture(scope="module")
def benchmark_of_it() -> Iterator[ModuleType]:
    sys.path.insert(0, str(HARNESS))
    try:
        spec = importlib.util.spec_from_file_location("large_dataset", HARNESS / "large_dataset.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(HARNESS))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "link") or sys.platform == "win32", reason="its images are one file, linked")
def test_132_062_questions_are_lean(benchmark_of_it: ModuleType, tmp_path: Path) -> None:
    benchmark_of_it.publish(tmp_path / "gqa", N, N_IMAGES)
    fetched = benchmark_of_it.in_a_process(tmp_path, "--measure", "fetch")
    assert fetched["peak_mb"] * 1024 / N < benchmark_of_it.FETCH_KB_PER_QUESTION
    assert Gqa().state(tmp_path / "home") == "fetched, 132,062 samples, 7 MB"
    loaded = benchmark_of_it.in_a_process(tmp_path, "--measure", "load")
    assert loaded["kept_mb"] * 1024 / N < benchmark_of_it.MAX_KB_PER_QUESTION
    # CPU time, but of a machine that may be busy with other tests.
    assert loaded["cpu_s"] < 3 * benchmark_of_it.MAX_LOAD_S
    state = benchmark_of_it.in_a_process(tmp_path, "--measure", "state")
    assert state["peak_mb"] < 30
