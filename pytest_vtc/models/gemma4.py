"""Gemma 4 with a vision tower: E2B, E4B, 26B-A4B, 31B and the embedded tiny-gemma4."""

from __future__ import annotations

from typing import ClassVar

from pytest_vtc.models.gemma4_base import Gemma4Base
from pytest_vtc.models.probe import Encoder


class Gemma4Backend(Gemma4Base):
    """Patches of 16 px go through the tower, which pools 3 x 3 of them to one token at its end."""

    model_type = "gemma4"
    casts_pixels = True
    encoder = Encoder("vision_tower", "encoder.layers", "self_attn")
    projector = "embed_vision"
    offers: ClassVar[frozenset[str]] = frozenset({"project"})

    @property
    def _pooling(self) -> int:
        return int(self.model.config.vision_config.pooling_kernel_size)
