"""Models of real configurations with random values: shapes, values, tokens, and what cannot be built."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Gemma3Config

from pytest_vtc.models.catalogue import ModelError
from pytest_vtc.models.configurations import descriptions
from pytest_vtc.models.random_catalogue import RandomModel, locate_random
from pytest_vtc.models.random_weights import random_config, random_parts, random_weights
from pytest_vtc.models.stand_ins import stand_in_processor, stand_in_tokenizer
from tests.random_models import small_gemma4, small_model

__all__ = ["small_model"]


def request(text: str) -> RandomModel:
    random = locate_random(text).random
    assert random is not None
    return random


# Names


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("gemma-4-E4B-it", "random-gemma-4-E4B-it"),
        ("google/gemma-4-E4B-it:4", "random-gemma-4-E4B-it:4"),
        ("InternVL3-1B-hf:4:2", "random-InternVL3-1B-hf:4:2"),
    ],
)
def test_the_label_says_what_is_built(text: str, label: str) -> None:
    assert locate_random(text).label == label


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gemma-4-E4B", "did you mean gemma-4-E4B-it"),
        ("owner/unknown", "there is no configuration for 'owner/unknown'"),
        ("tiny-gemma4", "there is no configuration for 'tiny-gemma4'"),
        ("gemma-4-E4B-it:0", "write NAME, NAME:LAYERS or NAME:LAYERS:VISION_LAYERS"),
        ("gemma-4-E4B-it:four", "write NAME, NAME:LAYERS"),
        ("gemma-4-E4B-it:1:2:3", "write NAME, NAME:LAYERS"),
        ("gemma-4-E4B-it:", "write NAME, NAME:LAYERS"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        locate_random(text)


def test_the_revision_tells_layers_apart() -> None:
    texts = ["gemma-4-E2B-it", "gemma-4-E2B-it:4", "gemma-4-E2B-it:4:4", "gemma-4-E4B-it:4"]
    assert len({request(text).revision() for text in texts}) == len(texts)


# Fewer layers


def test_fewer_text_layers_keep_the_pattern_and_end_in_a_full_one() -> None:
    config = random_config(request("gemma-4-E4B-it:8")).text_config
    assert config.layer_types == [*["sliding_attention"] * 5, "full_attention", "sliding_attention", "full_attention"]


@pytest.mark.parametrize("n_layers", [1, 2, 7, 14, 34])
def test_layers_that_share_keys_have_a_layer_of_their_kind_to_share_with(n_layers: int) -> None:
    config = random_config(request(f"gemma-4-E2B-it:{n_layers}")).text_config
    n_own = n_layers - config.num_kv_shared_layers
    assert {*config.layer_types[:n_own]} == {*config.layer_types}


def test_the_share_of_layers_that_share_keys_is_kept() -> None:
    assert random_config(request("gemma-4-E2B-it:14")).text_config.num_kv_shared_layers == 8  # of 20 in 35


def test_deepstack_goes_into_layers_that_are_there() -> None:
    config = random_config(request("Qwen3-VL-2B-Instruct:2:12"))
    assert config.vision_config.deepstack_visual_indexes == [2, 5]
    assert config.vision_config.depth == 12


def test_full_attention_stays_at_its_share_of_a_towers_depth() -> None:
    config = random_config(request("Qwen2.5-VL-3B-Instruct:1:8"))
    assert config.vision_config.fullatt_block_indexes == [1, 3, 5, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gemma-4-E2B-it:36", "has 35 text layers; give 1 to 35"),
        ("llava-1.5-7b-hf:1:25", "has 24 vision layers; give 1 to 24"),
        ("gemma-4-12B-it:1:1", "has no vision layers"),
    ],
)
def test_more_layers_than_there_are_are_refused(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        random_config(request(text))


# Values


def parameters(model: Any) -> dict[str, Tensor]:
    return dict(model.named_parameters())


def test_the_same_values_are_drawn_every_time(small_model: str) -> None:
    (one, _, _), (other, _, _) = (random_parts(f"{small_model}:2:1") for _ in range(2))
    others = parameters(other)
    assert all(torch.equal(parameter, others[name]) for name, parameter in parameters(one).items())


def test_drawing_leaves_the_random_numbers_of_a_run_alone(small_model: str) -> None:
    before = torch.get_rng_state()
    random_parts(f"{small_model}:1:1")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, None])
def test_weights_are_of_the_dtype_asked_or_the_checkpoints(small_model: str, dtype: torch.dtype | None) -> None:
    model, _, _ = random_parts(f"{small_model}:1:1", dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype or torch.bfloat16}


def test_no_matrix_is_of_one_value_and_every_value_is_finite(small_model: str) -> None:
    model, _, _ = random_parts(small_model)
    for name, parameter in parameters(model).items():
        assert parameter.isfinite().all(), name
        assert parameter.ndim < 2 or parameter.std() > 0, name
    assert not any(buffer.isnan().any() for buffer in model.buffers())


def narrow_gemma3(width: int) -> Any:
    """One layer of Gemma 3: its hidden states as wide as asked, all else small."""
    sizes = {"intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config={**sizes, "hidden_size": width, "vocab_size": 300, "num_key_value_heads": 1, "head_dim": 16},
        vision_config={**sizes, "hidden_size": 32, "image_size": 32, "patch_size": 4, "vision_use_head": False}
        | {"model_type": "siglip_vision_model"},
        mm_tokens_per_image=16,
    )
    return random_weights(request("gemma-3-4b-it"), config, dtype=torch.float32)


def test_a_projector_that_its_class_starts_at_zero_is_drawn_too() -> None:
    assert narrow_gemma3(32).model.multi_modal_projector.mm_input_projection_weight.std() > 0


def test_an_answer_is_not_the_last_token_of_the_prompt_again() -> None:
    ids = torch.arange(20, 180).view(16, 10)
    answers = narrow_gemma3(512)(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -1].argmax(dim=-1)
    assert (answers == ids[:, -1]).float().mean() < 0.5


def test_answers_are_greedy_and_end_where_the_checkpoint_ends_them(small_model: str) -> None:
    model, tokenizer, _ = random_parts(f"{small_model}:1:1")
    stop = tokenizer.convert_tokens_to_ids(["<eos>", "<turn|>", "<|tool_response>"])
    assert model.generation_config.eos_token_id == stop
    assert not model.generation_config.do_sample


# Tokens and images


def test_special_tokens_are_single_tokens_at_their_ids() -> None:
    described = descriptions()["llava-hf/llava-1.5-7b-hf"]
    tokenizer = stand_in_tokenizer(described, 32064)
    ids = tokenizer("what <image> digit", add_special_tokens=False)["input_ids"]
    assert ids.count(32000) == 1
    assert tokenizer.image_token == "<image>"
    assert len(tokenizer) == 32064


def test_text_comes_back_as_it_was() -> None:
    tokenizer = stand_in_tokenizer(small_gemma4(), 600)
    text = "Which of these — if any — is red?\n(A) 1"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_every_id_of_the_vocabulary_decodes_to_something() -> None:
    tokenizer = stand_in_tokenizer(small_gemma4(), 600)
    assert all(tokenizer.decode([token_id]) for token_id in range(600))


@pytest.mark.parametrize(
    ("hub_id", "first"), [("llava-hf/llava-1.5-7b-hf", 1), ("llava-hf/llava-v1.6-mistral-7b-hf", 1)]
)
def test_a_tokenizer_writes_the_beginning_where_the_template_does_not(hub_id: str, first: int) -> None:
    described = descriptions()[hub_id]
    tokenizer = stand_in_tokenizer(described, 0)
    assert tokenizer("what")["input_ids"][0] == first
    assert not described.chat_template.startswith("{{- bos_token")


def test_images_have_the_checkpoints_size() -> None:
    from PIL import Image

    processor = stand_in_processor(descriptions()["OpenGVLab/InternVL3-8B-hf"])
    pixels = processor(images=[Image.new("RGB", (100, 60))], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 448, 448)


# What is missing


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is here")
def test_an_image_processor_that_needs_torchvision_says_so() -> None:
    with pytest.raises(ModelError, match="Gemma4UnifiedImageProcessor, needs torchvision"):
        random_parts("gemma-4-12B-it:1")


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is here")
def test_a_tower_that_needs_timm_says_so() -> None:
    with pytest.raises(ModelError, match=r"random-gemma-3n-E2B-it:1 cannot be built: .*timm"):
        random_parts("gemma-3n-E2B-it:1")
