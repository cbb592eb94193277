"""Loads a checkpoint, embedded, local or from the Hub, into the backend of its family."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

from pytest_vtc.models.attention import Attention, attention_by_part, check_attention
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.catalogue import ModelError, ModelLocation, Quantization, locate
from pytest_vtc.models.checkpoint import (
    check_files,
    check_packages,
    own_chat_template,
    read_config,
    read_part,
    weight_files,
)
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.load_errors import SMALLER
from pytest_vtc.models.memory import FreeMemory, free_memory
from pytest_vtc.models.precision import (
    DType,
    Weights,
    build_skeleton,
    check_quantization,
    count_weights,
    quantization_config,
    quantization_warning,
    quantized_already,
    resolve_dtype,
    try_quantization,
)
from pytest_vtc.models.quiet_loading import quiet
from pytest_vtc.models.random_weights import random_weights
from pytest_vtc.models.stand_ins import stand_in_processor, stand_in_tokenizer


def load_backend(
    model: str | ModelLocation,
    dtype: DType = "auto",
    quantization: Quantization | None = None,
    device: str | None = None,
    *,
    attention: Attention = "sdpa",
    trust_remote_code: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> Backend:
    """Load a model by short name, Hub id or folder, onto the GPUs if there are any.

    dtype "auto" is the checkpoint's own on a GPU and float32 on a CPU, where half precision is slower and less exact.
    device: the one that holds all of it, "cuda:1"; None spreads a model over all GPUs that it needs.
    on_progress: told in a line how much is about to be loaded, and into how much memory.
    Raises ModelError: unknown, unsupported, not downloaded, incomplete, too large, or what was asked is not to be had.
    """
    location = locate(model) if isinstance(model, str) else model
    config, number_format = check_request(location, dtype, quantization, attention, trust_remote_code)
    if location.random is None:
        # The PIL processor, also where torchvision is installed: its pixels must not depend on what else is installed.
        image_processor = read_part(
            AutoImageProcessor.from_pretrained,
            location,
            "image processor",
            backend="pil",
            trust_remote_code=trust_remote_code,
        )
        tokenizer = _load_tokenizer(location, trust_remote_code)
    else:
        described = location.random.description
        image_processor = stand_in_processor(described)
        tokenizer = stand_in_tokenizer(described, config.get_text_config().vocab_size)
    on_gpu = torch.cuda.is_available()
    weights = count(location, config, attention, number_format)
    if quantization:
        try_quantization(quantization, device or ("cuda" if on_gpu else "cpu"), number_format, weights.widths)
    if warning := quantization_warning(location.label, weights, quantization):
        warnings.warn(warning, stacklevel=2)
    needed = _n_bytes(location, config, weights, number_format, quantization)
    free = free_memory(device)
    _check_memory(location, needed, free, quantization)
    if on_progress is not None:
        on_progress(_announcement(location, needed, free, number_format, weights, quantization))
    options: dict[str, Any] = {
        "dtype": number_format,
        "attn_implementation": attention_by_part(attention, config),
        "trust_remote_code": trust_remote_code,
    }
    if on_gpu or quantization:
        options["device_map"] = ({"": device} if device else "auto") if on_gpu else "cpu"
    if quantization:
        options["quantization_config"] = quantization_config(quantization, number_format)
    if location.random is None:
        model = _load_weights(location, options).eval()
    else:
        model = random_weights(location.random, config, **options)
    return BACKENDS[config.model_type](model, tokenizer, image_processor)


def check_request(
    location: ModelLocation,
    dtype: DType,
    quantization: Quantization | None,
    attention: Attention,
    trust_remote_code: bool,
) -> tuple[Any, torch.dtype]:
    """What can be known without loading: the configuration, and the number format that `dtype` comes to.

    Raises ModelError for a checkpoint that cannot be run, or not on this machine, or not as asked.
    """
    config = read_config(location, trust_remote_code)
    number_format = resolve_dtype(dtype, config)
    check_packages(config)
    if location.random is not None and quantization:
        raise ModelError(f"--vtc-quantization {quantization}: random weights cannot be quantised; leave the option out")
    check_quantization(quantization, config)
    check_attention(attention, config, number_format)
    check_files(location)
    return config, number_format


def count(location: ModelLocation, config: Any, attention: Attention, dtype: torch.dtype) -> Weights:
    """How many weights the model has. Raises ModelError if its class cannot run on `attention`."""
    try:
        return count_weights(build_skeleton(config, attention_by_part(attention, config), dtype))
    except (ValueError, ImportError, RuntimeError) as error:
        if "attention" in str(error).lower() and attention != "eager":
            raise ModelError(
                f"{config.model_type} models cannot run on --vtc-attention {attention}: {str(error).split('. ')[0]}; "
                "use sdpa or eager"
            ) from error
        raise ModelError(f"cannot load {location.label}: its configuration makes no model: {error}") from error


def _load_tokenizer(location: ModelLocation, trust_remote_code: bool) -> Any:
    tokenizer = read_part(AutoTokenizer.from_pretrained, location, "tokenizer", trust_remote_code=trust_remote_code)
    if template := own_chat_template(location):
        tokenizer.chat_template = template
    if not tokenizer.chat_template:
        raise ModelError(
            f"cannot load {location.label}: {location.source} has no chat template (chat_template.jinja or .json), so "
            "that questions cannot be put to it; take the instruction-tuned checkpoint (-it, -Instruct) of this model"
        )
    return tokenizer


def _n_bytes(
    location: ModelLocation, config: Any, weights: Weights, dtype: torch.dtype, quantization: Quantization | None
) -> int:
    """Memory for the weights; of a checkpoint that is quantised already, the size of its files, as far as cached."""
    if quantized_already(config):
        return sum(file.stat().st_size for file in weight_files(location))
    return weights.n_bytes(dtype, quantization)


def _check_memory(location: ModelLocation, needed: int, free: FreeMemory, quantization: Quantization | None) -> None:
    """Raises ModelError if memory is too little for the weights, rather than to be killed on the way."""
    # bitsandbytes does not take a model that lies on GPUs in part.
    if needed <= free.bytes + (0 if quantization else free.spill):
        return
    also = f" and {_gb(free.spill)} in main memory" if free.spill else ""
    raise ModelError(
        f"cannot load {location.label}: it needs {_gb(needed)} for its weights alone, and {_gb(free.bytes)} are free "
        f"{free.where}{also}; {SMALLER}"
    )


def _announcement(
    location: ModelLocation,
    needed: int,
    free: FreeMemory,
    dtype: torch.dtype,
    weights: Weights,
    quantization: Quantization | None,
) -> str:
    number_format = str(dtype).removeprefix("torch.")
    if quantization:
        number_format += f", {weights.quantized / weights.total:.0%} of them {quantization}"
    line = f"loading {location.label}: {_gb(needed)} of weights ({number_format}), {_gb(free.bytes)} free {free.where}"
    return line if needed <= free.bytes else f"{line}; the rest goes to main memory, which is slow"


def _gb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e8 else f"{n_bytes / 1e6:.1f} MB"


def _load_weights(location: ModelLocation, options: dict[str, Any]) -> Any:
    with quiet():
        model, found = read_part(
            AutoModelForImageTextToText.from_pretrained,
            location,
            "weights",
            ignore_mismatched_sizes=True,  # to be told of them below, in a sentence
            output_loading_info=True,
            **options,
        )
    name = type(model).__name__
    if wrong := sorted(found["mismatched_keys"], key=str):
        key, stored, wanted = wrong[0]
        raise ModelError(
            f"cannot load {location.label}: its weights do not fit its config.json: {key} is {tuple(stored)} in the "
            f"file and {tuple(wanted)} in a {name} so configured"
            + (f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else "")
        )
    if missing := sorted(found["missing_keys"]):
        # transformers would fill them with random numbers.
        raise ModelError(
            f"cannot load {location.label}: {len(missing)} of the tensors of a {name}, which its config.json says it "
            f"is, are not in its weights, such as {missing[0]}; the checkpoint is incomplete or of another class"
        )
    return model
