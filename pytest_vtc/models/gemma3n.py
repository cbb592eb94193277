"""Gemma 3n: E2B and E4B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.sequences import Tile, square

_CONVOLUTIONS = "the vision encoder is a convolutional network (MobileNet-V5), not a stack of attention layers"


class Gemma3nBackend(Backend):
    """768 x 768 px, of which the tower makes a map of 16 x 16, one token each. Causal, also within an image."""

    model_type = "gemma3n"
    projector = "embed_vision"
    offers: ClassVar[frozenset[str]] = frozenset({"project"})
    packs_tensor = True
    lacks: ClassVar[Mapping[str, str]] = {
        "attention": _CONVOLUTIONS,
        "keys": _CONVOLUTIONS,
        "class_token": _CONVOLUTIONS,
        "inside": _CONVOLUTIONS,
        "encode": "the vision encoder makes the same number of tokens of every image",
    }
    closing = ("<end_of_image>",)

    def _projection(self, projector: Any, rows: Tensor) -> Tensor:
        return projector(inputs_embeds=rows[None])[0]

    def _image_text(self, tiles: Sequence[Tile]) -> str:
        return f"\n\n<start_of_image>{self.image_token * len(tiles)}<end_of_image>\n\n"

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:  # noqa: ARG002
        return (square(self.model.config.vision_soft_tokens_per_image),)
