"""Qwen3-VL, dense and with experts."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from torch import Tensor

from pytest_vtc.models.decoding import Output
from pytest_vtc.models.qwen2_5_vl import QwenVLBackend

_THOUGHT = "<think>\n"


class Qwen3VLBackend(QwenVLBackend):
    """Tokens of 32 px; to them the language model adds, layer by layer, what encoder layers saw (deepstack)."""

    model_type = "qwen3_vl"

    def _pack(self, features: list[Tensor], deepstack: list[Tensor]) -> Any:
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        width = self.model.config.get_text_config().hidden_size
        by_image = [of_image.split(width, dim=1) for of_image in deepstack]
        packed = BaseModelOutputWithDeepstackFeatures(
            pooler_output=tuple(features),  # pyright: ignore[reportArgumentType]
            deepstack_features=[*zip(*by_image, strict=True)],  # pyright: ignore[reportArgumentType]
        )
        return {"image": packed}

    @cached_property
    def _thinks(self) -> bool:
        """The prompt has begun a thought already, as that of the Thinking checkpoints does."""
        turn = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
        return self.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True).endswith(_THOUGHT)

    def _opening(self, prompt: str) -> str:
        return "\n</think>\n\n" if prompt.endswith(_THOUGHT) else ""

    def _visible(self, token_ids: list[int]) -> list[int]:
        end = self.tokenizer.convert_tokens_to_ids("</think>")
        ends = [place for place, token in enumerate(token_ids) if token == end]
        return token_ids[ends[-1] + 1 :] if ends else token_ids

    def answer(self, output: Output) -> str:
        in_thought = output.truncated and self._thinks and self._visible(output.token_ids) == output.token_ids
        return "" if in_thought else super().answer(output)


class Qwen3VLMoeBackend(Qwen3VLBackend):
    """The same with a mixture of experts in the language model."""

    model_type = "qwen3_vl_moe"
