"""What stands in for parts of two families that need packages the tests do without: torchvision and timm."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModel, BatchFeature
from transformers.image_utils import make_flat_list_of_images
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.gemma4.image_processing_pil_gemma4 import get_aspect_ratio_preserving_size


class UnifiedImageProcessor:
    """Makes what Gemma4UnifiedImageProcessor makes of images, with Pillow in place of torchvision.

    Calling it gives `pixel_values` [B, max_soft_tokens, 3 * side * side] in 0 ... 1, one row per square of `side`
    pixels, by row, column and colour within it; `image_position_ids` [B, max_soft_tokens, 2] (x, y); and
    `num_soft_tokens_per_image`. Rows without a square are zero and their positions -1.
    """

    def __init__(self, patch_size: int, pooling_kernel_size: int, max_soft_tokens: int) -> None:
        self.patch_size, self.pooling_kernel_size = patch_size, pooling_kernel_size
        self.max_soft_tokens = max_soft_tokens

    model_input_names = ("pixel_values", "image_position_ids", "num_soft_tokens_per_image")

    def fetch_images(self, images: Any) -> Any:
        """As they are: what a processor asks of its image processor before all else."""
        return images

    def __call__(self, images: Any, do_resize: bool = True, return_tensors: str = "pt") -> BatchFeature:
        images = make_flat_list_of_images(images)
        side = self.patch_size * self.pooling_kernel_size
        pixels = torch.zeros(len(images), self.max_soft_tokens, 3 * side * side)
        positions = torch.full((len(images), self.max_soft_tokens, 2), -1)
        counts: list[int] = []
        for i, image in enumerate(images):
            resized = self._resize(image.convert("RGB")) if do_resize else image.convert("RGB")
            squares = torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)
            squares = squares.unfold(0, side, side).unfold(1, side, side)  # [rows, columns, 3, side, side]
            rows, columns = squares.shape[:2]
            counts.append(rows * columns)
            pixels[i, : counts[-1]] = squares.permute(0, 1, 3, 4, 2).reshape(counts[-1], -1)
            positions[i, : counts[-1], 0] = torch.arange(columns).repeat(rows)
            positions[i, : counts[-1], 1] = torch.arange(rows).repeat_interleave(columns)
        data = {"pixel_values": pixels, "image_position_ids": positions, "num_soft_tokens_per_image": counts}
        return BatchFeature(data, tensor_type=return_tensors)

    def _resize(self, image: Image.Image) -> Image.Image:
        height, width = get_aspect_ratio_preserving_size(
            image.height,
            image.width,
            patch_size=self.patch_size,
            max_patches=self.max_soft_tokens * self.pooling_kernel_size**2,
            pooling_kernel_size=self.pooling_kernel_size,
        )
        return image.resize((width, height), Image.Resampling.BICUBIC)


class ConvolutionTower(nn.Module):
    """Has the inputs and outputs of Gemma 3n's MobileNet: images [B, 3, S, S] to a map [B, C, S / 8, S / 8]."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.hidden_size, kernel_size=4, stride=4)
        self.mix = nn.Conv2d(config.hidden_size, config.hidden_size, kernel_size=2, stride=2)

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        hidden = nn.functional.gelu(self.stem(pixel_values.to(self.stem.weight.dtype)))
        return BaseModelOutputWithPooling(last_hidden_state=self.mix(hidden))  # pyright: ignore[reportArgumentType]


@contextlib.contextmanager
def convolution_tower() -> Generator[None]:
    """Within it, a Gemma 3n model gets a ConvolutionTower where it would ask timm for a MobileNet."""
    make = AutoModel.from_config

    def from_config(config: Any, **options: Any) -> Any:
        return ConvolutionTower(config) if config.model_type == "gemma3n_vision" else make(config, **options)

    with mock.patch.object(AutoModel, "from_config", from_config):
        yield
