"""LLaVA-NeXT (LLaVA 1.6): the whole image as one tile, then again finer, cut into tiles, with a newline per row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.models.llava import LlavaBackend
from pytest_vtc.models.sequences import Tile


class LlavaNextBackend(LlavaBackend):
    """The finer grid is put together again of its tiles, and what was only padding is cut off."""

    model_type = "llava_next"
    pixel_keys = ("pixel_values", "image_sizes")
    lacks: ClassVar[Mapping[str, str]] = {
        "encode": "its vision tower takes tiles of one size only, and always one tile with the whole image"
    }
    offers: ClassVar[frozenset[str]] = frozenset({"class_token", "project", "joint"})
    turn_marks = ("USER:", "[INST]")

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        if self._n_tiles(processed) == 1:
            return (Tile(self._side, self._side, newlines="end"),)
        whole = Tile(self._side, self._side)
        fine = Tile(*self._token_grid(*self._fine_grid(processed).shape), newlines="rows")
        # Of an image a hundred times as wide as it is high, all of the grid is padding and cut off; of one so much
        # higher than wide, the newlines alone are left.
        return (whole, fine) if fine.n_rows else (whole,)

    def _tile_of_input(self, pixels: Any) -> Sequence[int]:
        # The finer grid is all the encoder's inputs after the first, unless none of it is left.
        beside = 1 if len(self._tiles(pixels)) > 1 else -1
        return (0, *[beside] * (self._n_tiles(pixels) - 1))

    def _token_of_row(self, pixels: Any) -> Tensor:
        n_whole = self._side**2
        found = torch.full((self._n_tiles(pixels) * n_whole,), -1)
        found[:n_whole] = torch.arange(n_whole)
        if self._n_tiles(pixels) > 1:
            grid = self._fine_grid(pixels)
            tall, wide = grid.shape
            rows, columns = self._token_grid(tall, wide)
            # The token in whose cell the centre of a row lies.
            y = (2 * torch.arange(tall) + 1) * rows // max(1, 2 * tall)
            x = (2 * torch.arange(wide) + 1) * columns // max(1, 2 * wide)
            found[n_whole + grid] = n_whole + y[:, None] * columns + x
        return found

    def _token_grid(self, rows: int, columns: int) -> tuple[int, int]:
        """Rows and columns of tokens that are made of so many rows and columns of the fine grid."""
        return rows, columns

    def _fine_grid(self, pixels: Any) -> Tensor:
        """[rows, columns] long: which row of the tower, counted after the first tile, is at each place of the grid."""
        from transformers.models.llava_next.modeling_llava_next import get_anyres_image_grid_shape, unpad_image

        config, size = self.model.config, pixels["image_sizes"][0].tolist()
        side = self._side
        down, across = get_anyres_image_grid_shape(size, config.image_grid_pinpoints, config.vision_config.image_size)
        rows = torch.arange(down * across * side**2).reshape(down, across, side, side)
        return unpad_image(rows.transpose(1, 2).reshape(1, down * side, across * side), size)[0]

    @staticmethod
    def _n_tiles(pixels: Any) -> int:
        return pixels["pixel_values"].shape[1]
