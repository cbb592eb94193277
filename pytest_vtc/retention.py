"""What is kept of a case that has run: its measurement, and next to nothing else.

pytest's terminal reporter holds every report of a session until its end, three for each test and a kilobyte for each
of them. What is read of them again stays: of a call its status, duration, place and node id; of setup and teardown the
same, where --durations or the "times" style of progress is going to read them, and nothing otherwise.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import pytest

from pytest_vtc.recorder import is_case

_EXPECTED = frozenset(
    {"_id", "nodeid", "location", "keywords", "outcome", "longrepr", "when", "user_properties", "sections", "duration"}
    | {"start", "stop", "vtc", "vtc_order", "vtc_facts", "node", "worker_id", "testrun_uid", "item_index"}
)
"""What pytest, pytest-xdist and this plugin put into a report; whoever puts in something else may want it back."""

_STATUSES = ("", "correct", "wrong", "answered")


class KeptReport(pytest.TestReport):  # type: ignore[misc]  # "final": it is still to be a TestReport to whoever asks
    """A passed phase of a case after everybody has seen its report. Captured output and keywords are gone."""

    __slots__ = ("_place", "_which", "duration", "when")

    outcome = "passed"
    longrepr = None
    keywords: Mapping[str, Any] = MappingProxyType({})  # type: ignore[assignment]
    sections: Any = ()
    user_properties: Any = ()
    start = stop = 0.0

    def __init__(self, which: Any, place: tuple[str, int | None], when: Any, duration: float) -> None:
        """which: the node id as the report has it; place: file and line."""
        self._which, self._place, self.when, self.duration = which, place, when, duration

    @property
    def nodeid(self) -> str:  # type: ignore[override]
        return str(self._which)

    @property
    def id(self) -> Any:
        return self._which

    @property
    def location(self) -> tuple[str, int | None, str]:  # type: ignore[override]
        names, bracket, parameters = self.nodeid.partition("[")
        return (*self._place, names.rpartition("::")[2] + bracket + parameters)


class Retention:
    """Lets go of a case's state when its run has ended, and of its reports when everybody has seen them.

    Items and reports of other tests are left alone. Registered in every process: workers keep reports too.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._places: dict[tuple[str, int | None], tuple[str, int | None]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Generator[None, object, object]:
        try:
            return (yield)
        finally:
            if is_case(item):
                item.release()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        result = yield
        self._slim(report)
        return result

    def _slim(self, report: Any) -> None:
        if not hasattr(report, "vtc_order") or report.outcome != "passed":
            return
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is None or report.user_properties or not vars(report).keys() <= _EXPECTED:
            return
        for status in _STATUSES:
            reports = terminal.stats.get(status)
            if reports and reports[-1] is report:
                if report.when == "call" or self._timed:
                    which, place = report.id if hasattr(report, "id") else report.nodeid, report.location[:2]
                    place = self._places.setdefault(place, place)
                    reports[-1] = KeptReport(which, place, report.when, report.duration)
                else:
                    reports.pop()

    @cached_property
    def _timed(self) -> bool:
        """Whether somebody is going to read how long setup and teardown took."""
        option = self._config.option
        return option.durations is not None or self._config.getini("console_output_style") == "times"
