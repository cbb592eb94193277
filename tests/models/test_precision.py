"""Number formats: which weights are quantised, how much they take, what is known to go wrong."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch
from transformers import AutoConfig
from transformers.quantizers.quantizers_utils import should_convert_module

from pytest_vtc.models import precision
from pytest_vtc.models.catalogue import CATALOGUE, TINY, ModelError
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.precision import (
    NOT_QUANTIZED,
    Weights,
    build_skeleton,
    check_quantization,
    count_weights,
    precision_in_use,
    quantization_warning,
    quantized_already,
    resolve_dtype,
    try_quantization,
)

BILLION = 1_000_000_000


def default_config(family: str) -> Any:
    """A configuration with every part: text, vision and, where there is such a thing, audio."""
    parts = {"vision_config": {}, "audio_config": {}} if family.startswith("gemma4") else {}
    return AutoConfig.for_model(family, **parts)


@pytest.mark.parametrize("family", sorted(set(BACKENDS) - {"gemma3n"}))  # its tower is made by timm
def test_only_layers_of_the_language_model_are_quantised(family: str) -> None:
    skeleton = build_skeleton(default_config(family), "eager", torch.bfloat16)
    linear = [name for name, module in skeleton.named_modules() if type(module) is torch.nn.Linear]
    chosen = [name for name in linear if should_convert_module(name, list(NOT_QUANTIZED))]
    assert chosen
    of_language = [name for name in linear if name.startswith(("model.language_model.", "model.text_model."))]
    assert set(chosen) == {name for name in of_language if ".router." not in name}
    assert set(linear) - set(of_language)


def test_routers_of_mixtures_and_streams_are_not_quantised() -> None:
    for name in ("model.language_model.layers.3.router.proj", "model.language_model.layers.11.altup.modality_router"):
        assert not should_convert_module(name, list(NOT_QUANTIZED))
    assert should_convert_module("model.language_model.layers.3.mlp.gate_proj", list(NOT_QUANTIZED))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        (
            "Qwen2.5-VL-3B-Instruct",
            {
                "model_type": "qwen2_5_vl",
                "text_config": {
                    "hidden_size": 2048,
                    "num_hidden_layers": 36,
                    "num_attention_heads": 16,
                    "num_key_value_heads": 2,
                    "intermediate_size": 11008,
                    "vocab_size": 151936,
                    "tie_word_embeddings": True,
                },
                "vision_config": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 2048},
                "tie_word_embeddings": True,
            },
        ),
        (
            "gemma-3-4b-it",
            {
                "model_type": "gemma3",
                "text_config": {
                    "hidden_size": 2560,
                    "intermediate_size": 10240,
                    "num_attention_heads": 8,
                    "num_hidden_layers": 34,
                    "num_key_value_heads": 4,
                    "vocab_size": 262208,
                },
                "vision_config": {
                    "model_type": "siglip_vision_model",
                    "hidden_size": 1152,
                    "intermediate_size": 4304,
                    "num_hidden_layers": 27,
                    "num_attention_heads": 16,
                    "image_size": 896,
                    "patch_size": 14,
                    "vision_use_head": False,
                },
            },
        ),
    ],
)
def test_the_catalogue_agrees_with_a_count(name: str, config: dict[str, Any]) -> None:
    counted = count_weights(build_skeleton(AutoConfig.for_model(**config), "sdpa", torch.bfloat16))
    card = CATALOGUE[name]
    assert counted.total / BILLION == pytest.approx(card.parameters, abs=0.01)
    assert counted.quantized / BILLION == pytest.approx(card.quantized, abs=0.01)
    assert counted.n_bytes(torch.bfloat16, "4bit") / BILLION == pytest.approx(card.memory_gb("4bit"), abs=0.1)


def test_weights_are_counted_as_they_are_loaded(tiny: Any) -> None:
    config = AutoConfig.from_pretrained(CATALOGUE[TINY].location)
    counted = count_weights(build_skeleton(config, "sdpa", torch.float32))
    assert counted.total == sum(weight.numel() for weight in tiny.model.parameters())
    assert counted.n_bytes(torch.float32, None) == 4 * counted.total


@pytest.mark.parametrize(("on_gpu", "asked", "found"), [(False, "auto", torch.float32), (True, "auto", torch.bfloat16),
                                                        (True, "float16", torch.float16)])  # fmt: skip
def test_auto_is_the_checkpoints_own_format_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, on_gpu: bool, asked: Any, found: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    config = AutoConfig.for_model("llava")
    config.text_config.dtype = torch.bfloat16
    assert resolve_dtype(asked, config) == found


@pytest.mark.parametrize(
    ("n", "quantization", "warned"), [(2, "4bit", True), (2, "8bit", False), (2, None, False), (8, "4bit", False)]
)
def test_four_bits_of_a_small_model_are_warned_of(n: int, quantization: Any, warned: bool) -> None:
    weights = Weights(n * BILLION, n * BILLION // 2, frozenset({64}))
    warning = quantization_warning("small", weights, quantization)
    assert (warning is not None) == warned
    if warning:
        assert warning.startswith("small has 2 billion parameters: 4-bit weights are known to ruin")


def test_without_bitsandbytes_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(ModelError, match=r'pip install "pytest-vtc\[quant\]"'):
        check_quantization("8bit", AutoConfig.for_model("llava"))
    check_quantization(None, AutoConfig.for_model("llava"))


def test_a_checkpoint_is_not_quantised_twice() -> None:
    config = AutoConfig.for_model("llava")
    config.quantization_config = {"quant_method": "awq", "bits": 4}
    assert quantized_already(config) == "awq"
    with pytest.raises(ModelError, match=r"quantised already \(awq\)"):
        check_quantization("4bit", config)


def test_kernels_that_fail_are_noticed_before_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes")

    def fails(*_: object) -> None:
        raise AssertionError("N must be divisible by block_n")

    monkeypatch.setattr(precision, "_run_layer", fails)
    with pytest.raises(ModelError, match=r"4bit does not run on cpu here: .* of 48 outputs .*N must be divisible"):
        try_quantization("4bit", "cpu", torch.float32, {64, 48, 128})


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_kernels_run_on_widths_of_real_models(quantization: Any, dtype: torch.dtype) -> None:
    pytest.importorskip("bitsandbytes")
    try_quantization(quantization, "cpu", dtype, {256, 2048, 11008})


def test_nothing_is_quantised_unasked(tiny: Any) -> None:
    assert precision_in_use(tiny.model) == {"dtype": "float32", "quantization": None, "kept": []}
