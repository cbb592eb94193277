"""The pytest hooks, each a few lines that hand over. Imports neither torch nor anything that does.

In a suite where no test takes `vtc_case` or `vtc_model` nothing here does anything: no output, no files, no imports.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import types
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_vtc import option_lists, options
from pytest_vtc.controller import Controller
from pytest_vtc.recorder import Recorder, is_case, is_skipped_cell
from pytest_vtc.retention import Retention
from pytest_vtc.sequential_run import Sequential

if TYPE_CHECKING:
    from pytest_vtc.baseline import Baseline
    from pytest_vtc.bench import Bench
    from pytest_vtc.cells import Cell, Measurement
    from pytest_vtc.collection import CaseItem
    from pytest_vtc.datasets.base import Sample
    from pytest_vtc.models.backend import Backend
    from pytest_vtc.sweep import Sweep

FIXTURE = "vtc_case"


class State:
    """What the plugin knows in one session; the sweep exists once a test has asked for it, the bench once it runs."""

    def __init__(self) -> None:
        self.sweep: Sweep | None = None
        self.bench: Bench | None = None
        self.error: Exception | None = None
        self.baseline: Baseline | None = None


STATE = pytest.StashKey[State]()


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    option_lists.refold(early_config, parser, args)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STATE] = State()
    config.pluginmanager.register(Retention(config), "vtc-retention")
    if not _is_worker(config):
        recorder = Recorder(config)
        config.pluginmanager.register(recorder, "vtc-recorder")
        sequential = Sequential(config, recorder)
        config.pluginmanager.register(sequential, "vtc-sequential")
        if config.getoption("dist", "no") != "no":
            config.pluginmanager.register(Controller(config, recorder, sequential), "vtc-controller")
    if specs := options.conformance_specs(config):
        from pytest_vtc.conformance.session import ConformanceSession

        config.pluginmanager.register(ConformanceSession(specs), "vtc-conformance")


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


# Collection


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> Any:
    # Told by the arguments' names alone, before anything heavy is imported. Functions only: a module may hold objects
    # that answer, or fail, whatever attribute they are asked for.
    if not isinstance(obj, types.FunctionType):
        return None
    function = inspect.unwrap(obj)
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType) or FIXTURE not in code.co_varnames[: _n_arguments(code)]:
        return None
    if not collector.istestfunction(obj, name):
        return None
    from pytest_vtc.collection import make_items

    try:
        with _without_garbage_collection():
            return make_items(collector, name, obj, sweep_of(collector.config))
    except ValueError as error:
        if _is_worker(collector.config):
            raise collector.CollectError(str(error)) from error
        collector.config.stash[STATE].error = error
        return []


@contextlib.contextmanager
def _without_garbage_collection() -> Generator[None, None, None]:
    """For what makes a million objects and no garbage: looking through them takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _n_arguments(code: types.CodeType) -> int:
    return code.co_argcount + code.co_kwonlyargcount


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    state = session.config.stash[STATE]
    try:
        result = yield
    except pytest.UsageError:
        # A node id that was not found, because what was wrong with the sweep left it without items.
        if state.error is None:
            raise
        result = None
    if state.error is not None:
        # One line in red and exit code 4, and not the traceback of a collection error.
        raise pytest.UsageError(f"vtc: {state.error}")
    return result


def sweep_of(config: pytest.Config) -> Sweep:
    """The session's sweep, built when it is first asked for. Raises ValueError if its options make no sense."""
    state = config.stash[STATE]
    if state.sweep is None:
        from pytest_vtc.sweep import build_sweep

        settings = options.read_settings(config)
        fetch_tables(config, settings)
        state.sweep = build_sweep(settings)
    return state.sweep


def fetch_tables(config: pytest.Config, settings: options.Settings) -> None:
    """Fetch the hf: tables that a run needs and that are not there yet. Raises DatasetError."""
    specs = [spec for spec in settings.data if spec.startswith("hf:")]
    if not specs:
        return
    from pytest_vtc.datasets.own_tables import make_ready
    from pytest_vtc.datasets.registry import data_home
    from pytest_vtc.loading_progress import loading_in_sight

    with loading_in_sight(config) as say:
        for spec in specs:
            make_ready(spec, settings.columns, data_home(), say or (lambda _: None))


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    sweep = config.stash[STATE].sweep
    if sweep is None:
        return []
    from pytest_vtc.schedule import Schedule, describe_partners

    schedule = Schedule(sweep, (item.order for item in items if is_case(item)))  # type: ignore[attr-defined]
    return [*sweep.describe(schedule), *describe_partners(schedule)]


# Running


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Open the store and read the models' configurations, so that it is not the first case that fails."""
    if session.config.option.collectonly or not any(is_case(i) or is_skipped_cell(i) for i in session.items):
        return
    from pytest_vtc.in_flight import describe_suspects
    from pytest_vtc.store import StoreError

    try:
        bench = _bench(session)
        suspects = describe_suspects(bench.sweep.settings.output)
        lines = [*suspects, *_open_baseline(session.config, bench)]
    except (ValueError, StoreError) as error:
        if not _is_worker(session.config):
            raise pytest.UsageError(f"vtc: {error}") from error
        session.config.stash[STATE].error = error  # a worker cannot refuse a run: its first case says why
        return
    reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and session.config.get_verbosity() >= 0:
        for line in lines:
            reporter.write_line(line)


def _open_baseline(config: pytest.Config, bench: Bench) -> list[str]:
    """Read what the run is to be compared with, and what the header says of it. With workers the controller does."""
    if bench.sweep.settings.baseline is None or _is_worker(config):
        return []
    from pytest_vtc.baseline import baseline_of
    from pytest_vtc.run_manifest import describe_sweep

    manifest = describe_sweep(bench.sweep, bench.keys)
    baseline = config.stash[STATE].baseline = baseline_of(bench.sweep, bench.schedule.expected(), manifest)
    return [] if baseline is None else baseline.describe()


def _bench(session: pytest.Session) -> Bench:
    state = session.config.stash[STATE]
    if state.bench is None:
        from pytest_vtc.bench import Bench

        state.bench = Bench(session.config, session, sweep_of(session.config))
    return state.bench


def _bench_or_stop(session: pytest.Session) -> Bench:
    """The bench for a fixture; ends the session with the reason, and no traceback, if there can be none."""
    from pytest_vtc.store import StoreError

    error = session.config.stash[STATE].error
    try:
        if error is None:
            return _bench(session)
    except (ValueError, StoreError) as raised:
        error = raised
    session.shouldstop = f"vtc: {error}"
    pytest.fail(f"vtc: {error}", pytrace=False)


class VtcCase:
    """What a test gets as `vtc_case`: one sample in one cell."""

    def __init__(self, item: CaseItem, bench: Bench) -> None:
        self._item, self._bench = item, bench

    @property
    def cell(self) -> Cell:
        """Model, dataset, compressor and ratio."""
        return self._item.case.cell

    @property
    def sample(self) -> Sample:
        return self._item.case.sample

    def measure(self) -> Measurement:
        """Run the case (or take it from the store) and record it. A wrong answer is a result, not a failure.

        Raises CaseFailed if it, or its stock partner, could not be measured: that fails the test.
        """
        if self._item.outcome is None:
            found = self._bench.measure(self._item)
            self._item.outcome = found.rows
            if found.partner_failed is not None:
                raise found.partner_failed
        return self._item.outcome[0][1]


@pytest.fixture
def vtc_case(request: pytest.FixtureRequest) -> VtcCase:
    """One sample in one cell of the sweep that the --vtc options describe; call its `measure()`."""
    if not is_case(request.node):
        pytest.fail("vtc_case must be an argument of the test function itself, not of a fixture of its", pytrace=False)
    return VtcCase(request.node, _bench_or_stop(request.session))


@pytest.fixture(scope="session")
def vtc_model(request: pytest.FixtureRequest) -> Backend:
    """The model (the first of --vtc-model), loaded on first need and shared with the sweep."""
    bench = _bench_or_stop(request.session)
    return bench.engine(bench.sweep.blocks[0].model).backend


# Reporting


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: Any, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report: Any = yield
    if is_skipped_cell(item) and report.skipped:
        report.vtc_skipped = True
    if not is_case(item):
        return report
    # On the report itself, so that it comes along from an xdist worker, and junit's properties stay clean.
    report.vtc_order = item.order
    if call.when == "call" and item.outcome is not None:
        rows, item.outcome = item.outcome, None
        first: Measurement = rows[0][1]
        report.vtc = rows
        if not first.cached:
            report.duration = first.generation.seconds  # its share of the window, not "the first pays for all"
        bench = item.config.stash[STATE].bench
        if _is_worker(item.config) and (facts := bench.news()) is not None:
            report.vtc_facts = facts
    if call.when == "call" and (bench := item.config.stash[STATE].bench) is not None and (rows := bench.outbox()):
        report.vtc_store = rows  # all of the window at once: it survives the worker's death
    if report.failed:
        error = None if call.excinfo is None else call.excinfo.value
        case = item.case.stock if getattr(error, "of_partner", False) else item.case
        message = report.longreprtext if error is None else str(error)
        report.vtc_error = (case.cell.to_dict(), case.sample.id, message)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """On the way from a worker measurements are plain data; the recorder makes them whole again."""
    data = yield
    if data is not None and "vtc" in data:
        data["vtc"] = [(order, measurement.to_row()) for order, measurement in data["vtc"]]
    return data


def _verdict(score: float | None) -> str:
    if score is None:
        return "answered"
    return "correct" if score >= 1 else "partial" if score > 0 else "wrong"


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> Any:
    if hasattr(report, "vtc_skipped") and config.get_verbosity() <= 0:
        return "skipped", "", "SKIPPED"  # no letter: a line below the table says it
    rows = getattr(report, "vtc", None)
    if not rows or report.when != "call" or not report.passed:
        return None
    measured: Measurement = rows[0][1]
    category = _verdict(measured.score)
    if config.get_verbosity() <= 0:
        return category, "", ""  # the live line says it
    word = category.upper() + (" (cached)" if measured.cached else "")
    return (
        category,
        "",
        (word, {"green": category in ("answered", "correct"), "yellow": category in ("partial", "wrong")}),
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tidy up; on a worker of pytest-xdist, send what the controller cannot know."""
    bench = session.config.stash[STATE].bench
    if bench is None:
        return
    bench.close()
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["vtc"] = bench.facts()
