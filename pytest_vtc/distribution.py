"""How cases are dealt out to the workers of pytest-xdist: in whole images. Imported only where xdist is installed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from xdist.scheduler import LoadScheduling
from xdist.workermanage import WorkerController

from pytest_vtc.schedule import WINDOW_CASES, WINDOW_IMAGES, cautious_window, image_numbers
from pytest_vtc.sweep import Sweep

_LOOKS_LIKE_A_CASE = re.compile(r"\[.*(/stock|@[\d.e+-]+)/.*\]$", re.DOTALL)


def holds_cases(node_ids: Iterable[str]) -> bool:
    """Whether ours may be among these tests; cheap, and right about every test of ours."""
    return any(_LOOKS_LIKE_A_CASE.search(node_id) for node_id in node_ids)


def orders_of(sweep: Sweep, node_ids: Sequence[str]) -> NDArray[np.int64]:
    """For each node id the place of its case in the sweep, or -1 for a test of others."""
    cells = {cell.id: (block, rank) for block in sweep.blocks for rank, cell in enumerate(block.cells)}
    rows = {
        data.name: {sample.id: row for row, sample in enumerate(data.samples)}
        for data in {block.data.name: block.data for block in sweep.blocks}.values()
    }

    def order(case_id: str) -> int:
        # Names may hold slashes: the cell is whichever beginning is one.
        for slash in re.finditer("/", case_id):
            found = cells.get(case_id[: slash.start()])
            if found is not None:
                block, rank = found
                row = rows[block.data.name].get(case_id[slash.end() :])
                if row is not None:
                    return block.start + row * len(block.cells) + rank
        return -1

    def search(node_id: str) -> int:
        brackets = re.finditer(r"\[", node_id) if node_id.endswith("]") else ()
        return next((found for b in brackets if (found := order(node_id[b.end() : -1])) >= 0), -1)

    return np.fromiter(map(search, node_ids), dtype=np.int64, count=len(node_ids))


def units_of(sweep: Sweep, orders: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each test: equal for cases of one model, dataset and image, different for all others."""
    units = np.arange(len(orders), dtype=np.int64) + sweep.n_cases
    for block in sweep.blocks:
        mine = (orders >= block.start) & (orders < block.stop)
        images = image_numbers(block.data.samples)
        units[mine] = block.start + images[(orders[mine] - block.start) // len(block.cells)]
    return units


class ImageScheduling(LoadScheduling):
    """`--dist load`, but what is sent to a worker at once is whole images, of which it makes one window.

    A worker gets its next images as it runs the first test of its last ones, so that it never waits; and fewer of them
    towards the end, so that all workers have something to do until then. In a session without cases it is
    `--dist load`, unchanged. plan: the sweep and the place in it of each test, by `orders_of`; None without cases.
    """

    def __init__(
        self,
        config: pytest.Config,
        log: Any,
        plan: Callable[[], tuple[Sweep, NDArray[np.int64]] | None],
    ) -> None:
        super().__init__(config, log)
        self._plan = plan
        self._units: NDArray[np.int64] | None = None
        self._foreign: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._last_sent: dict[WorkerController, int] = {}
        self._orders: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._sequential = False

    def schedule(self) -> None:
        plan = self._plan() if self.collection is None else None
        if plan is None:
            super().schedule()
            return
        if not self._check_nodes_have_same_collection():
            return  # which has been reported
        sweep, orders = plan
        self.collection = next(iter(self.node2collection.values()))
        self._orders, self._foreign, self._sequential = orders, orders < 0, sweep.settings.sequential
        self._units = units_of(sweep, orders)
        # By image in order of appearance, also where a plugin has shuffled the tests.
        _, first_seen, unit = np.unique(self._units, return_index=True, return_inverse=True)
        self.pending[:] = np.argsort(first_seen[unit], kind="stable").tolist()
        for node in self.nodes:
            self.check_schedule(node)

    def check_schedule(self, node: WorkerController, duration: float = 0) -> None:
        if self._units is None:
            super().check_schedule(node, duration)
            return
        if node.shutting_down:
            return
        # A worker runs a test only when it has another one, or knows that there is none.
        while self.pending and len(self.node2pending[node]) < max(2, self._last_sent.get(node, 0)):
            self._last_sent[node] = n = self._chunk()
            self._send_tests(node, n)
        if not self.pending and len(self.node2pending[node]) < 2:
            node.shutdown()

    def remove_node(self, node: WorkerController) -> str | None:
        if self._units is None:
            return super().remove_node(node)
        left = self.node2pending.pop(node)
        self._last_sent.pop(node, None)
        if not left:
            return None
        assert self.collection is not None
        # To the front and not to the end: with the crashed test, if it is put back, the images are whole again.
        self.pending[:0] = left[1:]
        return self.collection[left[0]]

    def drop(self, superfluous: NDArray[np.bool_]) -> list[str]:
        """Leave out the pending tests of cases that are marked, [n_cases]; their node ids. Those sent already run."""
        if self.collection is None or self._units is None:
            return []
        gone = [test for test in self.pending if self._orders[test] >= 0 and superfluous[self._orders[test]]]
        dropped = {*gone}
        self.pending[:] = [test for test in self.pending if test not in dropped]
        return [self.collection[test] for test in gone]

    def _chunk(self) -> int:
        """How many of the pending tests to send next."""
        assert self._units is not None
        fair = -(-len(self.pending) // (2 * len(self.node2pending)))
        most = min(fair, WINDOW_CASES, self.maxschedchunk or WINDOW_CASES)
        if self._sequential:
            done = len(self._orders) - len(self.pending)
            most = min(most, cautious_window(done) // len(self.node2pending))
        n = images = 0
        while n < len(self.pending) and images < WINDOW_IMAGES:
            size = self._size(n)
            if n and n + size > most:
                break
            images += int(not self._foreign[self.pending[n]])
            n += size
        return n

    def _size(self, start: int) -> int:
        """How many tests the image has that is next in the pending tests from `start` on."""
        assert self._units is not None
        unit = self._units[self.pending[start]]
        end = start + 1
        while end < len(self.pending) and self._units[self.pending[end]] == unit:
            end += 1
        return end - start
