"""Scaling of masks in whole numbers: every pixel is the exact mean of the area that it stands for, rounded half up."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray


def resample(mask: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """A mask [H, W] in 0..255, scaled to [height, width] by area."""
    tall, wide = mask.shape
    # Whole numbers in floating point: no sum comes near 2**53, so all are exact, in whatever order they are added.
    total = (_overlaps(tall, height) @ mask.astype(np.float64) @ _overlaps(wide, width).T).astype(np.int64)
    return ((total + tall * wide // 2) // (tall * wide)).astype(np.uint8)


@functools.lru_cache(maxsize=4096)
def _overlaps(n_from: int, n_to: int) -> NDArray[np.float64]:
    """How much of each of n_from pixels lies in each of n_to [n_to, n_from], in units of 1 / n_to of a pixel."""
    start = np.arange(n_to)[:, None] * n_from
    cell = np.arange(n_from)[None] * n_to
    return np.clip(np.minimum(start + n_from, cell + n_to) - np.maximum(start, cell), 0, None).astype(np.float64)
