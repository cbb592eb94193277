"""Every kind of model that is supported keeps to the contract of families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.contract import FamilyContract
from pytest_vtc.models.gemma4 import Gemma4Backend
from tests.families.checkpoints import load_parts


class OfVariant(FamilyContract):
    variant: str
    family: type[Backend]

    folder: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _folder(cls, checkpoint: Callable[[str], Path]) -> None:
        cls.folder = checkpoint(cls.variant)

    @classmethod
    def load(cls, dtype: torch.dtype) -> Backend:
        parts = load_parts(cls.variant, cls.folder, dtype)
        return cls.family(parts.model, parts.tokenizer, parts.image_processor)


class TestGemma4Causal(OfVariant):
    variant, family = "gemma4_causal", Gemma4Backend


class TestGemma4Bidirectional(OfVariant):
    variant, family = "gemma4_bidir", Gemma4Backend
