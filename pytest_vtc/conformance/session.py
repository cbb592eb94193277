"""A session of `pytest --vtc-conformance`: collects conformance tests in place of test files, ends with a table.

Registered only where the option is given.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Sequence
from typing import Any

import pytest

from pytest_vtc.compression import Compressor
from pytest_vtc.conformance.items import FOLDER, ConformanceItem, ConformanceOf
from pytest_vtc.conformance.summary import Tried, summary
from pytest_vtc.discovery import SpecError, known_compressors, resolve

ALL = "all"


class ConformanceSession:
    """The hooks of one such session."""

    def __init__(self, specs: Sequence[str]) -> None:
        self._specs = specs
        self._compressors: list[Compressor] = []
        self._tried: list[Tried] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Find the compressors, before pytest-xdist starts its workers. Raises UsageError if one cannot be had."""
        config = session.config
        if not _is_worker(config) and (others := [arg for arg in _arguments(config) if not _is_ours(arg)]):
            raise pytest.UsageError(
                f"vtc: --vtc-conformance runs no test files; leave out {others[0]!r} (the id of one of its own tests "
                f"begins with {FOLDER}/)"
            )
        if folders := [spec for spec in self._specs if spec.endswith("/") or spec == "."]:
            raise pytest.UsageError(
                f"vtc: --vtc-conformance takes compressors and no folders; leave out {folders[0]!r}"
            )
        try:
            specs = [each for spec in self._specs for each in (sorted(known_compressors()) if spec == ALL else [spec])]
            self._compressors = resolve(specs)
        except SpecError as error:
            raise pytest.UsageError(f"vtc: --vtc-conformance: {error}") from error

    @pytest.hookimpl
    def pytest_collection(self, session: pytest.Session) -> bool:
        """In place of pytest's own collection, which would look for test files. Not called where xdist's workers do."""
        wanted = [arg for arg in _arguments(session.config) if _is_ours(arg)]
        session.items = [
            item
            for compressor in self._compressors
            for item in session.genitems(ConformanceOf.from_parent(session, compressor=compressor))
            if not wanted or any(item.nodeid == arg or item.nodeid.startswith(f"{arg}::") for arg in wanted)
        ]
        missed = [arg for arg in wanted if not any(f"{item.nodeid}::".startswith(f"{arg}::") for item in session.items)]
        if missed:
            raise pytest.UsageError(f"vtc: no test {missed[0]!r}; --collect-only -q lists those there are")
        try:
            session.config.hook.pytest_collection_modifyitems(
                session=session, config=session.config, items=session.items
            )
        finally:
            session.config.hook.pytest_collection_finish(session=session)
        session.testscollected = len(session.items)
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        report = yield
        if isinstance(item, ConformanceItem) and (report.when == "call" or not report.passed):
            # Plain data, which comes along from a worker.
            spec = item.trial.compressor.spec
            report.vtc_conformance = [spec, item.n_properties, item.name, report.outcome, item.seconds, item.reason]
            if report.skipped:
                report.longrepr = (inspect.getfile(type(item.trial.compressor)), 1, report.longrepr[2])
        return report

    def pytest_runtest_logreport(self, report: Any) -> None:
        if hasattr(report, "vtc_conformance"):
            self._tried.append(Tried(*report.vtc_conformance))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._tried:
            return
        terminalreporter.section("conformance")
        for line in summary([compressor.spec for compressor in self._compressors], self._tried):
            terminalreporter.write_line(line)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _arguments(config: pytest.Config) -> list[str]:
    """What was given on the command line besides options. On a worker of pytest-xdist it may be the folder as well."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    return config.args


def _is_ours(argument: str) -> bool:
    return argument.startswith(f"{FOLDER}/")
