"""Gemma 3 with a vision tower: 4B, 12B and 27B."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL import Image
from torch import Tensor

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.probe import Encoder
from pytest_vtc.models.sequences import Tile, square, tokens_of_patches


class Gemma3Backend(Backend):
    """896 x 896 px in patches of 14 px, whatever the image; the projector averages 4 x 4 of them to one token.

    Pan and scan, which shows crops of long images beside the whole, is done if the checkpoint's image processor says
    so. As published, none does; transformers' own processor, `Gemma3Processor`, wants it in every call besides.
    """

    model_type = "gemma3"
    token_type_key = "token_type_ids"  # without them the model would not let the tokens of an image see each other
    encoder = Encoder("vision_tower", "encoder.layers", "self_attn")
    packs_tensor = True
    lacks: ClassVar[Mapping[str, str]] = {
        "encode": "the vision tower takes images of one size only, and makes the same number of tokens of each"
    }
    closing = ("<end_of_image>",)

    @classmethod
    def refuse(cls, config: Any) -> str | None:
        if (tower := config.vision_config.model_type) != "siglip_vision_model":
            return f"its vision tower is a {tower!r}; only SigLIP's is supported"
        return None

    def _placeholder(self) -> str:
        return "<start_of_image>"

    def _image_text(self, tiles: Sequence[Tile]) -> str:
        whole, *crops = [f"\n\n<start_of_image>{self.image_token}<end_of_image>\n\n" for _ in tiles]
        if not crops:
            return whole
        return f"Here is the original image {whole} and here are some crops to help you see better {' '.join(crops)}"

    def _preprocess(self, images: Sequence[Image.Image], beside: bool) -> Any:  # noqa: ARG002
        from transformers import Gemma3Processor

        # What published image processors leave open, above all the measures of pan and scan, the processor fills in.
        defaults: Mapping[str, Any] = Gemma3Processor.images_kwargs
        left_open = {name: value for name, value in defaults.items() if getattr(self.image_processor, name) is None}
        return self.image_processor(images=list(images), return_tensors="pt", **left_open)

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        # The whole image, then its crops.
        return (square(self.model.config.mm_tokens_per_image),) * len(processed["pixel_values"])

    def _token_of_row(self, pixels: Any) -> Tensor:
        tiles, vision = self._tiles(pixels), self.model.config.vision_config
        return tokens_of_patches(tiles, vision.image_size // vision.patch_size // tiles[0].columns)
