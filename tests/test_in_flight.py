"""Markers of what is being computed, and what is made of those that dead processes leave."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_vtc.cells import Generation
from pytest_vtc.in_flight import (
    FOLDER,
    Company,
    InFlight,
    InFlightError,
    Marker,
    birth,
    bury_dead,
    bury_worker,
    describe_suspects,
    prune,
    settle_all,
)
from pytest_vtc.store import Store

SEVEN = Generation("7", 64, 32, 32, 4096, 2, "compact", False, False, 0.01)


Die = Callable[..., None]


@pytest.fixture(scope="session")
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-S", "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def die_computing(tmp_path: Path, dead_pid: int) -> Die:
    """Leave what a process leaves that is killed while it computes these cases."""

    def die(name: str, keys: list[str], company: Company = Company.WINDOW) -> None:
        marker = Marker(platform.node(), dead_pid, "1", company, tuple(keys))
        marker.write(tmp_path / FOLDER / f"{name}.json")

    return die


def test_a_marker_stands_as_long_as_its_cases_are_computed(tmp_path: Path) -> None:
    mine = InFlight(tmp_path, "mine")
    with mine.computing(["a", "b"], Company.WINDOW):
        marker = json.loads((tmp_path / FOLDER / "mine.json").read_text())
        assert (marker["pid"], marker["keys"], marker["company"]) == (os.getpid(), ["a", "b"], 0)
    assert not list((tmp_path / FOLDER).iterdir())


def test_an_exception_is_no_death(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), InFlight(tmp_path, "mine").computing(["a"], Company.WINDOW):
        raise KeyboardInterrupt
    assert not list((tmp_path / FOLDER).iterdir())


def test_each_death_leaves_a_case_less_company(tmp_path: Path, die_computing: Die) -> None:
    mine = InFlight(tmp_path, "mine")
    for company in (Company.WINDOW, Company.IMAGE, Company.ALONE, Company.AGAIN):
        assert mine.company("a") == company
        die_computing(f"dead{company}", ["a"], company)
        bury_dead(tmp_path)
        mine.refresh()
    assert mine.company("a") == Company.NONE
    assert mine.company("b") == Company.WINDOW


@pytest.mark.skipif(not birth(os.getpid()), reason="needs a system that says when a process started")
def test_the_marker_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    with InFlight(tmp_path, "mine").computing(["a"], Company.WINDOW):
        path = tmp_path / FOLDER / "mine.json"
        marker = json.loads(path.read_text())
        path.write_text(json.dumps(marker | {"pid": os.getppid(), "birth": birth(os.getppid())}))
        bury_dead(tmp_path)
        assert [p.name for p in path.parent.iterdir()] == ["mine.json"]
        path.write_text(json.dumps(marker | {"pid": os.getppid(), "birth": "another process of this number"}))
        bury_dead(tmp_path)
        assert [p.name for p in path.parent.iterdir()] == ["mine.dead.json"]


def test_a_dead_worker_is_known_by_its_name(tmp_path: Path, die_computing: Die) -> None:
    die_computing("run-gw1", ["a"], Company.ALONE)  # seen to die: once is enough
    assert not bury_worker(tmp_path, "run-gw0", "signal SIGKILL")
    assert bury_worker(tmp_path, "run-gw1", "signal SIGKILL")
    mine = InFlight(tmp_path, "mine")
    mine.refresh()
    assert mine.company("a") == Company.NONE
    assert mine.report("a") == "signal SIGKILL"
    settle_all(tmp_path)  # whatever became of the worker that reported it
    mine.refresh()
    assert mine.company("a") == Company.AGAIN


def test_a_reported_case_is_tried_again_alone_by_the_run_after(tmp_path: Path, die_computing: Die) -> None:
    die_computing("dead", ["a"], Company.AGAIN)
    bury_dead(tmp_path)
    mine = InFlight(tmp_path, "mine")
    mine.refresh()
    mine.report("a")
    mine.refresh()
    assert mine.company("a") == Company.NONE
    mine.settle()
    mine.refresh()
    assert mine.company("a") == Company.AGAIN


def test_what_has_been_measured_after_all_is_no_suspect(tmp_path: Path, die_computing: Die) -> None:
    die_computing("dead", ["a", "b"])
    bury_dead(tmp_path)
    mine = InFlight(tmp_path, "mine")
    with Store(tmp_path / "store.sqlite") as store:
        store.put_many([("a", SEVEN)])
        prune(tmp_path, store)
        mine.refresh()
        assert (mine.company("a"), mine.company("b")) == (Company.WINDOW, Company.IMAGE)
        store.put_many([("b", SEVEN)])
        prune(tmp_path, store)
    assert not (tmp_path / FOLDER).exists()


def test_a_run_says_how_many_cases_an_earlier_one_died_of(tmp_path: Path, die_computing: Die) -> None:
    assert describe_suspects(tmp_path) == []
    die_computing("one", ["a", "b"])
    die_computing("two", ["b", "c"])
    bury_dead(tmp_path)
    (line,) = describe_suspects(tmp_path)
    assert "an earlier run died while it computed 3 cases; they are computed in smaller company" in line


def test_a_broken_marker_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "x.dead.json").write_text("{}")
    with pytest.raises(InFlightError, match=r"x\.dead\.json .*delete it"):
        InFlight(tmp_path, "mine").refresh()
