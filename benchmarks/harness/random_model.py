"""A Gemma 4 of the published sizes with random weights: for speed and memory, where the checkpoint is not at hand.

The tokenizer is that of tiny-gemma4, whose token ids exist in any vocabulary; what the model says means nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoTokenizer, Gemma4Config, Gemma4TextConfig, Gemma4VisionConfig
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil

from pytest_vtc.models.catalogue import TINY, locate
from pytest_vtc.models.gemma4 import Gemma4Backend

# Sizes as published with the checkpoints; what is not named here is the default of the configuration's class.
_TEXT: dict[str, dict[str, Any]] = {
    "gemma-4-E2B": {
        "hidden_size": 1536, "intermediate_size": 6144, "num_hidden_layers": 35, "num_attention_heads": 8,
        "num_key_value_heads": 1, "num_kv_shared_layers": 20, "use_double_wide_mlp": True, "full_every": 5,
    },
    "gemma-4-E4B": {
        "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 42, "num_attention_heads": 8,
        "num_key_value_heads": 2, "num_kv_shared_layers": 18, "use_double_wide_mlp": False, "full_every": 6,
    },
}  # fmt: skip
_VOCABULARY = 262_144


def configuration(name: str, n_layers: int | None = None) -> Gemma4Config:
    """Configuration of `gemma-4-E2B` or `gemma-4-E4B`; n_layers: fewer text layers, none shared, for a smaller machine.

    Raises SystemExit naming the known sizes.
    """
    if name.removesuffix("-it") not in _TEXT:
        raise SystemExit(f"--random-weights: {name!r} is not one of {', '.join(_TEXT)}")
    sizes = dict(_TEXT[name.removesuffix("-it")])
    every = sizes.pop("full_every")
    if n_layers is not None:
        sizes |= {"num_hidden_layers": n_layers, "num_kv_shared_layers": 0}
    kinds = [
        "full_attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(sizes["num_hidden_layers"])
    ]
    text = Gemma4TextConfig(
        **sizes, layer_types=kinds, vocab_size=_VOCABULARY, vocab_size_per_layer_input=_VOCABULARY,
        hidden_size_per_layer_input=256, head_dim=256, global_head_dim=512, sliding_window=512,
        final_logit_softcapping=30.0, pad_token_id=0, eos_token_id=1, bos_token_id=2, max_position_embeddings=131_072,
    )  # fmt: skip
    vision = Gemma4VisionConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=16, num_attention_heads=12, num_key_value_heads=12,
        head_dim=64, patch_size=16, pooling_kernel_size=3,
    )  # fmt: skip
    return Gemma4Config(
        text_config=text, vision_config=vision, audio_config=None, boi_token_id=11, image_token_id=12, eoi_token_id=13,
        boa_token_id=14, audio_token_id=15, eoa_token_index=16, video_token_id=17,
    )  # fmt: skip


def random_backend(name: str, n_layers: int | None = None) -> Gemma4Backend:
    """The model in bfloat16 on the GPU if there is one, with the token budget of its checkpoint, 280 an image."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(configuration(name, n_layers), dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(locate(TINY).source)
    return Gemma4Backend(model.eval(), tokenizer, Gemma4ImageProcessorPil(max_soft_tokens=280))
