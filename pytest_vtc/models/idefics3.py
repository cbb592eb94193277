"""Idefics3, and the first SmolVLM, which is one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL import Image
from torch import Tensor

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.probe import Encoder
from pytest_vtc.models.sequences import Tile, tokens_of_patches
from pytest_vtc.models.text_side import PromptError

_AROUND = "<fake_token_around_image>"
_END = "<end_of_utterance>"


class Idefics3Backend(Backend):
    """Crops in rows and columns, each named by a tag in the prompt, then the whole image as one more tile.

    A tile that keeps no token keeps its tag: the model is told of every crop that there was.
    Pixel shuffle makes one token of 2 x 2, 3 x 3 or 4 x 4 patches; `hidden` is these, side by side.
    """

    model_type = "idefics3"
    pixel_keys = ("pixel_values", "pixel_attention_mask")
    encoder = Encoder("vision_model", "encoder.layers", "self_attn")
    projector = "connector.modality_projection"
    offers: ClassVar[frozenset[str]] = frozenset({"project"})
    closing = (_AROUND,)
    stops = (_END,)
    lacks: ClassVar[Mapping[str, str]] = {
        "encode": "Idefics3 and SmolVLM cut every image into tiles of one size, and a tile has always as many tokens"
    }

    @classmethod
    def refuse(cls, config: Any) -> str | None:
        vision = config.vision_config
        if (vision.image_size // vision.patch_size) % config.scale_factor:
            return (
                f"its tiles of {vision.image_size} px, patches of {vision.patch_size} px, do not divide into tokens of "
                f"{config.scale_factor} x {config.scale_factor} patches"
            )
        return None

    def _preprocess(self, images: Sequence[Image.Image], beside: bool) -> Any:  # noqa: ARG002
        processed = self.image_processor(images=[list(images)], return_row_col_info=True, return_tensors="pt")
        tiles: Tensor = processed["pixel_values"][0]
        # The corner first: it is quick, and normalised as usual, no 8-bit value is 0. Without normalisation black is.
        if any(not tile[:, 0, 0].any() and not tile.any() for tile in tiles):
            raise PromptError(
                "a part of the image is 0 in all of its pixels after normalisation, as black is without any; this "
                "model takes such a tile for padding and drops it, so that it cannot see the image"
            )
        return processed

    def _image_text(self, tiles: Sequence[Tile]) -> str:
        crops = [tile.place for tile in tiles if tile.place is not None]
        lines = [
            "".join(f"{_AROUND}<row_{row + 1}_col_{column + 1}>{self.image_token}" for row, column in line) + "\n"
            for _, line in itertools.groupby(crops, key=lambda place: place[0])
        ]
        return "".join([*lines, "\n" if lines else "", f"{_AROUND}<global-img>{self.image_token}{_AROUND}"])

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        config = self.model.config
        side = processed["pixel_values"].shape[-1] // config.vision_config.patch_size // config.scale_factor
        rows, columns = processed["rows"][0][0], processed["cols"][0][0]
        crops = itertools.product(range(rows), range(columns))
        return (*(Tile(side, side, place=place) for place in crops), Tile(side, side))

    def _token_of_row(self, pixels: Any) -> Tensor:
        return tokens_of_patches(self._tiles(pixels), self.model.config.scale_factor)
