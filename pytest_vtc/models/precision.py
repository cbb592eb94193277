"""Number formats of a model's weights: what was asked for, what it takes in memory, what can go wrong with it."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import torch
from torch import nn
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig
from transformers.quantizers.quantizers_utils import should_convert_module

from pytest_vtc.models.catalogue import BITS, ModelError, Quantization

DType = Literal["auto", "float32", "bfloat16", "float16"]

NOT_QUANTIZED = (
    r"model\.(?!language_model\b|text_model\b)\w+",
    r"model\.\w+\.layers\.\d+\.(router|altup)",
    "lm_head",
)
"""What keeps the model's own number format, as patterns that transformers matches from the start of a module's name.

Everything beside the language model, whatever a family calls its tower and projector: quantising the vision side
changes the features themselves, which are what is compared here. Of the language model the output layer, and what
chooses between experts or streams: a handful of weights on which much depends.
"""

_SMALL = 3e9


@dataclass(frozen=True)
class Weights:
    """How many weights a model has and how many of them quantisation shrinks. widths: outputs of those layers."""

    total: int
    quantized: int
    widths: frozenset[int]

    def n_bytes(self, dtype: torch.dtype, quantization: Quantization | None) -> int:
        """What they take in memory."""
        if quantization is None:
            return self.total * dtype.itemsize
        return round((self.total - self.quantized) * dtype.itemsize + self.quantized * BITS[quantization] / 8)


def resolve_dtype(dtype: DType, config: Any) -> torch.dtype:
    """The number format that "auto" comes to: the checkpoint's own on a GPU, float32 on a CPU.

    On a CPU half precision is slower and less exact.
    """
    if dtype != "auto":
        return getattr(torch, dtype)
    own: Any = config.dtype or config.get_text_config().dtype or torch.float32
    if not torch.cuda.is_available():
        return torch.float32
    return getattr(torch, own) if isinstance(own, str) else own


def build_skeleton(config: Any, attention: str | dict[str, str], dtype: torch.dtype) -> Any:
    """The model without its weights (on the meta device), in a fraction of a second even for the largest.

    Raises what transformers raises where a class cannot run on `attention` or a package is missing.
    """
    config = copy.deepcopy(config)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config, attn_implementation=attention, dtype=dtype)


def count_weights(skeleton: Any) -> Weights:
    """Weights of a model as `build_skeleton` gives it; tied ones count once."""
    skeleton.tie_weights()
    # As transformers chooses for bitsandbytes: subclasses of Linear stay as they are, and so do a mixture's experts.
    shrunk: list[nn.Linear] = [
        module
        for name, module in skeleton.named_modules()
        if type(module) is nn.Linear and should_convert_module(name, list(NOT_QUANTIZED))
    ]
    return Weights(
        total=sum(weight.numel() for weight in skeleton.parameters()),  # named once, however often they are used
        quantized=sum(layer.weight.numel() for layer in shrunk),
        widths=frozenset(layer.out_features for layer in shrunk),
    )


def check_quantization(quantization: Quantization | None, config: Any) -> None:
    """Raises ModelError if bitsandbytes is missing or the checkpoint is quantised already. Imports nothing."""
    if quantization is None:
        return
    if method := quantized_already(config):
        raise ModelError(
            f"--vtc-quantization {quantization}: this checkpoint is quantised already ({method}); leave the option "
            "out, or take the checkpoint that is not"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            f"--vtc-quantization {quantization} needs bitsandbytes, which is not installed here: "
            'pip install "pytest-vtc[quant]"'
        )


def quantized_already(config: Any) -> str | None:
    """The method by which a checkpoint's own weights are quantised, such as awq or bitsandbytes."""
    own: Any = getattr(config, "quantization_config", None)
    if own is None:
        return None
    method: Any = own.get("quant_method", "unknown") if isinstance(own, dict) else own.quant_method
    return str(getattr(method, "value", method))


def try_quantization(quantization: Quantization, device: str, dtype: torch.dtype, widths: Collection[int]) -> None:
    """Run one small layer of each awkward width, before gigabytes are loaded for nothing. Raises ModelError."""
    awkward = {width for width in widths if width % 64} or {64}
    for width in sorted(awkward):
        try:
            _run_layer(quantization, device, dtype, width)
        except (RuntimeError, AssertionError, ValueError, ImportError, OSError) as error:
            # Missing kernels and shapes that a kernel does not take show as any of these.
            raise ModelError(
                f"--vtc-quantization {quantization} does not run on {device} here: bitsandbytes fails on a layer of "
                f"{width} outputs ({type(error).__name__}: {error}); use the other kind, or none"
            ) from error


def _run_layer(quantization: Quantization, device: str, dtype: torch.dtype, width: int) -> None:
    import bitsandbytes

    modules: Any = bitsandbytes.nn
    if quantization == "8bit":
        layer = modules.Linear8bitLt(64, width, has_fp16_weights=False)
    else:
        layer = modules.Linear4bit(64, width, compute_dtype=dtype, quant_type="nf4")
    with torch.inference_mode():
        layer.to(dtype).to(device).eval()(torch.zeros(1, 64, dtype=dtype, device=device))


def quantization_config(quantization: Quantization, dtype: torch.dtype) -> BitsAndBytesConfig:
    """dtype: what 4-bit weights are unfolded to and computed in."""
    kept = list(NOT_QUANTIZED)
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=kept)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=kept
    )


def quantization_warning(label: str, weights: Weights, quantization: Quantization | None) -> str | None:
    """What is known to go wrong with this size of model at this quantisation."""
    # https://unsloth.ai/blog/dynamic-4bit: with all layers of Qwen2-VL-2B in 4 bits a train is described as a coast,
    # with some of them left out it is a train again. It also says that 4 bits suit models from about 8B up, by hearsay.
    if quantization != "4bit" or weights.total >= _SMALL:
        return None
    return (
        f"{label} has {weights.total / 1e9:.2g} billion parameters: 4-bit weights are known to ruin what models of "
        "this size say about images (Qwen2-VL-2B, quantised throughout, took a train for a coast). The vision side is "
        "not quantised here, which takes away a part of the harm; compare with --vtc-quantization 8bit or none"
    )


class Precision(TypedDict):
    """Number formats of a loaded model.

    dtype: of what is not quantised. quantization: method and format, or None. kept: the parts in which quantisation
    left every linear layer as it was; empty where nothing is quantised.
    """

    dtype: str
    quantization: str | None
    kept: list[str]


def precision_in_use(model: Any) -> Precision:
    """Number formats, read from the layers of a loaded model, whoever quantised it."""
    dtype = str(model.dtype).removeprefix("torch.")
    method = quantized_already(model.config)
    if method is None:
        return Precision(dtype=dtype, quantization=None, kept=[])
    config: Any = model.config.quantization_config
    settings: dict[str, Any] = config if isinstance(config, dict) else config.to_dict()
    detail = "int8" if settings.get("load_in_8bit") else None
    if settings.get("load_in_4bit"):
        detail = str(settings.get("bnb_4bit_quant_type"))
    plain: dict[str, bool] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            part = ".".join(name.split(".")[: 2 if name.startswith("model.") else 1])
            plain[part] = plain.get(part, True) and type(module) is nn.Linear
    return Precision(
        dtype=dtype,
        quantization=" ".join(part for part in (method, detail) if part),
        kept=sorted(part for part, kept in plain.items() if kept),
    )
