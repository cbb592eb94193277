"""InternVL3 in transformers' own format: the checkpoints whose names end in -hf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL import Image
from torch import Tensor

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.probe import Encoder
from pytest_vtc.models.sequences import Tile, tokens_of_patches


class InternVLBackend(Backend):
    """Up to 12 tiles of 448 px and a thumbnail after them, one after another between <img> and </img>.

    Pixel shuffle makes one token of 2 x 2 patches; `hidden` is these four, side by side.
    """

    model_type = "internvl"
    packs_tensor = True
    offers: ClassVar[frozenset[str]] = frozenset({"project"})
    encoder = Encoder("vision_tower", "encoder.layer", "attention", has_cls=True)
    closing = ("</img>",)
    lacks: ClassVar[Mapping[str, str]] = {
        "encode": "InternVL cuts every image into tiles of one size, and a tile has always as many tokens"
    }

    @classmethod
    def refuse(cls, config: Any) -> str | None:
        vision = config.vision_config
        if vision.model_type != "internvl_vision":
            return f"its vision encoder is a {vision.model_type!r}; only InternVL's own is known"
        if config.vision_feature_select_strategy != "default":
            return (
                "it keeps the class token among the patches (vision_feature_select_strategy "
                f"{config.vision_feature_select_strategy!r}), and transformers cannot lay that out as a square"
            )
        patches = {size // patch for size, patch in zip(vision.image_size, vision.patch_size, strict=True)}
        side = _side(config)
        if len(patches) > 1 or patches.pop() % side:
            return f"its tiles of {vision.image_size} px are not squares of {side} x {side} patches"
        return None

    def _preprocess(self, images: Sequence[Image.Image], beside: bool) -> Any:  # noqa: ARG002
        # preprocessor_config.json says no tiles; the processor of the family asks for them all the same.
        return self.image_processor(images=list(images), crop_to_patches=True, return_tensors="pt")

    def _image_text(self, tiles: Sequence[Tile]) -> str:
        return f"<img>{self.image_token * len(tiles)}</img>"

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        n_tiles, _, height, width = processed["pixel_values"].shape
        config = self.model.config
        rows, columns = (
            size // patch // _side(config)
            for size, patch in zip((height, width), config.vision_config.patch_size, strict=True)
        )
        return (Tile(rows, columns),) * n_tiles

    def _token_of_row(self, pixels: Any) -> Tensor:
        return tokens_of_patches(self._tiles(pixels), _side(self.model.config))


def _side(config: Any) -> int:
    """Of a token, in patches."""
    return round(1 / config.downsample_ratio)
