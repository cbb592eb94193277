"""Whole runs as processes of their own: for workers, and for what dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pytest_vtc.report.json_report import comparable

SUITE = "def test_accuracy(vtc_case):\n    vtc_case.measure()\n"

TRACING = """
import json, os
from pytest_vtc.engine import Engine
from pytest_vtc.store import Store

def trace(**what):
    with open("trace.jsonl", "a") as file:
        file.write(json.dumps({"worker": os.environ.get("PYTEST_XDIST_WORKER"), "pid": os.getpid()} | what) + "\\n")

run, put_many = Engine.run, Store.put_many

def traced_run(self, jobs, limit, upcoming=()):
    trace(window=[(job.sample.group, job.sample.id) for job in jobs])
    return run(self, jobs, limit, upcoming)

def traced_put_many(self, items):
    items = list(items)
    trace(stored=len(items))
    return put_many(self, items)

Engine.run, Store.put_many = traced_run, traced_put_many
"""
"""A conftest.py that notes each window that is computed and each that is stored."""

SMALL = ("--vtc-data=probes", "--vtc-compressors=divprune,identity", "--vtc-ratios=0.5")


class Suite:
    """A folder with a test suite in it."""

    def __init__(self, folder: Path, traced: bool = True) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "test_accuracy.py").write_text(SUITE)
        if traced:
            (folder / "conftest.py").write_text(TRACING)

    def command(self, *args: str) -> list[str]:
        given = {arg.split("=")[0] for arg in args}
        options = [option for option in SMALL if option.split("=")[0] not in given]
        return [sys.executable, "-m", "pytest", *options, *args]

    def run(self, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_"))}
        return subprocess.run(
            self.command(*args),
            cwd=self.folder,
            env=known | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def trace(self) -> list[dict[str, Any]]:
        """What was noted since the last call."""
        path = self.folder / "trace.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]

    def results(self, output: str = "vtc-results") -> dict[str, Any]:
        return json.loads((self.folder / output / "results.json").read_text())

    def comparable(self, output: str = "vtc-results") -> tuple[Any, list[Any]]:
        """Both files, without what may differ between two runs of the same command."""
        lines = (self.folder / output / "samples.jsonl").read_text().splitlines()
        return comparable(self.results(output)), [comparable(json.loads(line)) for line in lines]
