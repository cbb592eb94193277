"""The hooks of `--vtc-sequential`: tests of cells that are decided are taken out of the session.

Imports nothing heavy before there are cases to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_vtc.recorder import Recorder, is_case

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pytest_vtc.sequential_results import SequentialRun
    from pytest_vtc.sequential_trials import Trials
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
        self._dropped: NDArray[np.bool_] | None = None
        self._news = False
        self._here = 0
        self.drop_pending: Callable[[NDArray[np.bool_]], Sequence[str]] | None = None
        """On a controller: leaves out pending tests of the cases marked in [n_cases], and gives their node ids."""

    def begin(self, sweep: Sweep, orders: Iterable[int]) -> None:
        """The tests on the cases at these places of the sweep are about to run."""
        if not sweep.settings.sequential:
            return
        import numpy as np

        from pytest_vtc.sequential_trials import Trials

        tests = list(orders)
        selected = np.zeros(sweep.n_cases, dtype=np.bool_)
        selected[tests] = True
        self._trials, self._n_tests = Trials(sweep, selected), len(tests)
        self._dropped = np.zeros(sweep.n_cases, dtype=np.bool_)

    def run(self) -> SequentialRun | None:
        """What came of it; None without `--vtc-sequential`."""
        if self._trials is None:
            return None
        from pytest_vtc.sequential_results import SequentialRun

        return SequentialRun(self._trials, self._n_tests, self._n_not_run)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if any(map(is_case, session.items)):
            from pytest_vtc.plugin import sweep_of

            orders = (item.order for item in session.items if is_case(item))  # type: ignore[attr-defined]
            self.begin(sweep_of(self._config), orders)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        if self._trials is None or self._dropped is None:
            return
        for order, measurement in getattr(report, "vtc", ()):
            superfluous = self._trials.record(order, measurement.score)
            if len(superfluous):
                self._dropped[superfluous] = True
                self._news = True
        if self._news and self.drop_pending is not None:
            self._news = False
            self._leave_out([LeftOut(node_id) for node_id in self.drop_pending(self._dropped)])

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, Any, Any]:
        result = yield
        if self._news and nextitem is not None:
            self._news = False
            self._shorten(item, nextitem)
        return result

    def _shorten(self, item: pytest.Item, announced: pytest.Item) -> None:
        """Take superfluous items out of those after `item`. In place: pytest's loop goes along the session's list."""
        items = item.session.items
        while items[self._here] is not item:
            self._here += 1
        later = items[self._here + 1 :]
        superfluous = {id(other) for other in later if self._is_superfluous(other)}
        follower = next((other for other in later if id(other) not in superfluous), None)
        if follower is not None and follower.parent is not announced.parent:
            # Fixtures were kept for the item that was announced as the next one: it runs, so that they are torn down.
            superfluous.discard(id(announced))
        left_out = [other for other in later if id(other) in superfluous]
        items[self._here + 1 :] = [other for other in later if id(other) not in superfluous]
        self._forget(left_out)
        self._leave_out(left_out)

    def _is_superfluous(self, item: Any) -> bool:
        return self._dropped is not None and is_case(item) and bool(self._dropped[item.order])

    def _forget(self, items: Sequence[Any]) -> None:
        from pytest_vtc.plugin import STATE

        bench = self._config.stash[STATE].bench
        if bench is not None:
            bench.schedule.drop(item.order for item in items)

    def _leave_out(self, tests: Sequence[Any]) -> None:
        if tests:
            self._n_not_run += len(tests)
            self._recorder.expect_fewer(len(tests))
            self._config.hook.pytest_deselected(items=tests)
