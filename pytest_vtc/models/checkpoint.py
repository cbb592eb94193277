"""What a checkpoint's files say before any weight is read: its family, its chat template, and whether all are there."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
)
from transformers.utils.hub import cached_file

from pytest_vtc.models.catalogue import NEEDS_PACKAGES, ModelError, ModelLocation
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.kv_cache import refuse_cache
from pytest_vtc.models.load_errors import explain
from pytest_vtc.models.random_weights import random_config

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
_LFS = b"version https://git-lfs"

# Formats of older code, of which transformers has ports under other ids.
_PORTS = {
    "internvl_chat": "the ids of its port end in -hf, such as OpenGVLab/InternVL3-8B-hf",
    "llava_llama": "its port is llava-hf/llava-1.5-7b-hf and others of llava-hf",
    "llava_mistral": "its port is llava-hf/llava-v1.6-mistral-7b-hf",
    "llava_qwen": "its port is llava-hf/llava-onevision-qwen2-7b-ov-hf and others of llava-hf",
    "llava_qwen2": "its port is llava-hf/llava-onevision-qwen2-7b-ov-hf and others of llava-hf",
}


def read_part(read: Any, location: ModelLocation, part: str, **options: Any) -> Any:
    """`read(source, **options)`, with whatever goes wrong as a ModelError of one sentence."""
    try:
        return read(location.source, **options)
    except Exception as error:
        # Other people's files can be wrong in any way, and transformers and the Hub say so by many kinds of error.
        raise ModelError(f"cannot load {location.label}: {explain(error, location.source, part)}") from error


def read_config(location: ModelLocation, trust_remote_code: bool = False) -> Any:
    """A checkpoint's configuration; its `model_type` is one of BACKENDS. Raises ModelError."""
    if location.random is not None:
        config = random_config(location.random)
        if config.model_type not in BACKENDS:
            raise ModelError(f"{location.source} {_unsupported(config.model_type)}")
        return config
    raw, _ = read_part(PreTrainedConfig.get_config_dict, location, "config.json")
    family: Any = raw.get("model_type") if isinstance(raw, dict) else None
    if family not in BACKENDS:
        raise ModelError(f"{location.source} {_unsupported(family)}")
    config = read_part(AutoConfig.from_pretrained, location, "config.json", trust_remote_code=trust_remote_code)
    if getattr(config, "vision_config", None) is None:
        raise ModelError(f"{location.source} is a {family!r} model without a vision part, not a vision-language model")
    if reason := BACKENDS[family].refuse(config) or refuse_cache(config):
        raise ModelError(f"{location.source} cannot be run: {reason}")
    return config


def _unsupported(family: Any) -> str:
    supported = f"supported: {', '.join(sorted(BACKENDS))}"
    if not isinstance(family, str):
        return f"is no checkpoint of transformers: it has no config.json that names a model_type; {supported}"
    if family in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return (
            f"is a {family!r} model, of which there is no family here; {supported}. "
            "docs/adding-a-family.md says what a new one needs"
        )
    if family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or family in CONFIG_MAPPING:
        return f"is a {family!r} model, which is not a vision-language model; {supported}"
    port = f": {_PORTS[family]}" if family in _PORTS else ""
    return f"is a {family!r} model, which transformers {transformers.__version__} does not know{port}; {supported}"


def check_packages(config: Any) -> None:
    """Raises ModelError if this family needs a package that is not installed."""
    packages, reason = NEEDS_PACKAGES.get(config.model_type, ((), ""))
    if missing := [package for package in packages if importlib.util.find_spec(package) is None]:
        raise ModelError(
            f"{config.model_type} models need {' and '.join(missing)}, not installed here ({reason}): "
            f"pip install {' '.join(missing)}"
        )


def check_files(location: ModelLocation) -> None:
    """Look at the files of a folder, or at the weights of a Hub id as far as they are cached.

    Raises ModelError for what is missing or cut off.
    """
    if location.random is not None:
        return
    folder = Path(location.source)
    if folder.is_dir():
        for what, names in (("tokenizer", _TOKENIZER_FILES), ("image processor", _PROCESSOR_FILES)):
            if not any((folder / name).is_file() for name in names):
                raise ModelError(
                    f"cannot load {location.label}: {folder} has no {what} ({' or '.join(names[:2])}); copy it from "
                    "where the checkpoint comes from"
                )
        if not weight_files(location):
            raise ModelError(f"cannot load {location.label}: {folder} has no weights (model.safetensors)")
    for file in weight_files(location):
        _check_weights(location, file)


def commit(location: ModelLocation) -> str:
    """The commit that a Hub id stands for here and now."""
    # The folder of the cache is called after it; the configuration, once read, no longer knows it.
    file = read_part(cached_file, location, "config.json", filename="config.json")
    return Path(file).parent.name


def weight_files(location: ModelLocation) -> list[Path]:
    """The files of a folder's weights, there or not; of a Hub id those in the cache, none if it was not downloaded."""
    folder = Path(location.source)
    if folder.is_dir():
        for (
            name
        ) in _WEIGHT_FILES:  # one file before shards, safetensors before the older format, as transformers has it
            if (folder / name).is_file():
                return [folder / name]
            if (index := folder / f"{name}.index.json").is_file():
                return [folder / shard for shard in _shards(location, index)]
        return []
    single = _cached(location.source, "model.safetensors")
    if single is not None:
        return [single]
    index = _cached(location.source, "model.safetensors.index.json")
    found = [_cached(location.source, name) for name in _shards(location, index)] if index else []
    return [file for file in found if file is not None]


def _shards(location: ModelLocation, index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"cannot load {location.label}: {index} is damaged; download it again") from error


def _cached(source: str, name: str) -> Path | None:
    found = try_to_load_from_cache(source, name)
    return Path(found) if isinstance(found, str) else None


def _check_weights(location: ModelLocation, file: Path) -> None:
    if not file.is_file():
        raise ModelError(f"cannot load {location.label}: {file} is missing; its index names it")
    with file.open("rb") as opened:
        start = opened.read(len(_LFS))
    if start == _LFS:
        raise ModelError(
            f"cannot load {location.label}: {file} is a pointer of Git LFS, not the file itself; run `git lfs pull`"
        )
    if file.suffix != ".safetensors":
        return
    try:
        with safe_open(file, framework="pt"):
            return
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"cannot load {location.label}: {file} is damaged or was not downloaded to its end ({error}); get it again"
        ) from error


def own_chat_template(location: ModelLocation) -> str | None:
    """The chat template of a checkpoint's processor, which knows of images; None if it has none.

    Many checkpoints keep it in a file that tokenizers do not read, and some have one for text alone with the tokenizer.
    """
    processor = _small_file(location, "processor_config.json")
    if processor and (template := _from_json(location, processor)):
        return template
    if jinja := _small_file(location, "chat_template.jinja"):
        return jinja.read_text(encoding="utf-8")
    older = _small_file(location, "chat_template.json")
    return _from_json(location, older) if older else None


def _small_file(location: ModelLocation, name: str) -> Path | None:
    found = read_part(cached_file, location, name, filename=name, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found)


def _from_json(location: ModelLocation, file: Path) -> str | None:
    try:
        template: Any = json.loads(file.read_text(encoding="utf-8")).get("chat_template")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"cannot load {location.label}: {file} is damaged ({error})") from error
    if isinstance(template, dict):
        template = template.get("default")
    return template if isinstance(template, str) else None
