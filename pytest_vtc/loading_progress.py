"""Lets the loading of a model be seen in the middle of a session: a line with its size, and transformers' own bar."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import pytest


@contextlib.contextmanager
def loading_in_sight(config: pytest.Config) -> Generator[Callable[[str], None] | None]:
    """What to tell of the loading, while the context lasts; None on a worker of pytest-xdist, which has no terminal.

    Output is not captured meanwhile: where standard error is a terminal, transformers shows how far it is.
    """
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    capture: Any = config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or hasattr(config, "workerinput"):
        yield None
        return

    def say(line: str) -> None:
        reporter.ensure_newline()
        reporter.write_line(f"vtc: {line}")

    with contextlib.nullcontext() if capture is None else capture.global_and_fixture_disabled():
        yield say
