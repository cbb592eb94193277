"""Tiny checkpoints, each made once per session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.families.checkpoints import Parts, load_parts, make_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`checkpoint(name, sliding_window=None)`: the folder of a tiny checkpoint. Not to be written to."""

    @cache
    def make(name: str, sliding_window: int | None = None) -> Path:
        return make_checkpoint(name, tmp_path_factory.mktemp(name), sliding_window)

    return make


@pytest.fixture(scope="session")
def parts(checkpoint: Callable[..., Path]) -> Callable[[str], Parts]:
    """`parts(name)`: model, tokenizer and image processor of a tiny checkpoint in float32. Not to be changed."""

    @cache
    def load(name: str) -> Parts:
        return load_parts(name, checkpoint(name))

    return load
