"""Gemma 4 12B, which has no vision tower: pixels are projected into the language model's space patch by patch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pytest_vtc.models.gemma4_base import Gemma4Base

_NO_ENCODER = "this model has no vision encoder: its vision tokens are linear projections of single patches"


class Gemma4UnifiedBackend(Gemma4Base):
    """A patch is a token. They see each other in the language model only, in both directions in its sliding layers."""

    model_type = "gemma4_unified"
    projector = "embed_vision.multimodal_embedder"
    offers: ClassVar[frozenset[str]] = frozenset({"project"})
    lacks: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("attention", "keys", "class_token", "inside", "joint"), _NO_ENCODER
    )

    @property
    def _pooling(self) -> int:
        return 1
