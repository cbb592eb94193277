"""Gemma 4 with a vision tower: E2B, E4B, 26B-A4B, 31B and the embedded tiny-gemma4."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.probe import Encoder
from pytest_vtc.models.sequences import Tile


class Gemma4Backend(Backend):
    """Patches of 16 px, pooled 3 x 3 to one token of 48 px; each image between <|image> and <image|>."""

    model_type = "gemma4"
    pixel_keys = ("pixel_values", "image_position_ids")
    token_type_key = "mm_token_type_ids"
    encoder = Encoder("vision_tower", "encoder.layers", "self_attn")
    projector = "embed_vision"
    closing = ("<image|>",)

    def _image_text(self, tiles: Sequence[Tile]) -> str:
        return f"<|image>{self.image_token * len(tiles)}<image|>"

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        columns, rows = self._side_in_patches(processed)
        return (Tile(rows // self._pooling, columns // self._pooling),)

    def _token_of_row(self, pixels: Any) -> Tensor:
        x, y = pixels["image_position_ids"][0].unbind(dim=-1)
        tokens = x // self._pooling + self._side_in_patches(pixels)[0] // self._pooling * (y // self._pooling)
        return torch.where(x >= 0, tokens, -1).cpu()

    @property
    def _pooling(self) -> int:
        return int(self.model.config.vision_config.pooling_kernel_size)

    def _side_in_patches(self, pixels: Any) -> tuple[int, int]:
        x, y = pixels["image_position_ids"][0].amax(dim=0).tolist()  # padding is -1
        return x + 1, y + 1

    def _unpadded(self, processed: Any) -> Mapping[str, Tensor]:
        # Patches are padded at the end, at position -1, to as many as the largest image has.
        present = (processed["image_position_ids"][0] >= 0).all(dim=-1)
        n = int(present.sum())
        if not present[:n].all():
            return processed
        return {key: processed[key][:, :n] for key in self.pixel_keys}

    def _process_resized(self, image: Image.Image, rows: int, columns: int) -> Any:
        side = int(self.image_processor.patch_size * self.image_processor.pooling_kernel_size)
        resized = image.resize((columns * side, rows * side), Image.Resampling.BICUBIC)
        return self.image_processor(images=[resized], do_resize=False, return_tensors="pt")

    def _opening(self, prompt: str) -> str:
        # The larger checkpoints open an answer with an empty thought, unless their template has written it already.
        says_it = getattr(self.model.config.get_text_config(), "hidden_size_per_layer_input", 0) == 0
        return "<|channel>thought\n<channel|>" if says_it and not prompt.endswith("<channel|>") else ""

    def _visible(self, token_ids: list[int]) -> list[int]:
        # ... which is <|channel>thought ... <channel|>.
        start, end = (self.tokenizer.convert_tokens_to_ids(token) for token in ("<|channel>", "<channel|>"))
        visible: list[int] = []
        inside = False
        for token in token_ids:
            if token == start:
                inside = True
            elif token == end:
                inside = False
            elif not inside:
                visible.append(token)
        return visible
