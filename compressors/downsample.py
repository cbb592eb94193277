"""Fewer tokens by a smaller image: resize first, then encode. The strongest of the trivial baselines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from pytest_vtc.compression import Compressor, Kept, Tiles, largest_grid


@dataclass(frozen=True)
class Downsample(Compressor):
    """The image itself, resized to the largest size whose token count fits the budget, and encoded afresh.

    What a user gets by simply sending a smaller image: the vision encoder runs on it as it was trained to, and costs
    less too, so a compressor that does not beat this has little to offer. Each token takes the position of the token of
    the full-size grid that is nearest its centre (half-way: the lower or right one). If everything fits, the tokens
    are handed back as they are.
    """

    name: ClassVar[str] = "downsample"
    description: ClassVar[str] = "the image resized to fit the budget, encoded afresh"
    reference: ClassVar[str] = "baseline"
    needs: ClassVar[frozenset[str]] = frozenset({"encode"})
    exact: ClassVar[bool] = False
    tiles: ClassVar[Tiles] = "apart"

    def compress(self, features: Tensor, n_target: int, *, grid: tuple[int, int], encode: Any, **_ctx: Any) -> Kept:
        coarse = largest_grid(*grid, n_target)
        raster = torch.arange(float(len(features))).reshape(1, 1, *grid)
        centres = functional.interpolate(raster, size=coarse, mode="nearest-exact")
        positions = centres.flatten().long()
        if coarse == tuple(grid):
            return Kept(features, positions, lambda rows: rows)
        return replace(encode(*coarse), positions=positions)
