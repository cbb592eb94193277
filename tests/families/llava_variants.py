"""Tiny checkpoints of the families after LLaVA: CLIP or SigLIP tiles before a Llama or Qwen2."""

from __future__ import annotations

from typing import Any

import transformers as hf

from tests.families import chat_templates
from tests.families.variant import CLIP_NORMALIZE, HALF_NORMALIZE, RESCALE, TEXT_SIZE, VISION_SIZE, Variant
from tests.families.vocabulary import Ids

_TOKENS = ("<unk>", "<s>", "</s>", "<pad>", "<image>", "<video>")
_ROLES = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "image_token": "<image>",
}
_SIDE = 20
"""Of a CLIP tile, in pixels: 5 x 5 tokens, and CLS."""
_CROP: dict[str, Any] = {
    **RESCALE,
    **CLIP_NORMALIZE,
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": _SIDE, "width": _SIDE},
    "size": {"shortest_edge": _SIDE},
}


def _special(ids: Ids) -> dict[str, Any]:
    return {
        "vocab_size": ids.vocabulary_size,
        "num_hidden_layers": 4,
        "pad_token_id": ids["<pad>"],
        "bos_token_id": ids["<s>"],
        "eos_token_id": ids["</s>"],
    }


def _clip() -> hf.CLIPVisionConfig:
    return hf.CLIPVisionConfig(**VISION_SIZE, num_hidden_layers=4, image_size=_SIDE, patch_size=4, projection_dim=64)


_CLIP_CHOICE: dict[str, Any] = {
    "vision_feature_layer": -2,
    "vision_feature_select_strategy": "default",
    "tie_word_embeddings": False,
}


def _llava(ids: Ids) -> hf.LlavaConfig:
    return hf.LlavaConfig(
        text_config=hf.LlamaConfig(**TEXT_SIZE, **_special(ids)),
        vision_config=_clip(),
        image_token_index=ids["<image>"],
        image_seq_length=25,
        **_CLIP_CHOICE,
    )


_NEXT_TILINGS = [[20, 40], [40, 20], [40, 40], [60, 20], [20, 60]]


def _llava_next(ids: Ids) -> hf.LlavaNextConfig:
    return hf.LlavaNextConfig(
        text_config=hf.MistralConfig(**TEXT_SIZE, **_special(ids), sliding_window=None),
        vision_config=_clip(),
        image_token_index=ids["<image>"],
        image_grid_pinpoints=_NEXT_TILINGS,
        image_seq_length=25,
        **_CLIP_CHOICE,
    )


def _video_llava(ids: Ids) -> hf.VideoLlavaConfig:
    return hf.VideoLlavaConfig(
        text_config=hf.LlamaConfig(**TEXT_SIZE, **_special(ids)),
        vision_config=_clip(),
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_seq_length=25,
        **_CLIP_CHOICE,
    )


_CHATML_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
_ONEVISION_SIDE = 32
_ONEVISION_TILINGS = [[_ONEVISION_SIDE * h, _ONEVISION_SIDE * w] for h in range(1, 7) for w in range(1, 7)]


def _llava_onevision(ids: Ids) -> hf.LlavaOnevisionConfig:
    return hf.LlavaOnevisionConfig(
        text_config=hf.Qwen2Config(
            **TEXT_SIZE,
            vocab_size=ids.vocabulary_size,
            num_hidden_layers=4,
            bos_token_id=ids["<|endoftext|>"],
            eos_token_id=ids["<|im_end|>"],
            pad_token_id=ids["<|endoftext|>"],
        ),
        vision_config=hf.SiglipVisionConfig(
            **VISION_SIZE, num_hidden_layers=3, image_size=_ONEVISION_SIDE, patch_size=8, vision_use_head=False
        ),
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
        image_grid_pinpoints=_ONEVISION_TILINGS,
        tie_word_embeddings=False,
    )


LLAVA_VARIANTS: dict[str, Variant] = {
    "llava": Variant(
        config=_llava,
        tokens=_TOKENS,
        roles=_ROLES,
        stops=("</s>",),
        template=chat_templates.LLAVA,
        template_file="chat_template.json",
        preprocessor={**_CROP, "image_processor_type": "CLIPImageProcessor"},
        adds_bos=True,
    ),
    "llava_next": Variant(
        config=_llava_next,
        tokens=_TOKENS,
        roles=_ROLES,
        stops=("</s>",),
        template=chat_templates.LLAVA_NEXT_MISTRAL,
        preprocessor={
            **_CROP,
            "image_processor_type": "LlavaNextImageProcessor",
            "image_grid_pinpoints": _NEXT_TILINGS,
            "do_pad": True,
        },
        adds_bos=True,
    ),
    "llava_onevision": Variant(
        config=_llava_onevision,
        tokens=_CHATML_TOKENS,
        roles={
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
            "image_token": "<image>",
            "video_token": "<video>",
        },
        stops=("<|im_end|>", "<|endoftext|>"),
        template=chat_templates.LLAVA_ONEVISION,
        preprocessor={
            **RESCALE,
            **HALF_NORMALIZE,
            "image_processor_type": "LlavaOnevisionImageProcessor",
            "size": {"height": _ONEVISION_SIDE, "width": _ONEVISION_SIDE},
            "image_grid_pinpoints": _ONEVISION_TILINGS,
            "resample": 3,
            "do_pad": True,
        },
        generation={"do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.8, "repetition_penalty": 1.1},
    ),
    "video_llava": Variant(
        config=_video_llava,
        tokens=_TOKENS,
        roles={**_ROLES, "video_token": "<video>"},
        stops=("</s>",),
        template=chat_templates.LLAVA,
        preprocessor={**_CROP, "image_processor_type": "VideoLlavaImageProcessor"},
        adds_bos=True,
    ),
}
