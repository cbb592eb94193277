"""What a worker process of pytest-xdist knows: its name, its device, and what its queue holds."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from pytest_vtc.recorder import is_case
from pytest_vtc.schedule import WINDOW_CASES, Schedule
from pytest_vtc.worker_slot import SLOT, worker_name

_PATIENCE_SECONDS = 0.05


def device_of(slot: int, n_devices: int) -> str | None:
    """Workers take the devices in turn; None without any."""
    return f"cuda:{slot % n_devices}" if n_devices else None


class Worker:
    """One of several processes that share a run."""

    def __init__(self, config: pytest.Config, session: pytest.Session, workerinput: Mapping[str, Any]) -> None:
        self._config, self._session = config, session
        self.name = worker_name(workerinput)
        self._slot = int(workerinput.get(SLOT, 0))
        self._n_workers = int(workerinput["workercount"])

    @classmethod
    def of(cls, config: pytest.Config, session: pytest.Session) -> Worker | None:
        """None in a process that is no worker."""
        workerinput: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        return None if workerinput is None else cls(config, session, workerinput)

    def claim_device(self) -> str | None:
        """This worker's device. Without GPUs None, and the processor's cores are shared out among the workers."""
        device = device_of(self._slot, torch.cuda.device_count())
        if device is None:
            torch.set_num_threads(max(1, min(torch.get_num_threads(), (os.cpu_count() or 1) // self._n_workers)))
        return device

    def queue(self, schedule: Schedule) -> list[int]:
        """The cases this worker is going to run after the present one, images whole as far as they are to be had."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            orders = self._look()
            # Work comes in whole images, but it may still be arriving.
            if not orders or {*schedule.of_image(orders[-1]).tolist()} <= {*orders} or time.monotonic() > deadline:
                return orders
            time.sleep(0.001)

    def _look(self) -> list[int]:
        plugins = self._config.pluginmanager.get_plugins()
        runner = next((p for p in plugins if hasattr(p, "torun") and hasattr(p, "nextitem_index")), None)
        if runner is None or not hasattr(runner.torun, "lock"):
            return []  # an xdist without that queue: cases are computed one by one
        with runner.torun.lock() as queue:
            indices = [runner.nextitem_index, *itertools.islice(queue, 4 * WINDOW_CASES)]
        items = (self._session.items[index] for index in indices if isinstance(index, int))
        return [item.order for item in items if is_case(item)]  # type: ignore[attr-defined]
