"""What tells one model from another in the store's keys and in results: revision, precision, libraries, device."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from pytest_vtc.cells import Positions
from pytest_vtc.models.attention import Attention
from pytest_vtc.models.backend import shortest_window
from pytest_vtc.models.catalogue import NEEDS_PACKAGES, ModelLocation, Quantization
from pytest_vtc.models.checkpoint import commit
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.loading import check_request, count
from pytest_vtc.models.precision import DType, quantization_warning, quantized_already

_HASH_CONTENT_BELOW = 100_000_000


@dataclass(frozen=True)
class ModelIdentity:
    """Known without loading the weights, so that a run answered by the store never loads them.

    revision: the Hub commit, or a hash of a local checkpoint's files, or of what random weights are made from.
    quantization: as asked for, or that of the checkpoint itself. attention: the kernel asked for. warnings: what is
    known to go wrong with a model so loaded. lacking: what of a compressor's context it cannot give, and why.
    """

    source: str
    revision: str
    model_type: str
    dtype: str
    quantization: str | None
    attention: str
    trust_remote_code: bool
    device: str
    libraries: dict[str, str]
    default_positions: Positions
    sliding_window: int | None
    warnings: tuple[str, ...] = ()
    lacking: dict[str, str] = field(default_factory=dict[str, str])

    def key_parts(self) -> dict[str, Any]:
        """Everything that can change an answer. The place of a local folder and what is said of it cannot."""
        parts = asdict(self)
        parts.pop("warnings")
        parts.pop("lacking")
        if Path(self.source).is_dir():
            parts.pop("source")
        return parts


def identify(
    location: ModelLocation,
    dtype: DType,
    quantization: Quantization | None,
    *,
    attention: Attention = "sdpa",
    trust_remote_code: bool = False,
) -> ModelIdentity:
    """Read a model's configuration, and nothing of its weights.

    Raises ModelError, also for what would show only when the model is loaded, as far as it can be seen before.
    """
    config, number_format = check_request(location, dtype, quantization, attention, trust_remote_code)
    warning = None
    if quantization:
        warning = quantization_warning(location.label, count(location, config, attention, number_format), quantization)
    return ModelIdentity(
        source=location.source,
        revision=_revision(location),
        model_type=config.model_type,
        dtype=str(number_format).removeprefix("torch."),
        quantization=quantization or quantized_already(config),
        attention=attention,
        trust_remote_code=trust_remote_code,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        libraries=_versions(config.model_type, quantization, attention),
        default_positions=BACKENDS[config.model_type].default_positions,
        sliding_window=shortest_window(config),
        warnings=() if warning is None else (warning,),
        lacking=dict(BACKENDS[config.model_type].lacked_by(config)),
    )


def _revision(location: ModelLocation) -> str:
    if location.random is not None:
        return location.random.revision()
    folder = Path(location.source)
    return _folder_hash(folder) if folder.is_dir() else commit(location)


def _versions(model_type: str, quantization: str | None, attention: str) -> dict[str, str]:
    """Whatever computes: pillow resizes the images, tokenizers reads the prompts."""
    used = ["torch", "transformers", "tokenizers", "pillow", *NEEDS_PACKAGES.get(model_type, ((), ""))[0]]
    if quantization:
        used.append("bitsandbytes")
    if attention == "flash_attention_2":
        used += [name for name in ("flash-attn", "kernels") if importlib.util.find_spec(name.replace("-", "_"))]
    return {name: importlib.metadata.version(name) for name in used}


def _folder_hash(folder: Path) -> str:
    """Hash of a checkpoint's files: of their content, or for large weights of name, size and time of change."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        stat = path.stat()
        digest.update(f"{path.name}:{stat.st_size}:".encode())
        digest.update(path.read_bytes() if stat.st_size < _HASH_CONTENT_BELOW else str(stat.st_mtime_ns).encode())
    return digest.hexdigest()[:16]
