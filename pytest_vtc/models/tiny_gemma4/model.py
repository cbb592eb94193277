"""What tiny-gemma4 is made of: its configuration, its first weights, and how it is written to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4VisionConfig,
    GenerationConfig,
    PreTrainedTokenizerFast,
)
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

PATCH_PX = 16
POOL = 3


def build_model(tokenizer: PreTrainedTokenizerFast) -> Gemma4ForConditionalGeneration:
    token: Any = tokenizer.convert_tokens_to_ids
    text = Gemma4TextConfig(
        vocab_size=len(tokenizer), vocab_size_per_layer_input=len(tokenizer), hidden_size=128, intermediate_size=256,
        num_hidden_layers=4, layer_types=["sliding_attention", "full_attention"] * 2, sliding_window=512,
        num_attention_heads=4, num_key_value_heads=2, head_dim=32, hidden_size_per_layer_input=16,
        global_head_dim=32,  # pyright: ignore[reportCallIssue]  (read by the class, not in its signature)
        final_logit_softcapping=30.0, max_position_embeddings=2048,
        pad_token_id=token("<pad>"), eos_token_id=token("<eos>"), bos_token_id=token("<bos>"),
    )  # fmt: skip
    vision = Gemma4VisionConfig(
        hidden_size=96, intermediate_size=192, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
        head_dim=24, patch_size=PATCH_PX, pooling_kernel_size=POOL, position_embedding_size=256,
    )  # fmt: skip
    config = Gemma4Config(
        text_config=text, vision_config=vision, audio_config=None,
        boi_token_id=token("<|image>"), image_token_id=token("<|image|>"), eoi_token_id=token("<image|>"),
        boa_token_id=token("<|audio>"), audio_token_id=token("<|audio|>"), eoa_token_index=token("<audio|>"),
        video_token_id=token("<|video|>"),
    )  # fmt: skip
    model = Gemma4ForConditionalGeneration(config)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            # Reaches the tied token embeddings through lm_head: scaled by sqrt(128) they match the image tokens.
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    # The class starts this table at ones, which drowns the image.
    tower: Any = model.model.vision_tower
    nn.init.normal_(tower.patch_embedder.position_embedding_table, std=0.5)
    return model


def carry_over(model: Gemma4ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> int:
    """Take the weights of the checkpoint in `folder`, whose tokenizer may lack pieces; returns how many it lacks.

    What belongs to one piece (its row of the token embeddings and of the per-layer embeddings) is found by the piece;
    the rows of new pieces stay as they are.
    """
    old: Any = Gemma4ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    old_ids: dict[str, int] = PreTrainedTokenizerFast.from_pretrained(folder).get_vocab()
    shared = [(new, old_ids[piece]) for piece, new in tokenizer.get_vocab().items() if piece in old_ids]
    to, source = (torch.tensor(ids) for ids in zip(*shared, strict=True))
    weights: dict[str, Tensor] = old.state_dict()
    own: dict[str, Tensor] = model.state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            if tensor.shape == weights[name].shape:
                tensor.copy_(weights[name])
            else:
                tensor[to] = weights[name][source]
    return len(tokenizer) - len(shared)


def save(model: Gemma4ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the files a Gemma 4 checkpoint consists of. Weights in bfloat16, as the real ones."""
    token = tokenizer.convert_tokens_to_ids
    # Sampling by default, as the real checkpoints: whoever evaluates greedily has to say so.
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, top_k=64, top_p=0.95, bos_token_id=token("<bos>"), pad_token_id=token("<pad>"),
        eos_token_id=[token("<eos>"), token("<turn|>"), token("<|tool_response>")],
    )  # fmt: skip
    weights: Any = model
    weights.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Gemma4ImageProcessorPil(max_soft_tokens=70).save_pretrained(folder)
