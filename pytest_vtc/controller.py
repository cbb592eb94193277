"""The controller of pytest-xdist: deals out whole images, is the one writer of the store, and handles dead workers.

Imports neither xdist nor torch before there are cases to run.
"""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_vtc.cells import Generation
from pytest_vtc.recorder import Recorder
from pytest_vtc.sequential_run import Sequential

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pytest_vtc.schedule import Schedule
    from pytest_vtc.store import Store
    from pytest_vtc.sweep import Sweep

RETRIED = "retried"
"""Outcome of the report of a crash that blames nobody: the test runs again."""


class Controller:
    """Registered only in a session that hands its tests to workers. Does nothing in one without cases."""

    def __init__(self, config: pytest.Config, recorder: Recorder, sequential: Sequential) -> None:
        self._config, self._recorder, self._sequential = config, recorder, sequential
        self._plan: tuple[Sweep, NDArray[np.int64]] | None = None
        self._store: Store | None = None
        self._seen_collection = False
        self._slots: dict[Any, int] = {}
        self._fell_in_window: set[Any] = set()
        self._fell_elsewhere: Counter[str] = Counter()

    # Workers come and go

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        from pytest_vtc.worker_slot import SLOT

        taken = {*self._slots.values()}
        self._slots[node] = next(slot for slot in range(len(taken) + 1) if slot not in taken)
        node.workerinput[SLOT] = self._slots[node]

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:
        self._slots.pop(node, None)
        if error and self._plan is not None:
            from pytest_vtc.in_flight import bury_worker
            from pytest_vtc.worker_slot import worker_name

            how = _how_it_ended(node)
            if self._guarded(lambda: bury_worker(self._output, worker_name(node.workerinput), how)):
                self._fell_in_window.add(node)
                self._allow_one_more()

    # What there is to run

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config) -> None:
        """Tables are fetched before there are workers, which would all want to."""
        from pytest_vtc.options import read_settings
        from pytest_vtc.plugin import fetch_tables

        try:
            settings = read_settings(config)
        except ValueError:
            return  # there may be no case at all; if there is one, the workers say what is wrong
        try:
            fetch_tables(config, settings)
        except ValueError as error:
            raise pytest.UsageError(f"vtc: {error}") from error

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:  # noqa: ARG002
        if not self._seen_collection:
            self._seen_collection = True
            self._plan = self._prepare(ids)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        if config.getoption("dist") != "load":
            return None  # asked for by name: its promises are not ours to change
        from pytest_vtc.distribution import ImageScheduling

        scheduler = ImageScheduling(config, log, lambda: self._plan)
        self._sequential.drop_pending = scheduler.drop
        return scheduler

    def _prepare(self, ids: Sequence[str]) -> tuple[Sweep, NDArray[np.int64]] | None:
        from pytest_vtc.distribution import holds_cases, orders_of

        if not holds_cases(ids):
            return None
        from pytest_vtc.in_flight import bury_dead, describe_suspects
        from pytest_vtc.plugin import sweep_of
        from pytest_vtc.schedule import Schedule, describe_partners
        from pytest_vtc.store import STORE_NAME, Store

        try:
            sweep = sweep_of(self._config)
        except ValueError:
            return None  # every worker has failed to collect, and says why
        orders = orders_of(sweep, ids)
        mine = orders[orders >= 0]
        if not len(mine):
            return None
        schedule = Schedule(sweep, mine.tolist())
        baseline = self._open_baseline(sweep, schedule)
        self._store = self._guarded(lambda: Store(sweep.settings.output / STORE_NAME))
        self._guarded(lambda: bury_dead(sweep.settings.output))
        suspects = self._guarded(lambda: describe_suspects(sweep.settings.output))
        self._recorder.expect(len(mine))
        self._sequential.begin(sweep, mine.tolist())
        self._say([*sweep.describe(schedule), *describe_partners(schedule), *suspects, *baseline])
        return sweep, orders

    def _open_baseline(self, sweep: Sweep, schedule: Schedule) -> list[str]:
        """Read what the run is to be compared with, and what the header says of it. Refuses the run if it cannot be."""
        if sweep.settings.baseline is None:
            return []
        from pytest_vtc.baseline import baseline_of
        from pytest_vtc.case_keys import CaseKeys
        from pytest_vtc.plugin import STATE
        from pytest_vtc.run_manifest import describe_sweep

        try:
            baseline = baseline_of(sweep, schedule.expected(), describe_sweep(sweep, CaseKeys(sweep)))
        except ValueError as error:
            raise pytest.UsageError(f"vtc: {error}") from error
        self._config.stash[STATE].baseline = baseline
        return [] if baseline is None else baseline.describe()

    @property
    def _output(self) -> Any:
        assert self._plan is not None
        return self._plan[0].settings.output

    def _say(self, lines: Sequence[str]) -> None:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self._config.get_verbosity() >= 0:
            reporter.ensure_newline()
            for line in lines:
                reporter.write_line(line)

    def _guarded(self, action: Any) -> Any:
        """Run what reads or writes the store or a marker; end the session with the reason if it cannot."""
        from pytest_vtc.store import StoreError

        try:
            return action()
        except StoreError as error:
            pytest.exit(f"vtc: {error}", returncode=pytest.ExitCode.TESTS_FAILED)

    # What workers send

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        rows: list[tuple[str, dict[str, Any]]] = report.__dict__.pop("vtc_store", [])
        if rows and self._store is not None:
            store = self._store
            self._guarded(lambda: store.put_many((key, Generation.from_dict(data)) for key, data in rows))

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: Any) -> Any:
        return ("", "", "") if report.outcome == RETRIED else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any, sched: Any) -> None:
        """A worker died. What it was running last is only the first case of a window: none is to blame yet."""
        if self._plan is None:
            return
        from pytest_vtc.distribution import orders_of

        sweep = self._plan[0]
        order = int(orders_of(sweep, [crashitem])[0])
        if order < 0:
            return
        in_window = report.node in self._fell_in_window
        self._fell_elsewhere[crashitem] += not in_window
        if self._no_more_workers():
            self._recorder.cut_short = True
            report.longrepr += (
                "; no worker is started in its place (--max-worker-restart). What was measured is in the store: "
                "the same command goes on from there"
            )
        elif (in_window or self._fell_elsewhere[crashitem] == 1) and _put_back(sched, crashitem):
            report.outcome = RETRIED
        else:
            case = sweep.case(order)
            report.vtc_error = (case.cell.to_dict(), case.sample.id, report.longrepr)

    def _allow_one_more(self) -> None:
        """A death that tells who is to blame does not count towards xdist's own limit; towards a user's it does."""
        session: Any = self._config.pluginmanager.get_plugin("dsession")
        if self._config.getoption("maxworkerrestart", None) is None and session is not None:
            most = getattr(session, "_max_worker_restart", None)
            if most is not None:
                session._max_worker_restart = most + 1

    def _no_more_workers(self) -> bool:
        session: Any = self._config.pluginmanager.get_plugin("dsession")
        most = getattr(session, "_max_worker_restart", None)
        return most is not None and getattr(session, "_failed_nodes_count", 0) >= most

    # The end

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        if self._store is not None:
            from pytest_vtc.in_flight import prune, settle_all

            with self._store as store:
                self._guarded(lambda: settle_all(self._output))
                self._guarded(lambda: prune(self._output, store))


def _put_back(sched: Any, node_id: str) -> bool:
    try:
        sched.mark_test_pending(node_id)
    except NotImplementedError:  # by some of xdist's own schedulers
        return False
    return True


def _how_it_ended(node: Any) -> str:
    """`signal SIGKILL` or `exit code 3`, if xdist's connection to the process lets one ask."""
    process: Any = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if process is None:
        return ""
    try:
        code = process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        return ""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
