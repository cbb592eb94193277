"""What is known of published checkpoints: the shapes are theirs, and tokens, prompts and images fit one another."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils.chat_template_utils import render_jinja_template

from pytest_vtc.models.catalogue import CATALOGUE, TINY
from pytest_vtc.models.configurations import Description, descriptions
from pytest_vtc.models.kv_cache import refuse_cache
from pytest_vtc.models.random_catalogue import RandomModel, random_names
from pytest_vtc.models.random_weights import random_config

# Billions of parameters as the Hub counts the checkpoints' tensors.
PUBLISHED = {
    "google/gemma-4-E2B-it": 5.10,
    "google/gemma-4-E4B-it": 7.94,
    "google/gemma-4-12B-it": 11.96,
    "google/gemma-4-26B-A4B-it": 25.81,
    "google/gemma-4-31B-it": 31.27,
    "google/gemma-3-4b-it": 4.30,
    "google/gemma-3-12b-it": 12.19,
    "google/gemma-3-27b-it": 27.43,
    "Qwen/Qwen2.5-VL-3B-Instruct": 3.755,
    "Qwen/Qwen2.5-VL-7B-Instruct": 8.292,
    "Qwen/Qwen2.5-VL-32B-Instruct": 33.45,
    "Qwen/Qwen2.5-VL-72B-Instruct": 73.41,
    "Qwen/Qwen3-VL-2B-Instruct": 2.128,
    "Qwen/Qwen3-VL-4B-Instruct": 4.438,
    "Qwen/Qwen3-VL-8B-Instruct": 8.767,
    "Qwen/Qwen3-VL-32B-Instruct": 33.36,
    "OpenGVLab/InternVL3-1B-hf": 0.938,
    "OpenGVLab/InternVL3-2B-hf": 2.09,
    "OpenGVLab/InternVL3-8B-hf": 7.94,
    "OpenGVLab/InternVL3-14B-hf": 15.1,
    "OpenGVLab/InternVL3-38B-hf": 38.4,
    "OpenGVLab/InternVL3-78B-hf": 78.4,
    "llava-hf/llava-1.5-7b-hf": 7.063,
    "llava-hf/llava-1.5-13b-hf": 13.35,
    "llava-hf/llava-v1.6-mistral-7b-hf": 7.567,
    "llava-hf/llava-v1.6-vicuna-7b-hf": 7.063,
    "llava-hf/llava-v1.6-vicuna-13b-hf": 13.35,
    "llava-hf/llava-v1.6-34b-hf": 34.75,
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": 0.894,
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": 8.03,
    "llava-hf/llava-onevision-qwen2-72b-ov-hf": 73.2,
    "HuggingFaceTB/SmolVLM2-256M-Video-Instruct": 0.2565,
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": 0.5075,
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": 2.247,
    "HuggingFaceTB/SmolVLM-256M-Instruct": 0.2565,
    "HuggingFaceTB/SmolVLM-500M-Instruct": 0.5075,
    "HuggingFaceTB/SmolVLM-Instruct": 2.246,
    "HuggingFaceM4/Idefics3-8B-Llama3": 8.462,
    "LanguageBind/Video-LLaVA-7B-hf": 7.37,
}

every_checkpoint = pytest.mark.parametrize("described", descriptions().values(), ids=lambda found: found.hub_id)


def whole_config(described: Description) -> Any:
    return random_config(RandomModel(described.hub_id, described.hub_id.split("/")[1]))


@every_checkpoint
def test_what_it_keeps_of_a_prompt_can_be_counted(described: Description) -> None:
    assert refuse_cache(whole_config(described)) is None


@every_checkpoint
def test_the_configuration_has_as_many_parameters_as_the_checkpoint(described: Description) -> None:
    if described.model_type == "gemma3n" and importlib.util.find_spec("timm") is None:
        pytest.skip("the vision tower of Gemma 3n comes from timm")
    config = whole_config(described)
    with torch.device("meta"):
        model = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)](config)
    model.tie_weights()
    billions = sum(parameter.numel() for parameter in model.parameters()) / 1e9
    assert billions == pytest.approx(PUBLISHED.get(described.hub_id, billions), rel=0.015)
    assert described.hub_id in PUBLISHED or described.model_type == "gemma3n"


@every_checkpoint
def test_every_special_token_has_an_id_of_its_own_within_the_vocabulary(described: Description) -> None:
    tokens = described.tokenizer["tokens"]
    assert len({*tokens.values()}) == len(tokens)
    assert max(tokens.values()) < whole_config(described).get_text_config().vocab_size


@every_checkpoint
def test_tokens_that_have_a_role_exist(described: Description) -> None:
    roles = [described.tokenizer[role] for role in ("pad", "eos", "bos", "unk") if role in described.tokenizer]
    named = described.tokenizer.get("named", {}).values()
    assert {*roles, *named, *described.stop} <= {*described.tokenizer["tokens"]}


@every_checkpoint
def test_the_image_token_is_that_of_the_configuration(described: Description) -> None:
    named = described.tokenizer.get("named", {})
    token = named.get("context_image_token") or named.get("image_token") or "<|image_pad|>"
    assert described.tokenizer["tokens"][token] == whole_config(described).image_token_id


PROMPTS = {
    "google/gemma-4-E4B-it": "<bos><|turn>user\n\n\n<|image|>\n\nWhat?<turn|>\n<|turn>model\n",
    "google/gemma-4-12B-it": "<bos><|turn>user\n\n\n<|image|>\n\nWhat?<turn|>\n<|turn>model\n",
    "google/gemma-3-4b-it": "<bos><start_of_turn>user\n<start_of_image>What?<end_of_turn>\n<start_of_turn>model\n",
    "google/gemma-3n-E2B-it": "<bos><start_of_turn>user\n<image_soft_token>What?<end_of_turn>\n<start_of_turn>model\n",
    "Qwen/Qwen2.5-VL-3B-Instruct": "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    "<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n<|im_start|>assistant\n",
    "Qwen/Qwen3-VL-2B-Instruct": "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What?<|im_end|>\n"
    "<|im_start|>assistant\n",
    "OpenGVLab/InternVL3-1B-hf": "<|im_start|>user\n<IMG_CONTEXT>\nWhat?<|im_end|>\n<|im_start|>assistant\n",
    "llava-hf/llava-1.5-7b-hf": "USER: <image>\nWhat? ASSISTANT:",
    "llava-hf/llava-v1.6-mistral-7b-hf": "[INST] <image>\nWhat? [/INST]",
    "llava-hf/llava-v1.6-vicuna-7b-hf": "A chat between a curious human and an artificial intelligence assistant. The "
    "assistant gives helpful, detailed, and polite answers to the human's questions. USER: <image>\nWhat? ASSISTANT:",
    "llava-hf/llava-v1.6-34b-hf": "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n<image>\nWhat?"
    "<|im_end|><|im_start|>assistant\n",
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": "<|im_start|>user <image>\nWhat?<|im_end|><|im_start|>assistant\n",
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": "<|im_start|>User:<image>What?<end_of_utterance>\nAssistant:",
    "HuggingFaceM4/Idefics3-8B-Llama3": "<|begin_of_text|>User:<image>What?<end_of_utterance>\nAssistant:",
    "LanguageBind/Video-LLaVA-7B-hf": "USER: <image>\nWhat? ASSISTANT:",
}


@pytest.mark.parametrize("hub_id", PROMPTS)
def test_a_prompt_is_laid_out_as_the_family_writes_it(hub_id: str) -> None:
    described = descriptions()[hub_id]
    special = {f"{role}_token": described.tokenizer.get(role) for role in ("bos", "eos")}
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
    prompts, _ = render_jinja_template(
        [[turn]], chat_template=described.chat_template, add_generation_prompt=True, **special
    )
    assert prompts == [PROMPTS[hub_id]]


def test_every_model_of_the_catalogue_is_described_by_its_short_name() -> None:
    assert {*CATALOGUE} - {TINY} == {*random_names()}
    assert all(
        card.model_type == descriptions()[card.location].model_type for card in CATALOGUE.values() if card.name != TINY
    )
