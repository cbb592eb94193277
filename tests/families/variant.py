"""What is said of one tiny checkpoint: its configuration, its tokens, its chat template and its image processor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.families.vocabulary import Ids

TEXT_SIZE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": False,
}
"""Of every language model here. 4-bit kernels want multiples of 64; a tied output layer would repeat its input."""

VISION_SIZE: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
"""Of every vision tower here that calls its sizes so."""

RESCALE: dict[str, Any] = {"do_rescale": True, "rescale_factor": 1 / 255, "do_convert_rgb": True, "do_resize": True}

CLIP_NORMALIZE: dict[str, Any] = {
    "do_normalize": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
HALF_NORMALIZE: dict[str, Any] = {"do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


@dataclass(frozen=True)
class Variant:
    """A tiny checkpoint, in the terms of its files.

    config: the configuration, given the token ids. tokens: special tokens, in the order of their ids.
    roles: which of them is `bos_token`, `image_token` ... stops: which of them end an answer. adds_bos: whether the
    tokenizer writes `bos_token`, because the template does not. template: the chat template, in `template_file`.
    preprocessor: preprocessor_config.json. generation: generation_config.json, beside token ids.
    """

    config: Callable[[Ids], Any]
    tokens: tuple[str, ...]
    roles: Mapping[str, str]
    stops: tuple[str, ...]
    template: str
    preprocessor: Mapping[str, Any]
    generation: Mapping[str, Any] = field(default_factory=dict)
    adds_bos: bool = False
    template_file: str = "chat_template.jinja"
