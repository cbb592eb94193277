"""Uneven backgrounds: a slope of light, stains and thin lines, all paler than any thing on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.datasets.detail_scenes.draws import Draws

_STAIN_PX = 24
_LINES = 12


def textured(seed: str, height: int, width: int, level: int) -> NDArray[np.int32]:
    """A background [height, width, 3] around the grey `level`, in 165..255. `seed` names its random stream."""
    draws = Draws(f"{seed}/background")
    y, x = np.mgrid[:height, :width].astype(np.int64)
    slope = (draws.between(-16, 16) * x) // width + (draws.between(-16, 16) * y) // height
    canvas = np.empty((height, width, 3), np.int32)
    for channel in range(3):
        canvas[..., channel] = level - 12 + slope + _stains(draws, height, width)
    # Grain: the same hash of the place and the seed everywhere.
    salt = draws.below(1 << 16)
    canvas += (((x * 7919 + y * 104729 + salt) * 2654435761 >> 7) % 9 - 4)[..., None].astype(np.int32)
    for _ in range(_LINES):
        _line(draws, canvas)
    return np.clip(canvas, 165, 255)


def _stains(draws: Draws, height: int, width: int) -> NDArray[np.int32]:
    """Soft noise: random values on a coarse grid, and between them a straight line in whole numbers."""
    rows, columns = -(-height // _STAIN_PX) + 1, -(-width // _STAIN_PX) + 1
    coarse = np.array([[draws.between(-10, 10) for _ in range(columns)] for _ in range(rows)], np.int32)
    (row, dy), (column, dx) = np.divmod(np.arange(height), _STAIN_PX), np.divmod(np.arange(width), _STAIN_PX)
    dy, dx = dy[:, None], dx[None]
    above = coarse[row][:, column] * (_STAIN_PX - dx) + coarse[row][:, column + 1] * dx
    below = coarse[row + 1][:, column] * (_STAIN_PX - dx) + coarse[row + 1][:, column + 1] * dx
    return ((above * (_STAIN_PX - dy) + below * dy) // (_STAIN_PX * _STAIN_PX)).astype(np.int32)


def _line(draws: Draws, canvas: NDArray[np.int32]) -> None:
    """A pale line of two pixels from the left edge to the right one or from the top to the bottom."""
    height, width, _ = canvas.shape
    dark = draws.between(16, 30)
    if draws.below(2):
        canvas = canvas.transpose(1, 0, 2)
        height, width = width, height
    start, end = draws.below(height), draws.below(height)
    x = np.arange(width)
    y = start + (end - start) * x // width
    canvas[y, x] -= dark
    canvas[np.minimum(y + 1, height - 1), x] -= dark
