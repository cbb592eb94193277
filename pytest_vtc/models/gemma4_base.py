"""What all Gemma 4 checkpoints have in common, with a vision tower or without: patches, prompts and answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.sequences import Tile


class Gemma4Base(Backend):
    """One token for 48 x 48 px of an image, whose sides are kept in proportion; each between <|image> and <image|>."""

    pixel_keys = ("pixel_values", "image_position_ids")
    token_type_key = "mm_token_type_ids"
    closing = ("<image|>",)

    @classmethod
    def refuse(cls, config: Any) -> str | None:
        if config.vision_config is None:
            return "it was saved without its vision side"
        return None

    @property
    @abstractmethod
    def _pooling(self) -> int:
        """Patches along each side of a token."""

    def _image_text(self, tiles: Sequence[Tile]) -> str:
        return f"<|image>{self.image_token * len(tiles)}<image|>"

    def _tiles(self, processed: Any) -> tuple[Tile, ...]:
        columns, rows = self._side_in_patches(processed)
        return (Tile(rows // self._pooling, columns // self._pooling),)

    def _token_of_row(self, pixels: Any) -> Tensor:
        x, y = pixels["image_position_ids"][0].unbind(dim=-1)
        tokens = x // self._pooling + self._side_in_patches(pixels)[0] // self._pooling * (y // self._pooling)
        return torch.where(x >= 0, tokens, -1).cpu()

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
