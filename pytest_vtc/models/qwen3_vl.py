"""Qwen3-VL, dense and with experts."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

from pytest_vtc.models.qwen2_5_vl import QwenVLBackend


class Qwen3VLBackend(QwenVLBackend):
    """Tokens of 32 px, to which the first layers of the language model add what three encoder layers saw (deepstack)."""

    model_type = "qwen3_vl"

    def _pack(self, features: list[Tensor], deepstack: list[Tensor]) -> Any:
        width = self.model.config.get_text_config().hidden_size
        by_image = [of_image.split(width, dim=1) for of_image in deepstack]
        packed = BaseModelOutputWithDeepstackFeatures(
            pooler_output=tuple(features),  # pyright: ignore[reportArgumentType]
            deepstack_features=[*zip(*by_image, strict=True)],  # pyright: ignore[reportArgumentType]
        )
        return {"image": packed}


class Qwen3VLMoeBackend(Qwen3VLBackend):
    """The same with a mixture of experts in the language model."""

    model_type = "qwen3_vl_moe"
