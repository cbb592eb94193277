"""Tiny checkpoints of the Gemma families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as hf

from tests.families import chat_templates
from tests.families.variant import HALF_NORMALIZE, RESCALE, TEXT_SIZE, VISION_SIZE, Variant
from tests.families.vocabulary import Ids

_LAYERS = ["sliding_attention", "sliding_attention", "full_attention"]

_GEMMA4_TOKENS = (
    *("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<|turn>", "<turn|>", "<|think|>", "<|channel>", "<channel|>"),
    *("<|tool_response>", "<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>"),
)
_GEMMA4_ROLES = {
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
    "sot_token": "<|turn>",
    "eot_token": "<turn|>",
    "soc_token": "<|channel>",
    "eoc_token": "<channel|>",
    "think_token": "<|think|>",
    "etr_token": "<|tool_response>",
    "boi_token": "<|image>",
    "image_token": "<|image|>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "audio_token": "<|audio|>",
    "eoa_token": "<audio|>",
    "video_token": "<|video|>",
}
_PATCHES: dict[str, Any] = {"patch_size": 4, "pooling_kernel_size": 3}
_GEMMA4_PREPROCESSOR = {**RESCALE, **_PATCHES, "do_normalize": False, "resample": 3, "max_soft_tokens": 70}


def _text(ids: Ids, n_layers: int, **options: Any) -> dict[str, Any]:
    return {
        **TEXT_SIZE,
        "vocab_size": ids.vocabulary_size,
        "num_hidden_layers": n_layers,
        "layer_types": [_LAYERS[i % 3] for i in range(n_layers)],
        "head_dim": 16,
        "sliding_window": 512,
        "pad_token_id": ids["<pad>"],
        "bos_token_id": ids["<bos>"],
        "eos_token_id": ids["<eos>"],
        **options,
    }


def _gemma4_ids(ids: Ids) -> dict[str, Any]:
    return {
        "image_token_id": ids["<|image|>"],
        "boi_token_id": ids["<|image>"],
        "eoi_token_id": ids["<image|>"],
        "video_token_id": ids["<|video|>"],
        "audio_token_id": ids["<|audio|>"],
        "boa_token_id": ids["<|audio>"],
        "eoa_token_index": ids["<audio|>"],
        "audio_config": None,
        "tie_word_embeddings": False,
    }


_FULL_LAYERS = {"global_head_dim": 32, "final_logit_softcapping": 30.0}
_BIDIRECTIONAL = {
    **_FULL_LAYERS,
    "use_bidirectional_attention": "vision",
    "attention_k_eq_v": True,
    "num_global_key_value_heads": 1,
}


def _gemma4(standardize: bool, n_layers: int, **text: Any) -> Callable[[Ids], Any]:
    def config(ids: Ids) -> hf.Gemma4Config:
        return hf.Gemma4Config(
            text_config=hf.Gemma4TextConfig(
                **_text(ids, n_layers, vocab_size_per_layer_input=ids.vocabulary_size, **text)
            ),
            vision_config=hf.Gemma4VisionConfig(
                **VISION_SIZE,
                **_PATCHES,
                num_hidden_layers=3,
                num_key_value_heads=4,
                head_dim=16,
                position_embedding_size=256,
                standardize=standardize,
            ),
            **_gemma4_ids(ids),
        )

    return config


def _gemma4_unified(ids: Ids) -> hf.Gemma4UnifiedConfig:
    return hf.Gemma4UnifiedConfig(
        text_config=hf.Gemma4UnifiedTextConfig(**_text(ids, 3, **_BIDIRECTIONAL)),
        vision_config=hf.Gemma4UnifiedVisionConfig(**_PATCHES, mm_embed_dim=64, mm_posemb_size=80, output_proj_dims=64),
        **_gemma4_ids(ids),
    )


def _gemma4_variant(
    config: Callable[[Ids], Any], processor: str, empty_thought: bool, image: str = r"\n\n<|image|>\n\n"
) -> Variant:
    return Variant(
        config=config,
        tokens=_GEMMA4_TOKENS,
        roles=_GEMMA4_ROLES,
        stops=("<eos>", "<turn|>", "<|tool_response>"),
        template=chat_templates.gemma4(image, empty_thought),
        preprocessor={**_GEMMA4_PREPROCESSOR, "image_processor_type": processor},
        generation={"do_sample": True, "temperature": 1.0, "top_k": 64, "top_p": 0.95},
    )


_GEMMA3_TOKENS = (
    *("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"),
    *("<start_of_image>", "<end_of_image>", "<image_soft_token>"),
)
_GEMMA3_ROLES = {
    "bos_token": "<bos>",
    "eos_token": "<eos>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
}


def _gemma3(ids: Ids) -> hf.Gemma3Config:
    return hf.Gemma3Config(
        text_config=hf.Gemma3TextConfig(**_text(ids, 6, query_pre_attn_scalar=1)),
        vision_config=hf.SiglipVisionConfig(
            **VISION_SIZE, num_hidden_layers=3, image_size=80, patch_size=4, vision_use_head=False
        ),
        mm_tokens_per_image=25,
        image_token_index=ids["<image_soft_token>"],
        boi_token_index=ids["<start_of_image>"],
        eoi_token_index=ids["<end_of_image>"],
        tie_word_embeddings=False,
    )


# As in the real vocabulary, those of images and of sounds each lie in a row at the end, after all that has per-layer
# embeddings; a table of the vision side and one of the audio side hold their embeddings.
_GEMMA3N_VISION = ("<end_of_image>", "<image_soft_token>", "<unused_vision_0>", "<unused_vision_1>")
_GEMMA3N_AUDIO = ("<end_of_audio>", "<audio_soft_token>", "<unused_audio_0>", "<unused_audio_1>")
_GEMMA3N_TOKENS = (
    *("<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"),
    *("<start_of_image>", "<start_of_audio>", *_GEMMA3N_VISION, *_GEMMA3N_AUDIO),
)
_GEMMA3N_ROLES = {
    **_GEMMA3_ROLES,
    "boa_token": "<start_of_audio>",
    "eoa_token": "<end_of_audio>",
    "audio_token": "<audio_soft_token>",
}


def _gemma3n(ids: Ids) -> hf.Gemma3nConfig:
    text = _text(ids, 5, vocab_size_per_layer_input=ids["<end_of_image>"], hidden_size_per_layer_input=16)
    return hf.Gemma3nConfig(
        text_config=hf.Gemma3nTextConfig(
            **{**text, "layer_types": [*_LAYERS, "sliding_attention", "full_attention"]},
            num_kv_shared_layers=2,
            laurel_rank=8,
        ),
        vision_config=hf.Gemma3nVisionConfig(
            hidden_size=64, vocab_size=len(_GEMMA3N_VISION), vocab_offset=ids["<end_of_image>"]
        ),
        audio_config=hf.Gemma3nAudioConfig(
            hidden_size=32,
            vocab_size=len(_GEMMA3N_AUDIO),
            vocab_offset=ids["<end_of_audio>"],
            conf_num_hidden_layers=1,
            conf_num_attention_heads=2,
            sscp_conv_channel_size=[8, 4],
        ),
        vision_soft_tokens_per_image=25,
        image_token_id=ids["<image_soft_token>"],
        boi_token_id=ids["<start_of_image>"],
        eoi_token_id=ids["<end_of_image>"],
        audio_token_id=ids["<audio_soft_token>"],
        boa_token_id=ids["<start_of_audio>"],
        eoa_token_id=ids["<end_of_audio>"],
        tie_word_embeddings=False,
    )


GEMMA_VARIANTS: dict[str, Variant] = {
    # E2B, E4B: per-layer embeddings, later layers that share keys and values, causal throughout.
    "gemma4_causal": _gemma4_variant(
        _gemma4(
            False, 6, **_FULL_LAYERS, hidden_size_per_layer_input=16, num_kv_shared_layers=2, use_double_wide_mlp=True
        ),
        "Gemma4ImageProcessor",
        empty_thought=False,
    ),
    # 31B: image tokens see each other in sliding layers; keys are values in full ones.
    "gemma4_bidir": _gemma4_variant(
        _gemma4(True, 6, **_BIDIRECTIONAL, hidden_size_per_layer_input=0), "Gemma4ImageProcessor", empty_thought=True
    ),
    # 26B-A4B
    "gemma4_moe": _gemma4_variant(
        _gemma4(
            True,
            3,
            **_BIDIRECTIONAL,
            hidden_size_per_layer_input=0,
            enable_moe_block=True,
            num_experts=4,
            top_k_experts=2,
            moe_intermediate_size=64,
        ),
        "Gemma4ImageProcessor",
        empty_thought=True,
        image="<|image|>",
    ),
    # 12B: no vision tower
    "gemma4_unified": _gemma4_variant(_gemma4_unified, "Gemma4UnifiedImageProcessor", empty_thought=True),
    "gemma3": Variant(
        config=_gemma3,
        tokens=_GEMMA3_TOKENS,
        roles=_GEMMA3_ROLES,
        stops=("<eos>", "<end_of_turn>"),
        template=chat_templates.gemma3("<start_of_image>"),
        preprocessor={
            **RESCALE,
            **HALF_NORMALIZE,
            "image_processor_type": "Gemma3ImageProcessor",
            "size": {"height": 80, "width": 80},
            "resample": 2,
            "do_pan_and_scan": None,
        },
        adds_bos=True,
        generation={"do_sample": True, "top_k": 64, "top_p": 0.95, "cache_implementation": "hybrid"},
    ),
    "gemma3n": Variant(
        config=_gemma3n,
        tokens=_GEMMA3N_TOKENS,
        roles=_GEMMA3N_ROLES,
        stops=("<eos>", "<end_of_turn>"),
        template=chat_templates.gemma3("<image_soft_token>"),
        preprocessor={
            **RESCALE,
            "image_processor_type": "SiglipImageProcessor",
            "do_normalize": False,
            "size": {"height": 40, "width": 40},
            "resample": 2,
        },
        adds_bos=True,
        generation={"do_sample": True, "top_k": 64, "top_p": 0.95},
    ),
}
