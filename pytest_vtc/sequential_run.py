"""The hooks of `--vtc-sequential`: tests of cells that are decided are taken out of the session."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pytest_vtc.recorder import Recorder, is_case
from pytest_vtc.sequential_results import SequentialRun
from pytest_vtc.sequential_trials import Trials

if TYPE_CHECKING:
    from pytest_vtc.schedule import Schedule
    from pytest_vtc.sweep import Sweep


@dataclass(frozen=True)
class LeftOut:
    """A test that a controller of pytest-xdist, which has no items, leaves out."""

    nodeid: str


class Sequential:
    """Follows the measurements of a session and drops what they make superfluous.

    Lives where results meet: in the single process, where the tests are the session's items, or in the controller of
    pytest-xdist, where the scheduler holds those that no worker was sent yet. Those that were sent are run, and their
    results do not count.
    """

    def __init__(self, config: pytest.Config, recorder: Recorder) -> None:
        self._config, self._recorder = config, recorder
        self._trials: Trials | None = None
        self._n_tests = self._n_not_run = 0
        self._dropped: NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        self._news = False
        self._next = 0
        self._drop_pending: Callable[[NDArray[np.bool_]], Sequence[str]] | None = None

    def begin(self, sweep: Sweep, orders: NDArray[np.int64]) -> None:
        """orders: of the tests on cases that are about to run."""
        if not sweep.settings.sequential:
            return
        selected = np.zeros(sweep.n_cases, dtype=np.bool_)
        selected[orders] = True
        self._trials = Trials(sweep, selected)
        self._n_tests = len(orders)
        self._dropped = np.zeros(sweep.n_cases, dtype=np.bool_)

    def drop_through(self, drop_pending: Callable[[NDArray[np.bool_]], Sequence[str]]) -> None:
        """On a controller: by what pending tests are left out. It gets [n_cases] and gives the node ids."""
        self._drop_pending = drop_pending

    def run(self) -> SequentialRun | None:
        """What came of it; None in a session without cases."""
        return None if self._trials is None else SequentialRun(self._trials, self._n_tests, self._n_not_run)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if self._trials is None:
            return
        for order, measurement in getattr(report, "vtc", ()):
            superfluous = self._trials.record(order, measurement.score)
            if len(superfluous):
                self._dropped[superfluous] = True
                self._news = True
        if self._news and self._drop_pending is not None:
            self._news = False
            self._leave_out([LeftOut(node_id) for node_id in self._drop_pending(self._dropped)])

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> Generator[None, object, object]:
        result = yield
        if self._news:
            self._news = False
            self._shorten(item.session, item, nextitem)
        return result

    def _shorten(self, session: pytest.Session, item: pytest.Item, announced: pytest.Item | None) -> None:
        """Take superfluous items out of those that come after `item`, in place: pytest's loop goes by the list."""
        items = session.items
        while items[self._next] is not item:
            self._next += 1
        later = items[self._next + 1 :]
        superfluous = [is_case(other) and bool(self._dropped[other.order]) for other in later]  # type: ignore[attr-defined]
        if not any(superfluous):
            return
        follower = next((other for other, drop in zip(later, superfluous, strict=True) if not drop), None)
        if announced is not None and superfluous[0] and follower is not None and follower.parent is not announced.parent:
            # Fixtures were kept for the item that was announced as the next one: it must run for them to be torn down.
            superfluous[0] = False
        items[self._next + 1 :] = [other for other, drop in zip(later, superfluous, strict=True) if not drop]
        left_out = [other for other, drop in zip(later, superfluous, strict=True) if drop]
        bench = self._bench()
        if bench is not None:
            bench.drop(other.order for other in left_out)  # type: ignore[attr-defined]
        self._leave_out(left_out)

    def _bench(self) -> Schedule | None:
        from pytest_vtc.plugin import STATE

        bench = self._config.stash[STATE].bench
        return None if bench is None else bench.schedule

    def _leave_out(self, tests: Sequence[Any]) -> None:
        if tests:
            self._n_not_run += len(tests)
            self._recorder.expect_fewer(len(tests))
            self._config.hook.pytest_deselected(items=tests)
