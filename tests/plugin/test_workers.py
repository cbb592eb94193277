"""Under pytest-xdist: same results, whole images, one writer."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.plugin.sessions import Suite

GATE = "--vtc-gate=*@0.5: max_drop=100"
pytestmark = pytest.mark.slow  # each run starts three processes


@dataclass
class Together:
    """One run by one process and the same by two workers."""

    suite: Suite
    alone: subprocess.CompletedProcess[str]
    together: subprocess.CompletedProcess[str]
    trace: list[dict[str, Any]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Together:
    suite = Suite(tmp_path_factory.mktemp("workers"))
    alone = suite.run("--vtc-n=24", GATE, "--vtc-output=alone")
    suite.trace()
    together = suite.run("--vtc-n=24", GATE, "--vtc-output=together", "-n2")
    return Together(suite, alone, together, suite.trace())


def test_two_workers_give_the_results_of_one_process(runs: Together) -> None:
    assert (runs.alone.returncode, runs.together.returncode) == (0, 0), runs.together.stdout
    assert runs.suite.comparable("together") == runs.suite.comparable("alone")


def test_cases_keep_their_places_in_the_sweep(runs: Together) -> None:
    def orders(output: str) -> list[int]:
        lines = (runs.suite.folder / output / "samples.jsonl").read_text().splitlines()
        return [json.loads(line)["run"]["order"] for line in lines]

    assert orders("together") == orders("alone") == list(range(24 * 3))


def test_the_command_is_that_of_the_controller(runs: Together) -> None:
    command = runs.suite.results("together")["manifest"]["run"]["command"]
    assert command[1:] == runs.suite.command("--vtc-n=24", GATE, "--vtc-output=together", "-n2")[3:]


def test_windows_are_whole_images(runs: Together) -> None:
    windows = [entry["window"] for entry in runs.trace if "window" in entry]
    images = [{group for group, _ in window} for window in windows]
    assert sum(map(len, windows)) == 24 * 3
    assert sum(map(len, images)) == len(set().union(*images))
    assert len({entry["worker"] for entry in runs.trace if "window" in entry}) == 2


def test_the_controller_is_the_only_writer(runs: Together) -> None:
    writers = {entry["worker"] for entry in runs.trace if "stored" in entry}
    assert writers == {None}
    assert sum(entry["stored"] for entry in runs.trace if "stored" in entry) == 24 * 3


def test_the_header_is_that_of_one_process(runs: Together) -> None:
    for line in ("vtc: tiny-gemma4 on probes: 24 of 7,260 samples, 3 cells", "vtc: compressors divprune, identity;"):
        assert line in runs.together.stdout


def test_nothing_of_the_workers_is_left_behind(runs: Together) -> None:
    files = sorted(path.name for path in (runs.suite.folder / "together").iterdir())
    assert files == ["measurements.sqlite", "results.json", "samples.jsonl"]


def test_what_is_stored_is_not_computed_by_workers_either(runs: Together) -> None:
    runs.suite.trace()
    again = runs.suite.run("--vtc-n=24", GATE, "--vtc-output=together", "-n2")
    assert again.returncode == 0
    assert runs.suite.trace() == []
    assert {cell["run"]["n_cached"] for cell in runs.suite.results("together")["cells"]} == {24}


def test_partners_come_along_under_k(runs: Together) -> None:
    result = runs.suite.run("--vtc-n=24", "--vtc-output=selected", "-n2", "-k", "divprune")
    assert "vtc: 24 stock partners come along" in result.stdout
    cells = runs.suite.results("selected")["cells"]
    assert {cell["variant"]: cell["n_measured"] for cell in cells} == {"stock": 24, "divprune@0.5": 24}
    assert sum(len(entry.get("window", ())) for entry in runs.suite.trace()) == 48


FLAKY = """
import pathlib
import torch
from pytest_vtc.compression import Compressor

class Flaky(Compressor):
    name = "flaky"
    description = "raises while a file called broken exists"
    def compress(self, features, n_target, **ctx):
        if pathlib.Path("broken").exists():
            raise RuntimeError("no luck with this image")
        return torch.arange(n_target)
"""


def test_x_stops_and_lf_runs_what_failed(tmp_path: Any) -> None:
    suite = Suite(tmp_path)
    (tmp_path / "flaky.py").write_text(FLAKY)
    (tmp_path / "broken").touch()
    args = ("--vtc-n=12", "--vtc-compressors=identity,./flaky.py", "-n2")
    stopped = suite.run(*args, "-x", "--vtc-gate=identity@0.5: max_drop=100")
    assert stopped.returncode != 0
    assert "the run was interrupted" in stopped.stdout
    assert "1 failed" in stopped.stdout or "2 failed" in stopped.stdout
    assert "12 failed" in suite.run(*args).stdout
    (tmp_path / "broken").unlink()
    again = suite.run(*args, "--lf")
    assert again.returncode == 0, again.stdout
    assert suite.results()["cells"][-1]["n_measured"] == 12


def test_other_tests_run_beside_cases(tmp_path: Any) -> None:
    suite = Suite(tmp_path)
    (tmp_path / "test_others.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', range(40))\ndef test_it(x): pass\n"
    )
    result = suite.run("--vtc-n=12", "-n2")
    assert result.returncode == 0
    assert "40 passed" in result.stdout
    assert [cell["n_measured"] for cell in suite.results()["cells"]] == [12, 12, 12]


@pytest.mark.parametrize("dist", ["worksteal", "loadscope"])
def test_other_schedulers_are_left_alone_and_give_the_same_results(runs: Together, dist: str) -> None:
    result = runs.suite.run("--vtc-n=24", GATE, f"--vtc-output={dist}", "-n2", f"--dist={dist}")
    assert result.returncode == 0
    assert runs.suite.comparable(dist) == runs.suite.comparable("alone")


def test_a_suite_without_cases_is_scheduled_as_ever(tmp_path: Any) -> None:
    suite = Suite(tmp_path, traced=False)
    (tmp_path / "test_accuracy.py").write_text("import sys\ndef test_it(): assert 'torch' not in sys.modules\n")
    result = suite.run("-n2", "-v")
    assert result.returncode == 0
    assert "vtc:" not in result.stdout
