"""Qwen2-VL and Qwen2.5-VL; what Qwen3-VL shares with them as well."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.cells import Positions
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.probe import Encoder
from pytest_vtc.models.sequences import Tile


class QwenVLBackend(Backend):
    """Images at nearly their own size, 2 x 2 patches to one token; positions of time, height and width."""

    pixel_keys = ("pixel_values", "image_grid_thw")
    token_type_key = "mm_token_type_ids"
    encoder = Encoder("visual", "blocks", "attn")
    projector = "visual.merger"
    # The chat template has written <|vision_start|> as well.
    closing = ("<|vision_end|>",)
    # Compact ones are those of text, the same on all three axes: rows and columns would be lost.
    default_positions: ClassVar[Positions] = "original"
    mrope = True

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        _, rows, columns = processed["image_grid_thw"][0].tolist()
        return (Tile(rows // self._merged, columns // self._merged),)

    def _token_of_row(self, pixels: Any) -> Tensor:
        # The image processor hands over the patches of one token after those of another.
        return torch.arange(self._tiles(pixels)[0].n_tokens).repeat_interleave(self._merged**2)

    @property
    def _merged(self) -> int:
        return int(self.model.config.vision_config.spatial_merge_size)

    def _process_resized(self, image: Image.Image, rows: int, columns: int) -> Any:
        side = int(self.image_processor.patch_size * self.image_processor.merge_size)
        resized = image.resize((columns * side, rows * side), self.image_processor.resample)
        return self.image_processor(images=[resized], do_resize=False, return_tensors="pt")


class Qwen2VLBackend(QwenVLBackend):
    """Tokens of 28 px; each attention layer of the encoder sees the whole image."""

    model_type = "qwen2_vl"


class Qwen2_5VLBackend(QwenVLBackend):  # noqa: N801  as the model is called
    """Tokens of 28 px; most attention layers see windows of 4 x 4 tokens, and rows are in their order."""

    model_type = "qwen2_5_vl"
    encoder = Encoder("visual", "blocks", "attn", windows=True)

    def _token_of_row(self, pixels: Any) -> Tensor:
        config = self.model.config.vision_config
        side = config.window_size // (config.patch_size * self._merged)
        tile = self._tiles(pixels)[0]
        row, column = torch.arange(tile.rows)[:, None] // side, torch.arange(tile.columns) // side
        in_windows = (row * tile.columns + column).flatten().argsort(stable=True)
        return in_windows.repeat_interleave(self._merged**2)
