"""What transformers itself makes of a prompt with images, by each family's own processor: the stock of parity."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from typing import Any
from unittest import mock

import transformers as hf
from PIL import Image
from transformers.models.smolvlm import processing_smolvlm
from transformers.processing_utils import ProcessorMixin

from tests.families.checkpoints import VARIANTS, Parts

_PROCESSORS: dict[str, type[ProcessorMixin]] = {
    "gemma4": hf.Gemma4Processor,
    "gemma4_unified": hf.Gemma4UnifiedProcessor,
    "gemma3": hf.Gemma3Processor,
    "gemma3n": hf.Gemma3nProcessor,
    "qwen2_vl": hf.Qwen2VLProcessor,
    "qwen2_5_vl": hf.Qwen2_5_VLProcessor,
    "qwen3_vl": hf.Qwen3VLProcessor,
    "qwen3_vl_moe": hf.Qwen3VLProcessor,
    "internvl": hf.InternVLProcessor,
    "llava": hf.LlavaProcessor,
    "llava_next": hf.LlavaNextProcessor,
    "llava_onevision": hf.LlavaOnevisionProcessor,
    "smolvlm": hf.SmolVLMProcessor,
    "idefics3": hf.Idefics3Processor,
    "video_llava": hf.VideoLlavaProcessor,
}

_WITH_CLS = {"patch_size": 4, "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default"}
_SETTINGS: dict[str, dict[str, Any]] = {
    "gemma3": {"image_seq_length": 25},
    "gemma3n": {"image_seq_length": 25},
    "internvl": {"image_seq_length": 9},
    "llava": _WITH_CLS,
    "llava_next": _WITH_CLS,
    "llava_onevision": {"num_image_tokens": 16, "vision_feature_select_strategy": "full"},
    "smolvlm": {"image_seq_len": 9},
    "idefics3": {"image_seq_len": 9},
    "video_llava": _WITH_CLS,
}
"""processor_config.json of each family."""


def stock_inputs(name: str, parts: Parts, text: str, images: Sequence[Image.Image]) -> dict[str, Any]:
    """Inputs of `model.generate` for a user's turn of `images`, then `text`: those of the real processor.

    Images of one size are not needed. Made for the variant `name`, from what `load_parts` gave.
    """
    rendered = render(name, parts, text, len(images))
    with _only_text_and_images():
        processor = make_processor(parts)
        inputs = processor(
            text=[rendered],
            images=[list(images)],
            return_tensors="pt",
            add_special_tokens=not rendered.startswith(parts.tokenizer.bos_token or "\0"),
        )
    return {key: value for key, value in inputs.items() if key not in processor.unused_input_names}


def render(name: str, parts: Parts, text: str, n_images: int) -> str:
    """The chat template's text of a user's turn of so many images, then `text`."""
    content = [*({"type": "image"} for _ in range(n_images)), {"type": "text", "text": text}]
    return parts.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}],
        chat_template=VARIANTS[name].template,
        tokenize=False,
        add_generation_prompt=True,
    )


def make_processor(parts: Parts) -> Any:
    """The family's processor, without the parts for videos and sounds."""
    model_type = parts.model.config.model_type
    absent = dict.fromkeys(set(_PROCESSORS[model_type].get_attributes()) - {"image_processor", "tokenizer"})
    with _only_text_and_images():
        return _PROCESSORS[model_type](
            image_processor=parts.image_processor,
            tokenizer=parts.tokenizer,
            **absent,
            **_SETTINGS.get(model_type, {}),
        )


@contextlib.contextmanager
def _only_text_and_images() -> Generator[None]:
    """Lets a processor be made without its other parts, which may need packages that are not here."""
    with (
        mock.patch.object(ProcessorMixin, "check_argument_for_proper_class"),
        mock.patch.object(processing_smolvlm, "num2words", str),
    ):
        yield
