"""LLaVA 1.5, and other checkpoints of its kind: one square tile of a CLIP or SigLIP tower, nothing put around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.probe import Encoder
from pytest_vtc.models.sequences import Tile

_HAS_CLS = {"clip_vision_model": True, "siglip_vision_model": False}
"""The towers that can be run, and whether their first row is a class token."""


class LlavaBackend(Backend):
    """Every row of the tower is a token, the class token excepted, whatever the image: 576 in LLaVA 1.5."""

    model_type = "llava"
    encoder = Encoder("vision_tower", has_cls=True)
    lacks: ClassVar[Mapping[str, str]] = {
        "encode": "its vision tower takes images of one size only, so that a smaller image has as many tokens"
    }
    turn_marks = ("USER:",)

    @classmethod
    def refuse(cls, config: Any) -> str | None:
        tower, strategy = config.vision_config.model_type, config.vision_feature_select_strategy
        if tower not in _HAS_CLS:
            return (
                f"its vision tower is {tower!r}; {cls.model_type} checkpoints can be run with a tower of type "
                f"{' or '.join(map(repr, _HAS_CLS))}"
            )
        if _HAS_CLS[tower] and strategy != "default":
            return (
                f"its vision_feature_select_strategy is {strategy!r}, which keeps the class token of its vision tower "
                "as an image token; only 'default' can be run, where an image is a grid of tokens"
            )
        if not _HAS_CLS[tower] and strategy != "full":
            return (
                f"its vision_feature_select_strategy is {strategy!r}, which drops the first patch of an image, its "
                "vision tower having no class token; only 'full' can be run with it"
            )
        return None

    @classmethod
    def encoder_of(cls, config: Any) -> Encoder | None:
        assert cls.encoder is not None
        return replace(cls.encoder, has_cls=_HAS_CLS[config.vision_config.model_type])

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:  # noqa: ARG002
        return (Tile(self._side, self._side),)

    @property
    def _side(self) -> int:
        """Of a tile, in rows of the tower."""
        vision = self.model.config.vision_config
        return int(vision.image_size // vision.patch_size)
