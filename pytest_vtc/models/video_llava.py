"""Video-LLaVA, its images: one square tile of a CLIP tower that videos do not share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from pytest_vtc.models.llava import LlavaBackend
from pytest_vtc.models.probe import Encoder


class VideoLlavaBackend(LlavaBackend):
    """256 tokens for an image: its class token is left out, as that of a video's frame is not."""

    model_type = "video_llava"
    encoder = Encoder("image_tower", has_cls=True)
    packs_tensor = True

    def _preprocess(self, images: Sequence[Image.Image], beside: bool) -> Any:  # noqa: ARG002
        # By its present name, `pixel_values`: the default is a deprecated one.
        return self.image_processor(images=list(images), return_tensors="pt", return_legacy_image_output=False)
