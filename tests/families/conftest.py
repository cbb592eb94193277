"""Tiny checkpoints, each loaded once per session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.families.checkpoints import Parts, load_parts


@pytest.fixture(scope="session")
def parts(checkpoint: Callable[..., Path]) -> Callable[[str], Parts]:
    """`parts(name)`: model, tokenizer and image processor of a tiny checkpoint in float32. Not to be changed."""

    @cache
    def load(name: str) -> Parts:
        return load_parts(name, checkpoint(name))

    return load
