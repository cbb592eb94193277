"""Tiny random checkpoints of the real model classes, one for every kind of model that is supported.

A folder holds what the real checkpoints' folders hold, down to the names of their special tokens and the layout of
their chat templates, and loads offline through transformers' Auto classes. Two need more packages than that, as their
real ones do: Gemma 4 12B's image processor (torchvision) and Gemma 3n's tower (timm). `load_parts` loads all of them.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoTokenizer,
    Gemma3nForConditionalGeneration,
    GenerationConfig,
)

from tests.families.gemma_variants import GEMMA_VARIANTS
from tests.families.llava_variants import LLAVA_VARIANTS
from tests.families.other_variants import OTHER_VARIANTS
from tests.families.random_weights import randomize
from tests.families.stand_ins import UnifiedImageProcessor, convolution_tower
from tests.families.variant import Variant
from tests.families.vocabulary import Ids, build_tokenizer

VARIANTS: dict[str, Variant] = {**GEMMA_VARIANTS, **LLAVA_VARIANTS, **OTHER_VARIANTS}

NEEDS_TORCHVISION = frozenset({"gemma4_unified"})
"""Variants whose image processor AutoImageProcessor cannot load without it."""

NEEDS_TIMM = frozenset({"gemma3n"})
"""Variants whose weights AutoModelForImageTextToText cannot load without it."""


@dataclass(frozen=True)
class Parts:
    """A loaded checkpoint, as a backend takes it."""

    model: Any
    tokenizer: Any
    image_processor: Any


def make_checkpoint(name: str, folder: Path, sliding_window: int | None = None, seed: int = 0) -> Path:
    """Write the tiny checkpoint `name` of VARIANTS into `folder`, in bfloat16.

    sliding_window: of the layers that have one, in tokens; otherwise wider than the prompts of tests.
    Raises ValueError for a model without such layers.
    """
    variant = VARIANTS[name]
    ids = Ids(variant.tokens)
    config = variant.config(ids)
    if sliding_window is not None:
        text = config.get_text_config()
        if "sliding_attention" not in (getattr(text, "layer_types", None) or ()):
            raise ValueError(f"{name} has no layers with a sliding window")
        text.sliding_window = sliding_window
    tower = convolution_tower() if name in NEEDS_TIMM else contextlib.nullcontext()
    with tower, torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(config)
    randomize(model, never_answered=ids.values(), seed=seed)
    model.generation_config = GenerationConfig(
        **variant.generation,
        bos_token_id=config.get_text_config().bos_token_id,
        eos_token_id=[ids[token] for token in variant.stops],
        pad_token_id=config.get_text_config().pad_token_id,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = build_tokenizer(ids, variant.roles, variant.adds_bos)
    tokenizer.save_pretrained(folder)
    _write(folder / "preprocessor_config.json", dict(variant.preprocessor))
    if variant.template_file.endswith(".json"):
        _write(folder / variant.template_file, {"chat_template": variant.template})
    else:
        (folder / variant.template_file).write_text(variant.template, encoding="utf-8")
    return folder


def load_parts(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> Parts:
    """What a backend is made of, from a folder that `make_checkpoint` wrote: also where a package is missing."""
    if name in NEEDS_TIMM:
        with convolution_tower():
            model = Gemma3nForConditionalGeneration.from_pretrained(folder, dtype=dtype)
    else:
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if tokenizer.chat_template is None:  # it lies in the processor's own file
        tokenizer.chat_template = json.loads((folder / "chat_template.json").read_text(encoding="utf-8"))[
            "chat_template"
        ]
    return Parts(model.eval(), tokenizer, load_image_processor(name, folder))


def load_image_processor(name: str, folder: Path) -> Any:
    """The image processor alone."""
    if name not in NEEDS_TORCHVISION:
        return AutoImageProcessor.from_pretrained(folder, backend="pil")
    settings = json.loads((folder / "preprocessor_config.json").read_text(encoding="utf-8"))
    return UnifiedImageProcessor(settings["patch_size"], settings["pooling_kernel_size"], settings["max_soft_tokens"])


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
