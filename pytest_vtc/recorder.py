"""Gathers what reports bring and, at the end, judges the gates and writes tables and files.

Lives only where results meet: in the single process, or in the controller of pytest-xdist.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_vtc.cells import CaseError, Cell, Measurement

if TYPE_CHECKING:
    from pytest_vtc.gates import InconclusiveAs, Verdict
    from pytest_vtc.report.progress import Progress
    from pytest_vtc.sequential_run import Sequential


def is_case(item: object) -> bool:
    """Is this one of our items? Asked of every item, so it must not import what builds them."""
    return getattr(item, "is_vtc_case", None) is True


def is_skipped_cell(item: object) -> bool:
    """Does this item stand for a cell that is not run?"""
    return getattr(item, "is_vtc_skip", None) is True


@dataclass(frozen=True)
class GateFailure:
    """Why a gate fails, as pytest asks for it: a line of its own, in the short summary, and in junit."""

    message: str

    @property
    def reprcrash(self) -> GateFailure:
        return self

    def toterminal(self, writer: Any) -> None:
        writer.line(self.message)

    def __str__(self) -> str:
        return self.message


class Recorder:
    """One run's results as they come in. Does nothing in a session without cases."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.rows: dict[int, Measurement] = {}
        """Measurements by their place in the sweep."""
        self.errors: dict[tuple[str, str], CaseError] = {}
        self.n_skipped = 0
        """Reports of cells that are not run."""
        self.facts: dict[str, Any] | None = None
        self.lines: list[str] = []
        self._shared: dict[Any, Any] = {}
        self._progress: Progress | None = None
        self._started: float | None = None
        self._total = 0
        self.cut_short = False
        """Cases were left that no worker was there to run."""

    # Results as they come in

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._total = sum(map(is_case, session.items))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        # With the first case, not its report: the first window is computed in between, and that takes time too.
        if self._started is None and is_case(item):
            self._started = time.monotonic()

    def expect(self, n_cases: int) -> None:
        """In the controller of pytest-xdist, which collects nothing: so many cases are about to run."""
        self._total = n_cases
        self._started = time.monotonic()

    def expect_fewer(self, n_cases: int) -> None:
        """So many of the cases are left out."""
        self._total -= n_cases
        if self._progress is not None:
            self._progress.total = self._total
            if self._progress.done == self._total:
                self._progress.close()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:  # noqa: ARG002
        self._learn(getattr(node, "workeroutput", {}).get("vtc"))

    def _learn(self, facts: dict[str, Any] | None) -> None:
        """Take over what a worker says of the run, the latest at that; whichever loaded a model knows its parity."""
        if facts is not None:
            if self.facts is not None:
                facts["manifest"]["run"]["loaded"] |= self.facts["manifest"]["run"]["loaded"]
            self.facts = facts

    @pytest.hookimpl(wrapper=True)
    def pytest_report_from_serializable(self, data: dict[str, Any]) -> Generator[None, Any, Any]:
        report = yield
        if "vtc" in data:
            report.vtc = [(order, Measurement.from_row(row, self._shared)) for order, row in data["vtc"]]
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._learn(getattr(report, "vtc_facts", None))
        self.n_skipped += hasattr(report, "vtc_skipped")
        self.rows.update(getattr(report, "vtc", ()))
        if (failed := getattr(report, "vtc_error", None)) is not None:
            cell, sample, message = Cell(**failed[0]), failed[1], failed[2]
            self.errors[cell.id, sample] = CaseError(cell, sample, message)
        if hasattr(report, "vtc") or hasattr(report, "vtc_error"):
            self._show_progress(report)

    def _show_progress(self, report: pytest.TestReport) -> None:
        if self.config.get_verbosity() != 0 or not self.config.pluginmanager.has_plugin("terminalreporter"):
            return
        if self._progress is None:
            self._progress = self._begin_progress()
        rows = getattr(report, "vtc", None)
        if not rows:
            self._progress.update(errors=1)
        else:
            measured: Measurement = rows[0][1]
            score, cached = measured.score, int(measured.cached)
            if score is None:
                self._progress.update(unscored=1, cached=cached)
            else:
                self._progress.update(score, 1 - score, cached=cached)
        if self._progress.done == self._total:
            self._progress.close()  # whatever runs after the last case starts on a line of its own

    def _begin_progress(self) -> Progress:
        from pytest_vtc.report.progress import Progress

        # Ours stands in for pytest's percentage, which counts letters, and cases print none.
        reporter: Any = self.config.pluginmanager.get_plugin("terminalreporter")
        reporter._show_progress_info = False
        # Straight to the stream: the terminal writer counts columns and does not know of a rewritten line.
        writer = self.config.get_terminal_writer()
        stream: Any = writer._file
        stream.write("\n")
        return Progress(self._total, stream, stream.isatty(), width=writer.fullwidth, started=self._started)

    # The end

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        finished = False
        try:
            result = yield
            finished = not (session.shouldstop or session.shouldfail or self.cut_short)
            return result
        finally:
            if self.rows or self.errors or self.n_skipped:
                self._conclude(session, interrupted=not finished)

    def _conclude(self, session: pytest.Session, interrupted: bool) -> None:
        from pytest_vtc.conclusion import conclude
        from pytest_vtc.plugin import STATE

        if self._progress is not None and self._progress.done < self._total:
            self._progress.close()
        facts = self.facts or self._own_facts(session)
        if facts is None:
            return
        rows = [self.rows[order] for order in sorted(self.rows)]
        width, colour = 80, False
        if self.config.pluginmanager.has_plugin("terminalreporter"):
            writer = self.config.get_terminal_writer()
            width, colour = max(80, writer.fullwidth), writer.hasmarkup
        plugin: Sequential | None = self.config.pluginmanager.get_plugin("vtc-sequential")
        conclusion = conclude(
            facts,
            rows,
            list(self.errors.values()),
            interrupted,
            width,
            colour,
            baseline=session.config.stash[STATE].baseline,
            sequential=None if plugin is None else plugin.run(),
        )
        self.lines = conclusion.lines
        if not conclusion.written:
            session.testsfailed += 1  # exit code 1; the lines say what could not be written
        for verdict in conclusion.verdicts:
            self._report_gate(verdict, conclusion.inconclusive)

    def _own_facts(self, session: pytest.Session) -> dict[str, Any] | None:
        from pytest_vtc.plugin import STATE

        bench = session.config.stash[STATE].bench
        return None if bench is None else bench.facts()

    def _report_gate(self, verdict: Verdict, inconclusive: InconclusiveAs) -> None:
        """A gate as a test of its own: counted, named in junit, and able to fail the session."""
        from pytest_vtc.gates import reported

        name = f"gate[{verdict.name}]"
        outcome = reported(verdict.outcome, inconclusive)
        reason = verdict.reason if verdict.outcome == "fail" else f"{verdict.outcome}: {verdict.reason}"
        location = ("vtc", 0, name)
        hook = self.config.hook
        hook.pytest_runtest_logstart(nodeid=f"vtc::{name}", location=location)
        for when in ("setup", "call", "teardown"):
            is_call = when == "call"
            longrepr: Any = None
            if is_call and outcome == "failed":
                longrepr = GateFailure(reason)
            elif is_call and outcome == "skipped":
                longrepr = (f"vtc::{name}", 0, f"Skipped: {reason}")
            report = pytest.TestReport(
                nodeid=f"vtc::{name}",
                location=location,
                keywords={},
                outcome=outcome if is_call else "passed",
                longrepr=longrepr,
                when=when,  # type: ignore[arg-type]
            )
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=f"vtc::{name}", location=location)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.lines:
            terminalreporter.section("vision-token compression")
            for line in self.lines:
                terminalreporter.write_line(line)
