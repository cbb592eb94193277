"""Gemma 4 with a vision tower: E2B, E4B, 26B-A4B, 31B and the embedded tiny-gemma4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from pytest_vtc.models.backend import Backend


class Gemma4Backend(Backend):
    """Patches of 16 px, pooled 3 x 3 to one token of 48 px; each image between <|image> and <image|>."""

    model_type = "gemma4"
    pixel_keys = ("pixel_values", "image_position_ids")
    token_type_key = "mm_token_type_ids"

    def _grid(self, processed: Any) -> tuple[int, int]:
        pool = int(self.model.config.vision_config.pooling_kernel_size)
        x, y = processed["image_position_ids"][0].amax(dim=0).tolist()  # padding is -1
        return (y + 1) // pool, (x + 1) // pool

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

    def _block(self, n_tokens: int) -> tuple[list[int], list[int], list[int]]:
        config = self.model.config
        return [config.boi_token_id], [self.image_token_id] * n_tokens, [config.eoi_token_id]

    def _visible(self, token_ids: list[int]) -> list[int]:
        # The larger checkpoints may open with an empty thought: <|channel>thought ... <channel|>.
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
