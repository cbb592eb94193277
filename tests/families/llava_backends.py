"""Backends of the tiny LLaVA checkpoints, and what those are given when they run as stock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.datasets.base import Sample
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.llava import LlavaBackend
from pytest_vtc.models.llava_next import LlavaNextBackend
from pytest_vtc.models.llava_onevision import LlavaOnevisionBackend
from pytest_vtc.models.video_llava import VideoLlavaBackend
from pytest_vtc.models.vision_side import Wants
from tests.families.checkpoints import VARIANTS, Parts, load_parts
from tests.families.pictures import picture
from tests.families.stock import stock_inputs

FAMILIES: tuple[type[LlavaBackend], ...] = (LlavaBackend, LlavaNextBackend, LlavaOnevisionBackend, VideoLlavaBackend)
ALL = Wants(hidden=True, attention=frozenset({-2}), keys=frozenset({-2}))


@dataclass(frozen=True)
class Drawn:
    """An image of a sample, drawn when it is opened."""

    width: int
    height: int
    seed: int

    def open(self) -> Image.Image:
        return picture(self.width, self.height, self.seed)

    def fingerprint(self) -> str:
        return repr(self)


def sample(*sizes: tuple[int, int]) -> Sample:
    """A question on images of these widths and heights."""
    return Sample("1", tuple(Drawn(*size, seed) for seed, size in enumerate(sizes)), "what is it ?", ("a",))


def load(family: type[Backend], folder: Path) -> Any:
    """A backend of the tiny checkpoint of a family's model type."""
    parts = load_parts(family.model_type, folder)
    # Some folders hold it in a file that only processors read.
    parts.tokenizer.chat_template = VARIANTS[family.model_type].template
    return family(parts.model, parts.tokenizer, parts.image_processor)


def stock_calls(backend: Any, text: str, images: Sequence[Image.Image]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `generate` is given for a prompt: by our stock reference, and by the family's own processor."""
    prompt = backend.prompt_ids(text, [backend.tiles(image, backend.shown_beside(len(images))) for image in images])
    with mock.patch.object(backend.model, "generate", wraps=backend.model.generate) as generate:
        backend.generate_stock(prompt, images, 1)
    parts = Parts(backend.model, backend.tokenizer, backend.image_processor)
    theirs = stock_inputs(backend.model_type, parts, text, images)
    if "pixel_values_images" in theirs:
        theirs["pixel_values"] = theirs.pop("pixel_values_images")
    return generate.call_args.kwargs, theirs


@torch.inference_mode()
def eager_attention(backend: Any, image: Image.Image, layer: int) -> Tensor:
    """What a layer of the tower computes for the tiles of an image, [tiles, H, queries, rows], by eager attention."""
    encoder = backend._encoder()
    tower = backend.model.model.get_submodule(encoder.tower)
    before = tower.config._attn_implementation
    tower.set_attn_implementation("eager")
    try:
        pixels = backend.process(image)["pixel_values"]
        return tower(pixels.reshape(-1, *pixels.shape[-3:]), output_attentions=True).attentions[layer]
    finally:
        tower.set_attn_implementation(before)
