"""What workers of pytest-xdist are sent: whole images, everything once, also if workers die."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.distribution import ImageScheduling, holds_cases, orders_of, units_of
from pytest_vtc.schedule import WINDOW_CASES, WINDOW_IMAGES
from pytest_vtc.sweep import Sweep
from tests.test_schedule import sweep_of


class FakeConfig:
    """As much of a configuration as a scheduler reads."""

    option = None

    def __init__(self, n_workers: int) -> None:
        self._options = {"tx": ["popen"] * n_workers, "maxschedchunk": None}

    def getoption(self, name: str) -> Any:
        return self._options[name]

    getvalue = getoption


class FakeWorker:
    """A worker that runs a test once it has the next one, or knows that there is none."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.gateway = self
        self.id = name
        self.queue: list[int] = []
        self.chunks: list[list[int]] = []
        self.shutting_down = False

    def send_runtest_some(self, indices: list[int]) -> None:
        self.queue += indices
        self.chunks.append(list(indices))

    def shutdown(self) -> None:
        self.shutting_down = True

    @property
    def can_run(self) -> bool:
        return bool(self.queue) and (len(self.queue) > 1 or self.shutting_down)


def node_ids(sweep: Sweep, orders: list[int]) -> list[str]:
    """order -1: a test of others."""
    return [
        f"test_other.py::test_{i}[a/b]" if order < 0 else f"test_accuracy.py::test_accuracy[{sweep.case(order).id}]"
        for i, order in enumerate(orders)
    ]


def begin(sweep: Sweep, orders: list[int], n_workers: int) -> tuple[ImageScheduling, list[FakeWorker]]:
    ids = node_ids(sweep, orders)
    config: Any = FakeConfig(n_workers)
    scheduler = ImageScheduling(config, None, lambda: (sweep, orders_of(sweep, ids)))
    workers = [FakeWorker(f"gw{i}") for i in range(n_workers)]
    for worker in workers:
        join(scheduler, worker, ids)
    scheduler.schedule()
    return scheduler, workers


def join(scheduler: ImageScheduling, worker: Any, ids: list[str]) -> None:
    scheduler.add_node(worker)
    scheduler.add_node_collection(worker, ids)


def test_node_ids_are_found_in_the_sweep_whatever_they_hold() -> None:
    sweep = sweep_of("ab", ["c"])
    ids = node_ids(sweep, [4, -1, 0, 8])
    assert orders_of(sweep, ids).tolist() == [4, -1, 0, 8]
    assert orders_of(sweep, ["a[b]/t.py::T::test[m/data0/c1@0.5/s1]", "t.py::t[m/data0/stock/none]"]).tolist() == [
        4,
        -1,
    ]


@pytest.mark.parametrize("case_id", ["m/d/stock/s", "m/d/x(a='b/c')@0.5/s", "m/d/x@1e-05/a]b"])
def test_our_tests_are_told_at_a_glance(case_id: str) -> None:
    assert holds_cases(["t.py::other", f"t.py::t[{case_id}]"])
    assert not holds_cases(["t.py::t[a/b]", "t.py::t[user@example.org]", "t.py::t"])


def test_tests_of_others_are_units_of_their_own() -> None:
    sweep = sweep_of("aab")
    units = units_of(sweep, orders_of(sweep, node_ids(sweep, [0, 4, -1, -1, 7]))).tolist()
    assert units[0] == units[1]
    assert len({*units}) == 4


def test_all_workers_have_something_to_do_until_the_end() -> None:
    sweep = sweep_of("abcdefghijklmnopqrst")
    scheduler, workers = begin(sweep, list(range(60)), 2)
    run(scheduler, workers)
    last = [worker.chunks[-1] for worker in workers]
    assert all(len(chunk) <= 6 for chunk in last)
    assert abs(sum(map(len, workers[0].chunks)) - sum(map(len, workers[1].chunks))) <= 6


def test_chunks_are_as_large_as_a_window_at_most() -> None:
    sweep = sweep_of([f"i{i}" for i in range(400)], n_cells=30)
    scheduler, workers = begin(sweep, list(range(sweep.n_cases)), 2)
    run(scheduler, workers)
    chunks = [chunk for worker in workers for chunk in worker.chunks]
    assert max(map(len, chunks)) == 30 * min(WINDOW_IMAGES, WINDOW_CASES // 30)


def test_pending_tests_of_superfluous_cases_are_left_out_and_those_sent_are_run() -> None:
    sweep = sweep_of([f"i{i:02}" for i in range(80)])
    orders = [*range(sweep.n_cases), -1]
    scheduler, workers = begin(sweep, orders, 2)
    sent = {test for worker in workers for test in worker.queue}
    superfluous = np.arange(sweep.n_cases) % 3 == 1
    dropped = scheduler.drop(superfluous)
    assert dropped == node_ids(sweep, [order for order in range(sweep.n_cases) if superfluous[order]])[len(sent) // 3 :]
    ran = run(scheduler, workers)
    assert sorted(ran) == [test for test, order in enumerate(orders) if test in sent or order % 3 != 1 or order < 0]
    assert not scheduler.pending
    assert all(worker.shutting_down for worker in workers)


def test_chunks_of_a_run_that_may_end_any_time_are_small_at_first() -> None:
    sweep = sweep_of([f"i{i:03}" for i in range(400)])
    sweep = replace(sweep, settings=replace(sweep.settings, sequential=True))
    _, workers = begin(sweep, list(range(sweep.n_cases)), 2)
    assert all(len(chunk) <= 32 for worker in workers for chunk in worker.chunks)


def run(scheduler: ImageScheduling, workers: list[FakeWorker]) -> list[int]:
    """Run to the end, taking turns; the tests in the order in which they ran."""
    ran: list[int] = []
    while any(worker.can_run for worker in workers):
        for worker in workers:
            if worker.can_run:
                ran.append(worker.queue.pop(0))
                scheduler.mark_test_complete(worker, ran[-1])  # type: ignore[arg-type]
    return ran


groups = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=25).map(sorted)


@given(groups, st.integers(1, 4), st.integers(0, 1000))
def test_an_image_goes_to_one_worker_at_once_also_if_tests_are_shuffled_and_mixed(
    groups: list[str], n_workers: int, seed: int
) -> None:
    sweep = sweep_of(groups)
    orders = [*range(sweep.n_cases), -1, -1, -1]
    random.Random(seed).shuffle(orders)
    scheduler, workers = begin(sweep, orders, n_workers)
    run(scheduler, workers)
    homes: dict[str, set[int]] = {}
    for number, chunk in enumerate(chunk for worker in workers for chunk in worker.chunks):
        for index in chunk:
            if orders[index] >= 0:
                homes.setdefault(sweep.case(orders[index]).sample.group, set()).add(number)
    assert all(len(chunks) == 1 for chunks in homes.values())


@given(groups, st.integers(1, 4), st.integers(0, 1000))
def test_every_test_runs_once_whoever_dies(groups: list[str], n_workers: int, seed: int) -> None:
    chance = random.Random(seed)
    sweep = sweep_of(groups)
    orders = [order for order in [*range(sweep.n_cases), -1, -1, -1] if chance.random() < 0.7]
    ids = node_ids(sweep, orders)
    scheduler, workers = begin(sweep, orders, n_workers)
    ran: list[int] = []
    while ready := [worker for worker in workers if worker.can_run]:
        worker: Any = chance.choice(ready)
        if chance.random() < 0.1:
            crashed = scheduler.remove_node(worker)
            assert crashed == ids[worker.queue[0]]
            scheduler.mark_test_pending(crashed)
            workers.remove(worker)
            workers.append(FakeWorker(f"{worker.name}'"))
            join(scheduler, workers[-1], ids)
            scheduler.schedule()
        else:
            ran.append(worker.queue.pop(0))
            scheduler.mark_test_complete(worker, ran[-1])
    assert sorted(ran) == list(range(len(orders)))
    assert not scheduler.pending
    assert not any(scheduler.node2pending.values())
