"""LLaVA 1.5, and other checkpoints of its kind: one square tile of a CLIP or SigLIP tower, nothing put around it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from PIL import Image

from pytest_vtc.compression import EncoderReducer, Kept
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.inside import as_kept, device_of, run_layers
from pytest_vtc.models.probe import Encoder, encoder_layers
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.vision_side import NOT_CLIP

_HAS_CLS = {"clip_vision_model": True, "siglip_vision_model": False}
"""The towers that can be run, and whether their first row is a class token."""

_SEVERAL_LAYERS = "its projector is given several layers of its vision encoder side by side"


class LlavaBackend(Backend):
    """Every row of the tower is a token, the class token excepted, whatever the image: 576 in LLaVA 1.5."""

    model_type = "llava"
    encoder = Encoder("vision_tower", has_cls=True)
    lacks: ClassVar[Mapping[str, str]] = {
        "encode": "its vision tower takes images of one size only, so that a smaller image has as many tokens"
    }
    offers: ClassVar[frozenset[str]] = frozenset({"class_token", "project", "inside", "joint"})
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

    @property
    def lacking(self) -> Mapping[str, str]:
        lacking = dict(super().lacking)
        if not isinstance(self.model.config.vision_feature_layer, int):
            for name in ("class_token", "inside", "joint"):
                lacking.setdefault(name, _SEVERAL_LAYERS)
        if not self.tower.has_cls:
            lacking["joint"] = NOT_CLIP
        return lacking

    def _features_layer(self) -> int:
        assert self._encoder() is not None
        return int(self.model.config.vision_feature_layer) % (self.tower.n_layers + 1)

    def _encode_inside(self, image: Image.Image, reducer: EncoderReducer) -> Kept:
        encoder = self._encoder()
        assert encoder is not None
        tower = self.model.model.get_submodule(encoder.tower)
        rows = tower.embeddings(self._pixels(self.process(image))["pixel_values"])
        if hasattr(tower, "pre_layrnorm"):  # CLIP's, spelt so
            rows = tower.pre_layrnorm(rows)
        layers = [*encoder_layers(self.model, encoder)][: self._features_layer()]
        state = run_layers(layers, rows[0], reducer, (self._side, self._side), encoder.has_cls)
        tokens = state.rows[int(encoder.has_cls) :]
        projector = self.model.model.get_submodule(self.projector)
        return as_kept(state, projector(tokens[None].to(device_of(projector, tokens.device)))[0])

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:  # noqa: ARG002
        return (Tile(self._side, self._side),)

    @property
    def _side(self) -> int:
        """Of a tile, in rows of the tower."""
        vision = self.model.config.vision_config
        return int(vision.image_size // vision.patch_size)
