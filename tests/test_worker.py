"""What a worker takes for its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pytest_vtc.schedule import Schedule
from pytest_vtc.worker import Worker, device_of
from tests.test_schedule import sweep_of

INPUT = {"testrunuid": "run", "workerid": "gw5", "workercount": 2, "vtc_slot": 1}


def test_workers_take_the_devices_in_turn() -> None:
    assert [device_of(slot, 2) for slot in range(3)] == ["cuda:0", "cuda:1", "cuda:0"]
    assert device_of(0, 0) is None


def test_without_gpus_workers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for n_workers in (2, 16):
        nobody: Any = None
        assert Worker(nobody, nobody, INPUT | {"workercount": n_workers}).claim_device() is None
    assert used == [4, 1]


def _worker(queue: list[Any], schedule_orders: list[int]) -> Worker:
    class Queue:
        def lock(self) -> Any:
            import contextlib

            return contextlib.nullcontext(queue)

    items = [SimpleNamespace(is_vtc_case=True, order=order) for order in schedule_orders]
    runner = SimpleNamespace(torun=Queue(), nextitem_index=1)
    config: Any = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugins=lambda: [object(), runner]))
    session: Any = SimpleNamespace(items=[*items, SimpleNamespace()])
    return Worker(config, session, INPUT)


def test_a_worker_sees_the_cases_in_its_queue_and_nothing_else() -> None:
    schedule = Schedule(sweep_of("aabb"), range(12))
    worker = _worker([2, 3, 4, 5, 12, "shut down"], list(range(12)))
    assert worker.queue(schedule) == [1, 2, 3, 4, 5]


def test_an_image_that_never_comes_whole_does_not_hold_a_worker_up() -> None:
    schedule = Schedule(sweep_of("aabb"), range(12))
    assert _worker([2, 3], list(range(12))).queue(schedule) == [1, 2, 3]
