"""Tiny checkpoints of Qwen-VL, InternVL, SmolVLM and Idefics3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as hf

from tests.families import chat_templates
from tests.families.variant import CLIP_NORMALIZE, HALF_NORMALIZE, RESCALE, TEXT_SIZE, VISION_SIZE, Variant
from tests.families.vocabulary import Ids

_QWEN_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
_QWEN_ROLES = {
    "eos_token": "<|im_end|>",
    "pad_token": "<|endoftext|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
_QWEN_PATCHES: dict[str, Any] = {"patch_size": 4, "temporal_patch_size": 2}


def _qwen_text(ids: Ids, n_layers: int, rope: dict[str, Any]) -> dict[str, Any]:
    return {
        **TEXT_SIZE,
        "vocab_size": ids.vocabulary_size,
        "num_hidden_layers": n_layers,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "pad_token_id": ids["<|endoftext|>"],
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, **rope},
    }


def _qwen_ids(ids: Ids) -> dict[str, Any]:
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
    }


_QWEN_VISION: dict[str, Any] = {
    "depth": 4,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_heads": 4,
    "out_hidden_size": 64,
    "spatial_merge_size": 2,
    **_QWEN_PATCHES,
}


def _qwen2_5_vl(ids: Ids) -> hf.Qwen2_5_VLConfig:
    return hf.Qwen2_5_VLConfig(
        text_config=_qwen_text(ids, 4, {"mrope_section": [2, 3, 3]}),
        # Windows of 16 px: 2 x 2 tokens.
        vision_config={**_QWEN_VISION, "window_size": 16, "fullatt_block_indexes": [1, 3], "tokens_per_second": 4},
        **_qwen_ids(ids),
    )


def _qwen2_vl(ids: Ids) -> hf.Qwen2VLConfig:
    return hf.Qwen2VLConfig(
        text_config=_qwen_text(ids, 4, {"mrope_section": [2, 3, 3]}),
        # hidden_size is that of the text here.
        vision_config={
            "depth": 4,
            "embed_dim": 64,
            "hidden_size": 64,
            "num_heads": 4,
            "mlp_ratio": 2,
            "spatial_merge_size": 2,
            **_QWEN_PATCHES,
        },
        **_qwen_ids(ids),
    )


def _qwen3_text(ids: Ids) -> dict[str, Any]:
    return {**_qwen_text(ids, 5, {"mrope_section": [4, 2, 2], "mrope_interleaved": True}), "head_dim": 16}


_QWEN3_VISION: dict[str, Any] = {
    **_QWEN_VISION,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 1, 2],
}


def _qwen3_vl(ids: Ids) -> hf.Qwen3VLConfig:
    return hf.Qwen3VLConfig(text_config=_qwen3_text(ids), vision_config=_QWEN3_VISION, **_qwen_ids(ids))


def _qwen3_vl_moe(ids: Ids) -> hf.Qwen3VLMoeConfig:
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    return hf.Qwen3VLMoeConfig(
        text_config={**_qwen3_text(ids), **experts}, vision_config=_QWEN3_VISION, **_qwen_ids(ids)
    )


_QWEN_PREPROCESSOR: dict[str, Any] = {
    **RESCALE,
    **_QWEN_PATCHES,
    "image_processor_type": "Qwen2VLImageProcessor",
    "merge_size": 2,
    "resample": 3,
}


_INTERNVL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>"),
    *("<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>", "<video>"),
)


def _internvl(ids: Ids) -> hf.InternVLConfig:
    return hf.InternVLConfig(
        text_config=hf.Qwen2Config(
            **TEXT_SIZE,
            vocab_size=ids.vocabulary_size,
            num_hidden_layers=4,
            bos_token_id=ids["<|endoftext|>"],
            eos_token_id=ids["<|im_end|>"],
            pad_token_id=ids["<|endoftext|>"],
        ),
        # 6 x 6 patches and CLS; pixel shuffle makes 3 x 3 tokens of them.
        vision_config=hf.InternVLVisionConfig(
            **VISION_SIZE, num_hidden_layers=3, image_size=[24, 24], patch_size=[4, 4]
        ),
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=9,
        downsample_ratio=0.5,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
    )


_TILE_TAGS = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
_AROUND_IMAGES = ("<fake_token_around_image>", "<image>", "<end_of_utterance>")
_SMOLVLM_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<global-img>", *_TILE_TAGS, *_AROUND_IMAGES)
_IDEFICS3_TOKENS = (
    *("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|finetune_right_pad_id|>"),
    *("<global-img>", *_TILE_TAGS, *_AROUND_IMAGES),
)


def _splitting(processor: str, tile: int, longest: int) -> dict[str, Any]:
    return {
        **RESCALE,
        **HALF_NORMALIZE,
        "image_processor_type": processor,
        "do_image_splitting": True,
        "do_pad": True,
        "resample": 1,
        "size": {"longest_edge": longest},
        "max_image_size": {"longest_edge": tile},
    }


def _smolvlm(ids: Ids) -> hf.SmolVLMConfig:
    special: dict[str, Any] = {
        "bos_token_id": ids["<|im_start|>"],
        "eos_token_id": ids["<end_of_utterance>"],
        "pad_token_id": ids["<|im_end|>"],
    }
    return hf.SmolVLMConfig(
        text_config=hf.LlamaConfig(**TEXT_SIZE, **special, vocab_size=ids.vocabulary_size, num_hidden_layers=4),
        # 12 x 12 patches, 3 x 3 tokens
        vision_config=hf.SmolVLMVisionConfig(**VISION_SIZE, num_hidden_layers=3, image_size=48, patch_size=4),
        image_token_id=ids["<image>"],
        scale_factor=4,
        tie_word_embeddings=False,
        **special,
    )


def _idefics3(ids: Ids) -> hf.Idefics3Config:
    special: dict[str, Any] = {
        "bos_token_id": ids["<|begin_of_text|>"],
        "eos_token_id": ids["<|end_of_text|>"],
        "pad_token_id": ids["<|finetune_right_pad_id|>"],
    }
    return hf.Idefics3Config(
        text_config=hf.LlamaConfig(**TEXT_SIZE, **special, vocab_size=ids.vocabulary_size, num_hidden_layers=4),
        # 6 x 6 patches, 3 x 3 tokens
        vision_config=hf.Idefics3VisionConfig(**VISION_SIZE, num_hidden_layers=3, image_size=24, patch_size=4),
        image_token_id=ids["<image>"],
        scale_factor=2,
        tie_word_embeddings=False,
        **special,
    )


def _qwen2(config: Callable[[Ids], Any], generation: dict[str, Any]) -> Variant:
    return Variant(
        config=config,
        tokens=_QWEN_TOKENS,
        roles=_QWEN_ROLES,
        stops=("<|im_end|>", "<|endoftext|>"),
        template=chat_templates.QWEN2_5_VL,
        # At most 48 tokens of 8 x 8 px
        preprocessor={**_QWEN_PREPROCESSOR, **CLIP_NORMALIZE, "min_pixels": 4 * 64, "max_pixels": 48 * 64},
        generation={"do_sample": True, **generation},
    )


def _qwen3(config: Callable[[Ids], Any]) -> Variant:
    return Variant(
        config=config,
        tokens=_QWEN_TOKENS,
        roles=_QWEN_ROLES,
        stops=("<|im_end|>", "<|endoftext|>"),
        template=chat_templates.QWEN3_VL,
        preprocessor={
            **_QWEN_PREPROCESSOR,
            **HALF_NORMALIZE,
            "size": {"shortest_edge": 4 * 64, "longest_edge": 48 * 64},
        },
        generation={"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8},
    )


OTHER_VARIANTS: dict[str, Variant] = {
    "qwen2_vl": _qwen2(_qwen2_vl, {"temperature": 0.01, "top_k": 1, "top_p": 0.001}),
    "qwen2_5_vl": _qwen2(_qwen2_5_vl, {"temperature": 1e-6, "repetition_penalty": 1.05}),
    "qwen3_vl": _qwen3(_qwen3_vl),
    "qwen3_vl_moe": _qwen3(_qwen3_vl_moe),
    "internvl": Variant(
        config=_internvl,
        tokens=_INTERNVL_TOKENS,
        roles={
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "context_image_token": "<IMG_CONTEXT>",
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "video_token": "<video>",
        },
        stops=("<|im_end|>", "<|endoftext|>"),
        template=chat_templates.INTERNVL,
        preprocessor={
            **RESCALE,
            "do_normalize": True,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
            "image_processor_type": "GotOcr2ImageProcessor",
            "size": {"height": 24, "width": 24},
            # As the real file says; the processor asks for tiles all the same.
            "crop_to_patches": False,
            "min_patches": 1,
            "max_patches": 4,
            "resample": 3,
        },
    ),
    "smolvlm": Variant(
        config=_smolvlm,
        tokens=_SMOLVLM_TOKENS,
        roles={
            "bos_token": "<|im_start|>",
            "eos_token": "<end_of_utterance>",
            "pad_token": "<|im_end|>",
            "image_token": "<image>",
            "fake_image_token": "<fake_token_around_image>",
            "global_image_token": "<global-img>",
            "end_of_utterance_token": "<end_of_utterance>",
        },
        stops=("<end_of_utterance>", "<|im_end|>"),
        template=chat_templates.SMOLVLM,
        preprocessor=_splitting("SmolVLMImageProcessor", tile=48, longest=96),
    ),
    "idefics3": Variant(
        config=_idefics3,
        tokens=_IDEFICS3_TOKENS,
        roles={
            "bos_token": "<|begin_of_text|>",
            "eos_token": "<|end_of_text|>",
            "pad_token": "<|finetune_right_pad_id|>",
        },
        stops=("<|end_of_text|>", "<end_of_utterance>"),
        template=chat_templates.IDEFICS3,
        preprocessor=_splitting("Idefics3ImageProcessor", tile=24, longest=48),
        adds_bos=True,
    ),
}
