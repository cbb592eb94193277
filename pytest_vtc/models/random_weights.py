"""Builds a model from a published configuration with random values, directly where it is to run.

Shapes, special tokens, prompt layout and image sizes are those of the checkpoint; what the model says means nothing.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig, GenerationConfig, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from pytest_vtc.models.catalogue import ModelError
from pytest_vtc.models.configurations import Description
from pytest_vtc.models.random_catalogue import RandomModel, locate_random
from pytest_vtc.models.stand_ins import stand_in_processor, stand_in_tokenizer

_SEED = 0
_STD = 0.02
"""Of what a model's class would start with one value throughout; it draws the rest with this or a similar one."""
_SHARE_OF_TIED = 0.1


def random_parts(
    model: str | RandomModel, dtype: torch.dtype | None = None, **options: Any
) -> tuple[Any, PreTrainedTokenizerFast, Any]:
    """Model, tokenizer and image processor.

    model: as `--vtc-random-weights` takes it, `NAME:LAYERS`. dtype: of the weights; None for the checkpoint's own.
    options: of `from_pretrained`, such as device_map. Weights are drawn where they are to lie, in `dtype`; there is no
    second copy of them at any time. They are the same in every run on the same kind of device.
    Raises ModelError: unknown name, more layers than there are, or a package that the family needs.
    """
    random = _parse(model) if isinstance(model, str) else model
    config = random_config(random)
    described = random.description
    images = stand_in_processor(described)  # before the weights: it may be what is missing
    tokenizer = stand_in_tokenizer(described, config.get_text_config().vocab_size)
    return random_weights(random, config, dtype=dtype or config.dtype, **options), tokenizer, images


def _parse(text: str) -> RandomModel:
    random = locate_random(text).random
    assert random is not None
    return random


# Configuration


def random_config(random: RandomModel) -> Any:
    """The checkpoint's configuration, with fewer layers if asked. Raises ModelError if there are not so many."""
    whole = _config(random.description, random.description.config)
    if random.text_layers is None:
        return whole
    values = copy.deepcopy(random.description.config)
    text, vision = values.setdefault("text_config", {}), values.setdefault("vision_config", {})
    full = whole.get_text_config()
    _check_layers(random, "text", random.text_layers, full.num_hidden_layers)
    text["num_hidden_layers"] = random.text_layers
    if getattr(full, "num_kv_shared_layers", 0):
        text["num_kv_shared_layers"] = _shared_layers(full, random.text_layers)
    if random.vision_layers is not None:
        vision |= _fewer_vision_layers(random, whole.vision_config, random.vision_layers)
    if indexes := vision.get(
        "deepstack_visual_indexes", getattr(whole.vision_config, "deepstack_visual_indexes", None)
    ):
        vision["deepstack_visual_indexes"] = indexes[: random.text_layers]  # each goes into a text layer of its own
    return _config(random.description, values)


def _config(described: Description, values: dict[str, Any]) -> Any:
    values = copy.deepcopy(values)
    text = values.get("text_config", {})
    if period := text.get("layer_types"):
        n_layers = text["num_hidden_layers"]
        text["layer_types"] = [*(period * n_layers)[: n_layers - 1], "full_attention"]
    return AutoConfig.for_model(described.model_type, **values)


def _shared_layers(full: Any, n_layers: int) -> int:
    """How many of fewer layers take keys and values from others: the same share, if those others have every kind."""
    kinds = [*full.layer_types[: n_layers - 1], full.layer_types[-1]]
    n_shared = round(n_layers * full.num_kv_shared_layers / full.num_hidden_layers)
    while n_shared and {*kinds[: n_layers - n_shared]} != {*kinds}:
        n_shared -= 1
    return n_shared


def _fewer_vision_layers(random: RandomModel, full: Any, n_layers: int) -> dict[str, Any]:
    """What changes in a tower's configuration; layers named by their index are those at the same share of its depth."""
    name = next((name for name in ("num_hidden_layers", "depth") if hasattr(full, name)), None)
    if name is None:
        raise ModelError(f"{random.label}: {random.hub_id} has no vision layers to choose a number of")
    depth = getattr(full, name)
    _check_layers(random, "vision", n_layers, depth)
    changed: dict[str, Any] = {name: n_layers}
    for key in ("fullatt_block_indexes", "deepstack_visual_indexes"):
        if indexes := getattr(full, key, None):
            changed[key] = sorted({index * n_layers // depth for index in indexes})
    return changed


def _check_layers(random: RandomModel, kind: str, asked: int, there: int) -> None:
    if asked > there:
        raise ModelError(f"{random.label}: {random.hub_id} has {there} {kind} layers; give 1 to {there}")


# Weights


def random_weights(random: RandomModel, config: Any, **options: Any) -> Any:
    """The model of a configuration, in evaluation mode, set to answer greedily. options: of `from_pretrained`.

    Raises ModelError if the family needs a package that is missing.
    """
    family: Any = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    devices = [torch.device("cuda", i) for i in range(torch.cuda.device_count())]
    try:
        with torch.random.fork_rng(devices), _quiet():
            torch.manual_seed(_SEED)
            # Of an empty checkpoint every weight is missing, and is drawn where it is to lie.
            model = family.from_pretrained(None, config=config, state_dict={}, **options)
            _vary(model)
    except ImportError as error:
        raise ModelError(f"{random.label} cannot be built: {' '.join(str(error).split())}") from error
    model.generation_config = _greedy(random.description)
    return model.eval()


def _greedy(described: Description) -> GenerationConfig:
    ids: dict[str, int] = described.tokenizer["tokens"]
    pad, bos = (ids.get(described.tokenizer.get(role, "")) for role in ("pad", "bos"))
    stop: Any = [ids[token] for token in described.stop]
    return GenerationConfig(do_sample=False, eos_token_id=stop, pad_token_id=pad, bos_token_id=bos)


@torch.no_grad()
def _vary(model: Any) -> None:
    """Let answers depend on images and layers.

    Tables and matrices that their class starts with one value throughout would hide what is in an image (Gemma 3's
    projector starts at zero, Gemma 4's position table at one). And where tokens are read and written by one table, it
    would outshine the layers: the last token of the prompt would be the whole answer, over and over.
    """
    for parameter in model.parameters():
        if parameter.ndim > 1 and not parameter.is_meta and parameter.amin() == parameter.amax():
            parameter.normal_(std=_STD)
    read, written = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    if read is written and not read.is_meta:
        read.mul_(_SHARE_OF_TIED)


@contextmanager
def _quiet() -> Generator[None, None, None]:
    """Without the table of missing tensors, which are all, and the progress of loading none."""
    logger, bar = logging.getLogger("transformers"), transformers_logging.is_progress_bar_enabled()
    level = logger.level
    logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bar:
            transformers_logging.enable_progress_bar()
