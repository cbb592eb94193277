"""Prints what the latency benchmark compared, where pytest-benchmark's table has no room for it."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tests record the property `side by side` with a line each."""
    lines = [
        str(value)
        for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", [])
        for name, value in report.user_properties
        if name == "side by side"
    ]
    if lines:
        terminalreporter.section("a batch against a loop of images, CPU time per image")
        for line in lines:
            terminalreporter.write_line(line)
