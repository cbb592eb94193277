"""Loads a checkpoint, embedded, local or from the Hub, into the backend of its family."""

from __future__ import annotations

import importlib.util
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer, BitsAndBytesConfig

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.catalogue import ModelError, ModelLocation, locate
from pytest_vtc.models.families import BACKENDS as BACKENDS

DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantization = Literal["8bit", "4bit"]

# The vision side and the output layer stay in the model's dtype: quantising them changes the features themselves.
# (Patterns are matched from the start of a module's full name.)
_NOT_QUANTIZED = [r"model\.vision_tower", r"model\.embed_vision", r"model\.multi_modal_projector", "lm_head"]


def load_backend(
    model: str | ModelLocation,
    dtype: DType = "auto",
    quantization: Quantization | None = None,
    device: str | None = None,
) -> Backend:
    """Load a model by short name, Hub id or folder, onto the GPUs if there are any.

    dtype "auto" is the checkpoint's own on a GPU and float32 on a CPU, where half precision is slower and less exact.
    device: the one that holds all of it, "cuda:1"; None spreads a model over all GPUs that it needs.
    Raises ModelError: unknown, unsupported, not downloaded, incomplete, or no quantisation to be had.
    """
    location = locate(model) if isinstance(model, str) else model
    _, family = load_config(location)
    on_gpu = torch.cuda.is_available()
    options: dict[str, Any] = {"dtype": _dtype(dtype, on_gpu)}
    if on_gpu or quantization:
        options["device_map"] = ({"": device} if device else "auto") if on_gpu else "cpu"
    if quantization:
        options["quantization_config"] = _quantization(quantization)
    # The PIL processor, also where torchvision is installed: its pixels must not depend on what else is installed.
    image_processor = _load(AutoImageProcessor, location, backend="pil")
    tokenizer = _load(AutoTokenizer, location)
    weights = _load(AutoModelForImageTextToText, location, **options)
    return BACKENDS[family](weights.eval(), tokenizer, image_processor)


def load_config(location: ModelLocation) -> tuple[Any, str]:
    """A checkpoint's configuration and its family, one of BACKENDS. Raises ModelError."""
    config = _load(AutoConfig, location)
    if config.model_type not in BACKENDS:
        raise ModelError(
            f"{location.source} is a {config.model_type!r} model; supported: {', '.join(sorted(BACKENDS))}"
        )
    return config, config.model_type


def _load(auto: Any, location: ModelLocation, **options: Any) -> Any:
    try:
        return auto.from_pretrained(location.source, **options)
    except (OSError, ValueError, ImportError, RuntimeError, AssertionError, SafetensorError) as error:
        # transformers reports everything from a lost connection to a broken file through these six.
        part = auto.__name__.removeprefix("Auto")
        raise ModelError(
            f"cannot load {location.label} ({part} of {location.source}): {type(error).__name__}: {error}\n"
            "Without a connection to the Hub, download the checkpoint elsewhere and give its folder as --vtc-model."
        ) from error


def _dtype(dtype: DType, on_gpu: bool) -> torch.dtype | str:
    if dtype == "auto":
        return "auto" if on_gpu else torch.float32
    return getattr(torch, dtype)


def _quantization(quantization: Quantization) -> BitsAndBytesConfig:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(f"--vtc-quantization {quantization} needs bitsandbytes, which is not installed here")
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=_NOT_QUANTIZED)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        llm_int8_skip_modules=_NOT_QUANTIZED,
    )
