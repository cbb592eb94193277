"""A folder of any family is loaded without being registered, and quantised in its language model alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from pytest_vtc.models.catalogue import ModelError
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.loading import load_backend
from pytest_vtc.models.precision import precision_in_use
from tests.families.checkpoints import NEEDS_TIMM, NEEDS_TORCHVISION, VARIANTS

PLAIN = sorted(set(VARIANTS) - NEEDS_TIMM - NEEDS_TORCHVISION)


@pytest.mark.parametrize("name", PLAIN)
def test_a_folder_of_any_family_is_loaded(checkpoint: Callable[[str], Path], name: str) -> None:
    backend = load_backend(str(checkpoint(name)))
    assert type(backend) is BACKENDS[backend.model.config.model_type]
    assert backend.tokenizer.chat_template == VARIANTS[name].template


@pytest.mark.parametrize("name", sorted(NEEDS_TIMM | NEEDS_TORCHVISION))
def test_packages_that_a_family_needs_are_named_before_loading(
    checkpoint: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    find = importlib.util.find_spec
    absent = {"timm", "torchvision"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in absent else find(name))
    needed = "timm and torchvision" if name in NEEDS_TIMM else "torchvision"
    with pytest.raises(ModelError, match=rf"models need {needed}, not installed here \(.*: pip install "):
        load_backend(str(checkpoint(name)))


def linear_kinds(model: Any) -> dict[str, set[str]]:
    """Classes of linear layers, by whether they are in the body of the language model."""
    kinds: dict[str, set[str]] = {"language": set(), "beside": set()}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            of_language = name.startswith(("model.language_model.", "model.text_model.")) and "router" not in name
            kinds["language" if of_language else "beside"].add(type(module).__name__)
    return kinds


@pytest.mark.parametrize("name", PLAIN)
def test_eight_bits_are_for_the_language_model_alone(checkpoint: Callable[[str], Path], name: str) -> None:
    pytest.importorskip("bitsandbytes")
    backend = load_backend(str(checkpoint(name)), quantization="8bit")
    assert linear_kinds(backend.model) == {"language": {"Linear8bitLt"}, "beside": {"Linear"}}
    used = precision_in_use(backend.model)
    assert used["quantization"] == "bitsandbytes int8"
    assert "lm_head" in used["kept"]
    assert not any(part in used["kept"] for part in ("model.language_model", "model.text_model"))
    assert len(used["kept"]) >= 2


def test_four_bits_are_too(checkpoint: Callable[[str], Path]) -> None:
    pytest.importorskip("bitsandbytes")
    with pytest.warns(UserWarning, match="4-bit weights are known to ruin"):
        backend = load_backend(str(checkpoint("qwen3_vl")), quantization="4bit")
    assert linear_kinds(backend.model) == {"language": {"Linear4bit"}, "beside": {"Linear"}}
    assert precision_in_use(backend.model)["quantization"] == "bitsandbytes nf4"
