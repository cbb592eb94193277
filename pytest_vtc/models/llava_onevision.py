"""LLaVA-OneVision: LLaVA-NeXT's layout with a grid scaled down where it is large; one tile each for several images."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL import Image

from pytest_vtc.models.llava_next import LlavaNextBackend

_ASPECT_RATIO = re.compile(r"anyres_max_(\d+)")


class LlavaOnevisionBackend(LlavaNextBackend):
    """A grid of more tokens than so many tiles have (9, in `anyres_max_9`) is scaled down to them, bilinearly."""

    model_type = "llava_onevision"
    pixel_keys = ("pixel_values", "image_sizes", "batch_num_images")
    offers: ClassVar[frozenset[str]] = frozenset()
    lacks: ClassVar[Mapping[str, str]] = {
        **LlavaNextBackend.lacks,
        "project": "what is projected of a large image is scaled down afterwards, so that tokens are not single rows",
    }
    turn_marks = ()
    counts_images = True

    @classmethod
    def refuse(cls, config: Any) -> str | None:
        if not _ASPECT_RATIO.fullmatch(config.vision_aspect_ratio):
            return f"its vision_aspect_ratio is {config.vision_aspect_ratio!r}; only 'anyres_max_N' can be run"
        return super().refuse(config)

    def _token_grid(self, rows: int, columns: int) -> tuple[int, int]:
        found = _ASPECT_RATIO.fullmatch(self.model.config.vision_aspect_ratio)
        assert found is not None
        # As the model computes it, down to the rounding.
        ratio = math.sqrt(rows * columns / (int(found[1]) * self._side**2))
        return (int(rows // ratio), int(columns // ratio)) if ratio > 1.1 else (rows, columns)

    def _preprocess(self, images: Sequence[Image.Image], beside: bool) -> Any:
        if not beside:
            return super()._preprocess(images, beside)
        # A list in the list is one prompt's images. One alone would be cut into tiles: it is given company.
        company = [Image.new("RGB", (8, 8))] if len(images) == 1 else []
        processed = self.image_processor(images=[[*images, *company]], return_tensors="pt")
        processed.update({key: processed[key][: len(images)] for key in ("pixel_values", "image_sizes")})
        return processed
