"""Attention kernels: refused where they cannot be had, or would make another model of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig

from pytest_vtc.models import attention
from pytest_vtc.models.attention import check_attention, sees_images_both_ways
from pytest_vtc.models.catalogue import CATALOGUE, TINY, ModelError, locate
from pytest_vtc.models.loading import count


@pytest.fixture
def with_flash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: True)


def test_flash_attention_without_its_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: False)
    monkeypatch.setattr(attention, "is_kernels_available", lambda: False)
    with pytest.raises(ModelError, match="pip install flash-attn"):
        check_attention("flash_attention_2", AutoConfig.for_model("llava"), torch.bfloat16)


@pytest.mark.usefixtures("with_flash")
def test_flash_attention_computes_in_half_precision() -> None:
    check_attention("flash_attention_2", AutoConfig.for_model("llava"), torch.bfloat16)
    with pytest.raises(ModelError, match="add --vtc-dtype bfloat16"):
        check_attention("flash_attention_2", AutoConfig.for_model("llava"), torch.float32)


@pytest.mark.usefixtures("with_flash")
@pytest.mark.parametrize(("family", "text"), [("gemma3", {}), ("gemma4", {"use_bidirectional_attention": "vision"})])
def test_flash_attention_is_refused_where_images_are_seen_both_ways(family: str, text: dict[str, str]) -> None:
    config = AutoConfig.for_model(family, text_config=text)
    with pytest.raises(ModelError, match="attend to each other in both directions"):
        check_attention("flash_attention_2", config, torch.bfloat16)


def test_the_smaller_gemma_4_see_images_one_way() -> None:
    assert not sees_images_both_ways(AutoConfig.from_pretrained(CATALOGUE[TINY].location))


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_models_that_hear_as_well_are_built_on_any_kernel(kernel: Any) -> None:
    config = AutoConfig.for_model("gemma4", vision_config={}, audio_config={})
    assert count(locate(TINY), config, kernel, torch.bfloat16).total > 0


def test_a_family_without_a_kernel_says_so() -> None:
    with pytest.raises(ModelError, match=r"qwen3_vl models cannot run on --vtc-attention flex_attention: .*; use sdpa"):
        count(locate(TINY), AutoConfig.for_model("qwen3_vl"), "flex_attention", torch.bfloat16)
