"""A process that dies: the right case is named, its neighbours are measured, a healthy run that is killed goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.in_flight import FOLDER
from tests.plugin.sessions import Suite

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")

KILLER = """
import os, signal
import torch
from pytest_vtc.compression import Compressor

class Killer(Compressor):
    name = "killer"
    description = "kills its process at one question"
    needs = frozenset({"text"})
    def compress(self, features, n_target, text, **ctx):
        mark = f"{float(features.sum()):.3f} {float(text.sum()):.3f}"
        if os.environ.get("KILL_AT") is None:
            open("marks", "a").write(mark + "\\n")
        elif os.environ["KILL_AT"] == mark:
            HOW
        return torch.arange(n_target)
"""


class Deadly(Suite):
    """A suite in which one of 12 cases of a compressor kills its process. args: of every run of it."""

    args = ("--vtc-n=12", "--vtc-compressors=identity,./killer.py")

    def __init__(self, folder: Path, how: str = "os.kill(os.getpid(), signal.SIGKILL)") -> None:
        super().__init__(folder)
        (folder / "killer.py").write_text(KILLER.replace("HOW", how))
        self.run(*self.args, "--vtc-output=harmless")
        marks = (folder / "marks").read_text().splitlines()
        assert len({*marks}) == 12
        self.environment = {"KILL_AT": marks[6]}
        lines = [line for line in self.comparable("harmless")[1] if line["cell"].endswith("killer@0.5")]
        self.case = f"killer@0.5/{lines[6]['sample']}"
        self.trace()

    def check(self) -> None:
        """One error, of the right case, and everything else as it is where nothing dies."""
        results = self.results()
        assert [(e["cell"].rsplit("/", 1)[1] + "/" + e["sample"]) for e in results["errors"]] == [self.case]
        assert results["errors"][0]["message"].startswith("the process died while this case was computed alone")
        assert not results["interrupted"]
        lines = [
            line
            for line in self.comparable("harmless")[1]
            if not f"{line['cell']}/{line['sample']}".endswith(self.case)
        ]
        assert self.comparable()[1] == lines


@pytest.mark.slow
@pytest.mark.parametrize("how", ["os.kill(os.getpid(), signal.SIGKILL)", "os._exit(3)"])
def test_under_workers_the_case_that_kills_is_found_in_one_run(tmp_path: Path, how: str) -> None:
    suite = Deadly(tmp_path, how)
    result = suite.run(*suite.args, "-n2", **suite.environment)
    assert result.returncode == 1
    assert "1 failed" in result.stdout
    suite.check()
    assert ("signal SIGKILL" if "SIGKILL" in how else "exit code 3") in suite.results()["errors"][0]["message"]


@pytest.mark.slow
def test_without_workers_the_same_command_again_finds_it(tmp_path: Path) -> None:
    """By its window, by its image, twice alone, and then it is known; a run after that tries it again."""
    suite = Deadly(tmp_path)
    codes = [suite.run(*suite.args, **suite.environment).returncode for _ in range(6)]
    assert codes == [*[-signal.SIGKILL] * 4, 1, -signal.SIGKILL]
    suite.check()
    assert suite.run(*suite.args, **suite.environment).returncode == 1
    assert suite.run(*suite.args, KILL_AT="nothing").returncode == 0
    assert suite.comparable() == suite.comparable("harmless")
    assert not (tmp_path / "vtc-results" / FOLDER).exists()


@pytest.mark.slow
def test_a_suspect_is_alone_only_where_it_must_be(tmp_path: Path) -> None:
    suite = Deadly(tmp_path)
    sizes: list[list[int]] = []
    for _ in range(4):
        suite.run(*suite.args, **suite.environment)
        sizes.append([len(entry["window"]) for entry in suite.trace() if "window" in entry])
    n_images = len({line["group"] for line in suite.comparable("harmless")[1]})
    assert sizes[0] == [36]
    assert 1 <= len(sizes[1]) <= n_images
    assert min(sizes[1]) > 1
    assert {*sizes[2]} == {1}
    assert len(sizes[2]) <= max(sizes[1])


@pytest.mark.slow
def test_two_cases_that_kill_do_not_keep_each_other_from_being_named(tmp_path: Path) -> None:
    suite = Deadly(tmp_path)
    marks = (tmp_path / "marks").read_text().splitlines()
    source = (tmp_path / "killer.py").read_text()
    (tmp_path / "killer.py").write_text(
        source.replace('os.environ["KILL_AT"] == mark', 'mark in os.environ["KILL_AT"]')
    )
    for _ in range(8):
        result = suite.run(*suite.args, KILL_AT=f"{marks[6]} and {marks[7]}")
        if result.returncode == 1:
            break
    assert len(suite.results()["errors"]) == 2


@pytest.mark.slow
def test_when_no_worker_may_be_replaced_the_run_is_interrupted_and_fails(tmp_path: Path) -> None:
    suite = Deadly(tmp_path)
    result = suite.run(*suite.args, "-n2", "--max-worker-restart=0", **suite.environment)
    assert result.returncode == 1
    assert "no worker is started in its place (--max-worker-restart)" in result.stdout
    if (tmp_path / "vtc-results" / "results.json").exists():
        assert suite.results()["interrupted"]


@pytest.mark.slow
def test_a_death_outside_any_window_is_tried_once_more_and_then_named(tmp_path: Path) -> None:
    suite = Suite(tmp_path)
    (tmp_path / "test_accuracy.py").write_text(
        "import os\ndef test_accuracy(vtc_case):\n    vtc_case.measure()\n"
        "    if vtc_case.cell.variant == 'identity@0.5' and vtc_case.sample.id.endswith('count'): os._exit(7)\n"
    )
    result = suite.run("--vtc-n=4", "-n2")
    assert result.returncode == 1
    assert "1 failed" in result.stdout
    assert "crashed while running 'test_accuracy.py::test_accuracy[tiny-gemma4/probes/identity@0.5/" in result.stdout
    (error,) = suite.results()["errors"]
    assert error["cell"].endswith("identity@0.5")
    assert error["sample"].endswith("count")


def _workers_of(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = path.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(parent) == pid:
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers through /proc")
def test_five_runs_with_a_worker_killed_at_random_are_complete_and_equal(tmp_path: Path) -> None:
    suite = Suite(tmp_path, traced=False)
    args = ("-q", "--vtc-n=300", "--vtc-compressors=divprune,identity,random")
    assert suite.run(*args, "--vtc-output=whole").returncode == 0
    moments = random.Random(0)
    for number in range(5):
        output = f"killed{number}"
        process = subprocess.Popen(
            suite.command(*args, f"--vtc-output={output}", "-n2"),
            cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        store: Any = tmp_path / output / "measurements.sqlite-wal"
        while process.poll() is None and (not store.exists() or store.stat().st_size < 20_000):
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 1))
        assert process.poll() is None, "the run ended before a worker was killed: make it longer"
        os.kill(moments.choice(_workers_of(process.pid)), signal.SIGKILL)
        said, _ = process.communicate()
        assert process.returncode == 0, said
        assert "node down" in said
        assert suite.comparable(output) == suite.comparable("whole")
        assert not (tmp_path / output / FOLDER).exists()
