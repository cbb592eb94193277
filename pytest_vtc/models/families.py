"""The families that can be run: a new file in this folder is one class more here.

Imported when cases are collected, so a family's file imports what is slow to import, models and processors of
transformers, where it is used.
"""

from __future__ import annotations

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.catalogue import ModelLocation
from pytest_vtc.models.gemma3 import Gemma3Backend
from pytest_vtc.models.gemma3n import Gemma3nBackend
from pytest_vtc.models.gemma4 import Gemma4Backend
from pytest_vtc.models.gemma4_unified import Gemma4UnifiedBackend
from pytest_vtc.models.idefics3 import Idefics3Backend
from pytest_vtc.models.internvl import InternVLBackend
from pytest_vtc.models.llava import LlavaBackend
from pytest_vtc.models.llava_next import LlavaNextBackend
from pytest_vtc.models.llava_onevision import LlavaOnevisionBackend
from pytest_vtc.models.qwen2_5_vl import Qwen2_5VLBackend, Qwen2VLBackend
from pytest_vtc.models.qwen3_vl import Qwen3VLBackend, Qwen3VLMoeBackend
from pytest_vtc.models.smolvlm import SmolVLMBackend
from pytest_vtc.models.video_llava import VideoLlavaBackend

FAMILIES: tuple[type[Backend], ...] = (
    Gemma4Backend,
    Gemma4UnifiedBackend,
    Gemma3Backend,
    Gemma3nBackend,
    Qwen2VLBackend,
    Qwen2_5VLBackend,
    Qwen3VLBackend,
    Qwen3VLMoeBackend,
    InternVLBackend,
    LlavaBackend,
    LlavaNextBackend,
    LlavaOnevisionBackend,
    SmolVLMBackend,
    Idefics3Backend,
    VideoLlavaBackend,
)

BACKENDS: dict[str, type[Backend]] = {family.model_type: family for family in FAMILIES}
"""By model_type, as in `config.json`."""


def family_of(location: ModelLocation, trust_remote_code: bool = False) -> type[Backend]:
    """The family of a model. Reads the configuration of one that is not in the catalogue. Raises ModelError."""
    if location.card is not None and location.card.model_type in BACKENDS:
        return BACKENDS[location.card.model_type]
    from pytest_vtc.models.checkpoint import read_config  # reads checkpoints, and takes seconds to import

    return BACKENDS[read_config(location, trust_remote_code).model_type]
