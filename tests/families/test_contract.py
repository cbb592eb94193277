"""Every kind of model that is supported keeps to the contract of families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.contract import FamilyContract
from pytest_vtc.models.families import BACKENDS
from tests.families.checkpoints import VARIANTS, load_parts


class OfVariant(FamilyContract):
    variant: str

    folder: Path

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _folder(cls, checkpoint: Callable[[str], Path]) -> None:
        cls.folder = checkpoint(cls.variant)

    @classmethod
    def load(cls, dtype: torch.dtype) -> Backend:
        parts = load_parts(cls.variant, cls.folder, dtype)
        family = BACKENDS[parts.model.config.model_type]
        return family(parts.model, parts.tokenizer, parts.image_processor)


class TestGemma4Causal(OfVariant):
    variant = "gemma4_causal"


class TestGemma4Bidirectional(OfVariant):
    variant = "gemma4_bidir"


class TestGemma4Experts(OfVariant):
    variant = "gemma4_moe"


class TestGemma4Unified(OfVariant):
    variant = "gemma4_unified"


class TestGemma3(OfVariant):
    variant = "gemma3"


class TestGemma3n(OfVariant):
    variant = "gemma3n"


class TestQwen2VL(OfVariant):
    variant = "qwen2_vl"


class TestQwen25VL(OfVariant):
    variant = "qwen2_5_vl"


class TestQwen3VL(OfVariant):
    variant = "qwen3_vl"


class TestQwen3VLExperts(OfVariant):
    variant = "qwen3_vl_moe"


class TestInternVL(OfVariant):
    variant = "internvl"


class TestLlava(OfVariant):
    variant = "llava"


class TestLlavaNext(OfVariant):
    variant = "llava_next"


class TestLlavaOnevision(OfVariant):
    variant = "llava_onevision"


class TestSmolVLM(OfVariant):
    variant = "smolvlm"


class TestIdefics3(OfVariant):
    variant = "idefics3"


class TestVideoLlava(OfVariant):
    variant = "video_llava"


def test_no_variant_is_left_out() -> None:
    covered = {test.variant for test in OfVariant.__subclasses__()}
    assert covered == set(VARIANTS)


def test_no_family_is_left_out(checkpoint: Callable[[str], Path]) -> None:
    from transformers import AutoConfig

    assert {AutoConfig.from_pretrained(checkpoint(name)).model_type for name in VARIANTS} == set(BACKENDS)
