"""The tiny checkpoints are such that a test of parity on them means something."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from tests.families.checkpoints import NEEDS_TIMM, NEEDS_TORCHVISION, VARIANTS, Parts, make_checkpoint
from tests.families.pictures import picture
from tests.families.stock import render, stock_inputs

WIDE, TALL = picture(96, 64, seed=0), picture(60, 100, seed=1)

every_variant = pytest.mark.parametrize("name", VARIANTS)


def answer(name: str, parts: Parts, *images: Image.Image) -> list[int]:
    inputs = stock_inputs(name, parts, "What is it?", images)
    ids = parts.model.generate(**inputs, max_new_tokens=8, do_sample=False)
    return ids[0, inputs["input_ids"].shape[1] :].tolist()


@every_variant
def test_folder_loads_through_the_auto_classes(checkpoint: Callable[[str], Path], name: str) -> None:
    folder = checkpoint(name)
    config = AutoConfig.from_pretrained(folder)
    assert len(AutoTokenizer.from_pretrained(folder)) == config.get_text_config().vocab_size
    if name not in NEEDS_TORCHVISION:
        AutoImageProcessor.from_pretrained(folder, backend="pil")
    if name not in NEEDS_TIMM:
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype="auto")
        assert model.dtype == torch.bfloat16
        assert type(model.config) is type(config)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
@pytest.mark.parametrize("name", sorted(NEEDS_TORCHVISION))
def test_image_processor_that_needs_torchvision_says_so(checkpoint: Callable[[str], Path], name: str) -> None:
    with pytest.raises(ValueError, match="Missing optional dependencies: torchvision"):
        AutoImageProcessor.from_pretrained(checkpoint(name), backend="pil")


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
@pytest.mark.parametrize("name", sorted(NEEDS_TIMM))
def test_weights_that_need_timm_say_so(checkpoint: Callable[[str], Path], name: str) -> None:
    with pytest.raises(ImportError, match="timm"):
        AutoModelForImageTextToText.from_pretrained(checkpoint(name))


@every_variant
def test_token_ids_of_the_configuration_are_those_of_the_tokenizer(parts: Callable[[str], Parts], name: str) -> None:
    loaded, roles = parts(name), VARIANTS[name].roles
    ids = loaded.tokenizer.convert_tokens_to_ids
    image_token = roles.get("image_token") or roles.get("context_image_token") or "<image>"
    assert loaded.model.config.image_token_id == ids(image_token)
    assert loaded.model.generation_config.eos_token_id == [ids(token) for token in VARIANTS[name].stops]
    assert loaded.model.config.get_text_config().pad_token_id == loaded.tokenizer.pad_token_id


@every_variant
def test_letters_of_options_are_single_tokens(parts: Callable[[str], Parts], name: str) -> None:
    tokenizer = parts(name).tokenizer
    for letter in "ABCDEFGHIJ":
        for text in (letter, f" {letter}"):
            assert len(tokenizer(text, add_special_tokens=False)["input_ids"]) == 1


@every_variant
def test_answers_differ_between_images_and_say_more_than_one_token(parts: Callable[[str], Parts], name: str) -> None:
    answers = [answer(name, parts(name), image) for image in (WIDE, TALL)]
    assert answers[0] != answers[1]
    for ids in answers:
        assert len(ids) == 8, "an answer ended early"
        assert len(set(ids)) > 2


@every_variant
def test_answer_to_two_images_is_not_that_to_one_of_them(parts: Callable[[str], Parts], name: str) -> None:
    both = answer(name, parts(name), WIDE, TALL)
    assert both not in (answer(name, parts(name), WIDE), answer(name, parts(name), TALL))


@every_variant
def test_every_text_is_read_and_written_back(parts: Callable[[str], Parts], name: str) -> None:
    tokenizer = parts(name).tokenizer
    text = "Which of (A) to (J) is it?\n\nAnswer: "
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_sliding_window_is_as_asked(tmp_path: Path) -> None:
    folder = make_checkpoint("gemma3", tmp_path, sliding_window=8)
    assert AutoConfig.from_pretrained(folder).text_config.sliding_window == 8


def test_sliding_window_of_a_model_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="llava has no layers with a sliding window"):
        make_checkpoint("llava", tmp_path, sliding_window=8)


def test_same_seed_makes_the_same_weights(tmp_path: Path) -> None:
    first, second = (make_checkpoint("llava", tmp_path / str(i)) / "model.safetensors" for i in range(2))
    assert first.read_bytes() == second.read_bytes()


PROMPTS: dict[str, str] = {
    "gemma4_causal": "<bos><|turn>user\n\n\n<|image|>\n\n{text}<turn|>\n<|turn>model\n",
    "gemma4_bidir": "<bos><|turn>user\n\n\n<|image|>\n\n{text}<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
    "gemma4_moe": "<bos><|turn>user\n<|image|>{text}<turn|>\n<|turn>model\n<|channel>thought\n<channel|>",
    "gemma3": "<bos><start_of_turn>user\n<start_of_image>{text}<end_of_turn>\n<start_of_turn>model\n",
    "gemma3n": "<bos><start_of_turn>user\n<image_soft_token>{text}<end_of_turn>\n<start_of_turn>model\n",
    "qwen2_5_vl": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        "<|vision_start|><|image_pad|><|vision_end|>{text}<|im_end|>\n<|im_start|>assistant\n"
    ),
    "qwen3_vl": (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>{text}<|im_end|>\n<|im_start|>assistant\n"
    ),
    "internvl": "<|im_start|>user\n<IMG_CONTEXT>\n{text}<|im_end|>\n<|im_start|>assistant\n",
    "llava": "USER: <image>\n{text} ASSISTANT:",
    "llava_next": "[INST] <image>\n{text} [/INST]",
    "llava_onevision": "<|im_start|>user <image>\n{text}<|im_end|><|im_start|>assistant\n",
    "smolvlm": "<|im_start|>User:<image>{text}<end_of_utterance>\nAssistant:",
    "idefics3": "<|begin_of_text|>User:<image>{text}<end_of_utterance>\nAssistant:",
    "video_llava": "USER: <image>\n{text} ASSISTANT:",
}


@pytest.mark.parametrize(("name", "prompt"), PROMPTS.items())
def test_prompt_is_laid_out_as_the_real_template_does(parts: Callable[[str], Parts], name: str, prompt: str) -> None:
    assert render(name, parts(name), "What?", 1) == prompt.format(text="What?")
