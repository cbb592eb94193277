"""What tells one model from another in the store's keys and in results: revision, precision, libraries, device."""

from __future__ import annotations

import hashlib
import importlib.metadata
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pytest_vtc.cells import Positions
from pytest_vtc.models.backend import shortest_window
from pytest_vtc.models.catalogue import ModelLocation
from pytest_vtc.models.loading import BACKENDS, load_config

_HASH_CONTENT_BELOW = 100_000_000


@dataclass(frozen=True)
class ModelIdentity:
    """Known without loading the weights, so that a run answered by the store never loads them.

    revision: the Hub commit, or a hash of a local checkpoint's files.
    """

    source: str
    revision: str
    model_type: str
    dtype: str
    quantization: str | None
    device: str
    libraries: dict[str, str]
    default_positions: Positions
    sliding_window: int | None

    def key_parts(self) -> dict[str, Any]:
        """Everything that can change an answer. The place of a local folder cannot."""
        parts = asdict(self)
        if Path(self.source).is_dir():
            parts.pop("source")
        return parts


def identify(location: ModelLocation, dtype: str, quantization: str | None) -> ModelIdentity:
    """Read a model's configuration, and nothing of its weights. Raises ModelError."""
    config, family = load_config(location)
    folder = Path(location.source)
    return ModelIdentity(
        source=location.source,
        revision=_folder_hash(folder) if folder.is_dir() else str(getattr(config, "_commit_hash", None)),
        model_type=config.model_type,
        dtype=_resolved(dtype, config),
        quantization=quantization,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        libraries={name: importlib.metadata.version(name) for name in _libraries(quantization)},
        default_positions=BACKENDS[family].default_positions,
        sliding_window=shortest_window(config),
    )


def _resolved(dtype: str, config: Any) -> str:
    """The precision that "auto" comes to: the checkpoint's own on a GPU, float32 on a CPU."""
    if dtype != "auto":
        return dtype
    return str(config.dtype).removeprefix("torch.") if torch.cuda.is_available() else "float32"


def _libraries(quantization: str | None) -> list[str]:
    """Whatever computes: pillow resizes the images, tokenizers reads the prompts."""
    return ["torch", "transformers", "tokenizers", "pillow", *(["bitsandbytes"] if quantization else [])]


def _folder_hash(folder: Path) -> str:
    """Hash of a checkpoint's files: of their content, or for large weights of name, size and time of change."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        stat = path.stat()
        digest.update(f"{path.name}:{stat.st_size}:".encode())
        digest.update(path.read_bytes() if stat.st_size < _HASH_CONTENT_BELOW else str(stat.st_mtime_ns).encode())
    return digest.hexdigest()[:16]
