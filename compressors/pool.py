"""Average pooling of the token grid to a coarser one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from pytest_vtc.compression import Compressor, Kept, Tiles, largest_grid


@dataclass(frozen=True)
class Pool(Compressor):
    """Adaptive average pooling over the grid, to the largest grid of the same shape that fits the budget.

    Where the sides do not divide, neighbouring cells overlap, as `torch.nn.AdaptiveAvgPool2d` lays them. Each pooled
    token takes the position of the token nearest the centre of its cell (half-way: the lower or right one). Pooling
    averages tokens of a frozen projector, which the language model has not seen in training.
    """

    name: ClassVar[str] = "pool"
    description: ClassVar[str] = "average pooling of the grid to the largest one that fits"
    reference: ClassVar[str] = "baseline"
    exact: ClassVar[bool] = False
    tiles: ClassVar[Tiles] = "apart"

    def compress(self, features: Tensor, n_target: int, *, grid: tuple[int, int], **_ctx: Any) -> Kept:
        coarse = largest_grid(*grid, n_target)

        def pooled(rows: Tensor) -> Tensor:
            # [1, D, rows, columns] with the channels last in memory, as they are: pooling then copies nothing first.
            cells = functional.adaptive_avg_pool2d(rows.reshape(1, *grid, -1).permute(0, 3, 1, 2), coarse)
            return cells[0].flatten(1).T

        raster = torch.arange(float(len(features))).reshape(1, 1, *grid)
        centres = functional.interpolate(raster, size=coarse, mode="nearest-exact")
        return Kept(pooled(features), centres.flatten().long(), pooled)
