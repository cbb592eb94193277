"""The embedded model, loaded once for all tests that use it directly, and tiny checkpoints of every family."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_vtc.models.backend import Backend

if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    # Before torch is imported. Two workers of two threads each, on two cores, wait for each other in the many small
    # operations here, and take ten times as long.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


@pytest.fixture(autouse=True)
def no_step_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs within tests do not write to the summary of the job that runs the tests."""
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture(scope="session")
def tiny() -> Backend:
    from pytest_vtc.models.loading import load_backend

    return load_backend("tiny-gemma4")


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`checkpoint(name, sliding_window=None)`: the folder of a tiny checkpoint. Not to be written to."""
    from tests.families.checkpoints import make_checkpoint

    @cache
    def make(name: str, sliding_window: int | None = None) -> Path:
        return make_checkpoint(name, tmp_path_factory.mktemp(name), sliding_window)

    return make
