"""The embedded model, loaded once for all tests that use it directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_vtc.models.backend import Backend


@pytest.fixture(scope="session")
def tiny() -> Backend:
    from pytest_vtc.models.loading import load_backend

    return load_backend("tiny-gemma4")
