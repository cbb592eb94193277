"""What transformers and the Hub say in thirty lines, in one sentence: what is wrong with a checkpoint, what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TypeVar

import torch
from huggingface_hub import is_offline_mode
from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError

_LONGEST = 240
_Error = TypeVar("_Error", bound=BaseException)

_ELSEWHERE = "download the checkpoint on a machine that can, and give its folder"


def explain(error: BaseException, source: str, part: str, named_by: str = "as --vtc-model") -> str:
    """Why `part` (such as "tokenizer") of the checkpoint `source` could not be read, and what to do about it.

    named_by: how a folder of it is given instead.
    """
    page = f"https://huggingface.co/{source}"
    if _among(error, GatedRepoError):
        return (
            f"{source} is gated: accept its terms at {page}, then log in with `hf auth login` (or set HF_TOKEN), with "
            "the same account"
        )
    if _among(error, RepositoryNotFoundError):
        return f"the Hub has no {source} (if it is private, log in with `hf auth login`); check the id at {page}"
    if found := _among(error, HFValidationError):
        return f"{source!r} is no id of the Hub: {_sentence(found)}"
    if (found := _among(error, HfHubHTTPError)) and not isinstance(found, EntryNotFoundError):
        return f"the Hub refuses {source} ({part}): {_sentence(found)}"
    if _among(error, LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError):
        elsewhere = f"{_ELSEWHERE} {named_by}"
        if is_offline_mode():
            return (
                f"{source} ({part}) is not in the Hub's cache {HF_HUB_CACHE}, and HF_HUB_OFFLINE forbids to download "
                f"it: unset that, or {elsewhere}"
            )
        return f"the Hub cannot be reached, and {source} ({part}) is not in its cache {HF_HUB_CACHE}: {elsewhere}"
    if "trust_remote_code" in str(error):
        where = source if os.path.isdir(source) else page  # noqa: PTH112  as transformers decides it
        return (
            f"{source} ({part}) needs Python code that comes with the checkpoint; read it at {where}, and if you trust "
            "it add --vtc-trust-remote-code"
        )
    if found := _among(error, SafetensorError):
        return f"a weights file of {source} is damaged ({_sentence(found)}): download it again"
    if _among(error, torch.OutOfMemoryError, MemoryError):
        return f"memory ran out while {source} was loaded; {SMALLER}"
    if (found := _among(error, EntryNotFoundError)) or "does not appear to have" in str(error):
        return f"{source} has no {part}: {_sentence(found or error)}"
    return (
        f"the {part} of {source} cannot be used ({type(error).__name__}: {_sentence(error)}); get it again from "
        "where the checkpoint comes from"
    )


SMALLER = (
    "take a smaller model or a machine with more, or make it smaller: --vtc-dtype bfloat16, "
    "--vtc-quantization 8bit or 4bit"
)


def _among(error: BaseException, *kinds: type[_Error]) -> _Error | None:
    """The first of these kinds in an error and what it was raised from."""
    return next((found for found in _chain(error) if isinstance(found, kinds)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _sentence(error: BaseException) -> str:
    """The first line that says something, not too long."""
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."
