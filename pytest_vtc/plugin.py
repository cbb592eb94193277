"""The pytest hooks, each a few lines that hand over. Imports neither torch nor anything that does.

In a suite where no test takes `vtc_case` or `vtc_model` nothing here does anything: no output, no files, no imports.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_vtc import options
from pytest_vtc.recorder import Recorder

if TYPE_CHECKING:
    from pytest_vtc.cells import Cell, Measurement
    from pytest_vtc.collection import CaseItem
    from pytest_vtc.datasets.base import Sample
    from pytest_vtc.models.backend import Backend
    from pytest_vtc.sweep import Sweep
    from pytest_vtc.window import Bench

FIXTURE = "vtc_case"


class State:
    """What the plugin knows in one session; the sweep exists once a test has asked for it, the bench once it runs."""

    def __init__(self) -> None:
        self.sweep: Sweep | None = None
        self.bench: Bench | None = None
        self.error: ValueError | None = None


STATE = pytest.StashKey[State]()


def pytest_addoption(parser: pytest.Parser) -> None:
    options.add_options(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, object, object]:
    options.refold(early_config, parser, args)
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[STATE] = State()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), "vtc-recorder")


# Collection


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> Any:
    # Told by the argument's name alone, before anything heavy is imported.
    code = getattr(obj, "__code__", None)
    if code is None or FIXTURE not in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        return None
    if not collector.istestfunction(obj, name):
        return None
    from pytest_vtc.collection import make_items

    try:
        return make_items(collector, name, obj, _sweep(collector.config))
    except ValueError as error:
        if hasattr(collector.config, "workerinput"):
            raise collector.CollectError(str(error)) from error
        collector.config.stash[STATE].error = error
        return []


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    result = yield
    if (error := session.config.stash[STATE].error) is not None:
        # One line in red and exit code 4, and not the traceback of a collection error.
        raise pytest.UsageError(f"vtc: {error}")
    return result


def _sweep(config: pytest.Config) -> Sweep:
    state = config.stash[STATE]
    if state.sweep is None:
        from pytest_vtc.sweep import build_sweep

        state.sweep = build_sweep(options.read_settings(config))
    return state.sweep


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    sweep = config.stash[STATE].sweep
    if sweep is None:
        return []
    from pytest_vtc.collection import describe_partners

    return [*sweep.describe(), *describe_partners(items)]


# Running


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Open the store and read the models' configurations, so that it is not the first case that fails."""
    if session.config.stash[STATE].sweep is not None and not session.config.option.collectonly:
        from pytest_vtc.store import StoreError

        try:
            _bench(session)
        except (ValueError, StoreError) as error:
            raise pytest.UsageError(f"vtc: {error}") from error


def _bench(session: pytest.Session) -> Bench:
    state = session.config.stash[STATE]
    if state.bench is None:
        from pytest_vtc.window import Bench

        state.bench = Bench(session.config, session, _sweep(session.config))
    return state.bench


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

        Raises CaseFailed if it could not be measured: that fails the test.
        """
        if self._item.outcome is None:
            self._item.outcome = self._bench.measure(self._item)
        return self._item.outcome[0][1]


@pytest.fixture
def vtc_case(request: pytest.FixtureRequest) -> VtcCase:
    """One sample in one cell of the sweep that the --vtc options describe; call its `measure()`."""
    return VtcCase(request.node, _bench(request.session))


@pytest.fixture(scope="session")
def vtc_model(request: pytest.FixtureRequest) -> Backend:
    """The model (the first of --vtc-model), loaded on first need and shared with the sweep."""
    bench = _bench(request.session)
    return bench.engine(bench.sweep.blocks[0].model).backend


# Reporting


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    case = getattr(item, "case", None)
    if case is None:
        return report
    if call.when == "call" and item.outcome is not None:  # type: ignore[attr-defined]
        # Plain data on the report itself: it travels from an xdist worker, and junit's properties stay clean.
        report.vtc = [(order, m.to_dict()) for order, m in item.outcome]  # type: ignore[attr-defined]
        report.duration = item.outcome[0][1].generation.seconds  # type: ignore[attr-defined]
        item.outcome = None  # type: ignore[attr-defined]
    if report.failed:
        report.vtc_error = (case.cell.to_dict(), case.sample.id, _first_line(report, call))  # type: ignore[attr-defined]
    return report


def _first_line(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    return str(call.excinfo.value) if call.excinfo is not None else report.longreprtext


def pytest_report_teststatus(report: pytest.TestReport, config: pytest.Config) -> Any:
    rows = getattr(report, "vtc", None)
    if not rows or report.when != "call" or not report.passed:
        return None
    measured: dict[str, Any] = rows[0][1]
    category = "answered" if measured["score"] is None else "correct" if measured["score"] >= 1 else "wrong"
    if config.get_verbosity() <= 0:
        return category, "", ""  # the live line says it
    word = category.upper() + (" (cached)" if measured["cached"] else "")
    return category, "", (word, {"green": category != "wrong", "yellow": category == "wrong"})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """On a worker of pytest-xdist: send what the controller cannot know."""
    state = session.config.stash[STATE]
    output = getattr(session.config, "workeroutput", None)
    if output is not None and state.bench is not None:
        output["vtc"] = state.bench.facts()
