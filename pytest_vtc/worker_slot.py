"""What the controller of pytest-xdist and a worker agree on. Imports nothing, so that a controller need not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SLOT = "vtc_slot"
"""Under this name a controller tells a worker which of 0 ... n-1 it is, also when it replaces one that has died."""


def worker_name(workerinput: Mapping[str, Any]) -> str:
    """Told apart from every worker of every other run; the controller can say it too."""
    return f"{workerinput['testrunuid']}-{workerinput['workerid']}"
