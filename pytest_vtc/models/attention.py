"""Which attention kernel a model runs on: what can be had, and what it really uses."""

from __future__ import annotations

from typing import Any, Literal

import torch
from transformers.utils.import_utils import is_flash_attn_2_available, is_kernels_available

from pytest_vtc.models.catalogue import ModelError

Attention = Literal["sdpa", "eager", "flash_attention_2", "flex_attention"]

ATTENTIONS: tuple[Attention, ...] = ("sdpa", "eager", "flash_attention_2", "flex_attention")


def check_attention(attention: Attention, config: Any, dtype: torch.dtype) -> None:
    """Raises ModelError if this machine, or this model on it, cannot run on `attention`.

    config: of the checkpoint. Whether a model class has the kernel at all shows when its skeleton is built.
    """
    if attention != "flash_attention_2":
        return
    if not (is_flash_attn_2_available() or (is_kernels_available() and torch.cuda.is_available())):
        raise ModelError(
            "--vtc-attention flash_attention_2 needs a CUDA GPU and the package flash-attn, which are not both here: "
            "pip install flash-attn --no-build-isolation, or leave the option out"
        )
    if sees_images_both_ways(config):
        # transformers drops the mask of such blocks for flash attention without a word: another model would be run.
        raise ModelError(
            f"--vtc-attention flash_attention_2: in this {config.model_type} checkpoint the tokens of an image "
            "attend to each other in both directions, which flash attention cannot do; use sdpa or eager"
        )
    if dtype not in (torch.bfloat16, torch.float16):
        raise ModelError(
            "--vtc-attention flash_attention_2 computes in half precision only; add --vtc-dtype bfloat16 or float16"
        )


def attention_by_part(attention: Attention, config: Any) -> str | dict[str, str]:
    """What `attn_implementation` is to be: of a model that can hear as well, for text and images alone.

    The audio parts of transformers know fewer kernels, and a model would refuse to be built for the sake of a part that
    is never run.
    """
    if getattr(config, "audio_config", None) is None:
        return attention
    return dict.fromkeys(("", "text_config", "vision_config"), attention)


def sees_images_both_ways(config: Any) -> bool:
    """Whether the tokens of one image attend to later ones of the same image in the language model."""
    if config.model_type == "gemma3":
        return True
    return getattr(config.get_text_config(), "use_bidirectional_attention", None) == "vision"


def attention_in_use(model: Any) -> dict[str, str]:
    """The kernels of a loaded model: of its language model (`text`) and, if it has one, of its tower (`vision`)."""
    found = {"text": str(model.config.get_text_config()._attn_implementation)}
    vision: Any = getattr(model.config, "vision_config", None)
    if getattr(vision, "_attn_implementation", None) is not None:
        found["vision"] = str(vision._attn_implementation)
    return found
