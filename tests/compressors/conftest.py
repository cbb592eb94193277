"""States, at the end of a run, how many golden cases each method passed."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tests of golden cases record the property `golden` with the method's name when they have compared everything."""
    passed = Counter(
        str(value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "golden"
    )
    if passed:
        terminalreporter.section("golden cases passed")
        terminalreporter.write_line(", ".join(f"{method} {n}" for method, n in sorted(passed.items())))
