"""Pictures for tests of models with random weights: all of their areas differ."""

from __future__ import annotations

import numpy as np
from PIL import Image


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """An RGB image of smoothly changing colours, as many pixels wide and high as asked; another for each seed."""
    colours = np.random.default_rng(seed).integers(0, 256, size=(5, 7, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)
