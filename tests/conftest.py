"""The embedded model, loaded once for all tests that use it directly, and tiny checkpoints of every family."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_vtc.models.backend import Backend


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
