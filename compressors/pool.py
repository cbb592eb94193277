"""Pooling of the token grid to a coarser one: the mean or the largest value of each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from pytest_vtc.compression import Compressor, Kept, Tiles, largest_grid

Mode = Literal["avg", "max"]


@dataclass(frozen=True)
class Pool(Compressor):
    """Adaptive pooling over the grid, to the largest grid of the same shape that fits the budget.

    Where the sides do not divide, neighbouring cells overlap, as `torch.nn.AdaptiveAvgPool2d` lays them. Each pooled
    token takes the position of the token nearest the centre of its cell (half-way: the lower or right one). Pooled
    tokens are of a kind that the language model has not seen in training.

    mode: what a cell becomes.
        "avg": the mean of its tokens.
        "max": in each channel their largest value. That cannot be done to rows that a model adds in deeper layers so
            that they match: a cell gets those of the token whose position it has.
    """

    name: ClassVar[str] = "pool"
    description: ClassVar[str] = "average (or max) pooling of the grid to the largest one that fits"
    reference: ClassVar[str] = "baseline"
    exact: ClassVar[bool] = False
    tiles: ClassVar[Tiles] = "apart"

    mode: Mode = "avg"

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode is {self.mode!r}; choose one of {', '.join(map(repr, get_args(Mode)))}")

    def compress(self, features: Tensor, n_target: int, *, grid: tuple[int, int], **_ctx: Any) -> Kept:
        coarse = largest_grid(*grid, n_target)

        def pooled(rows: Tensor) -> Tensor:
            return pool_grid(rows, grid, coarse, self.mode)

        raster = torch.arange(float(len(features))).reshape(1, 1, *grid)
        centres = functional.interpolate(raster, size=coarse, mode="nearest-exact")
        return Kept(pooled(features), centres.flatten().long(), pooled if self.mode == "avg" else None)


def pool_grid(rows: Tensor, grid: tuple[int, int], coarse: tuple[int, int], mode: Mode = "avg") -> Tensor:
    """The tokens of a grid pooled to a coarser one, both in raster order: [r * c, E], from `rows` [R * C, E]."""
    # [1, E, R, C] with the channels last in memory, as they are: pooling then copies nothing first.
    cells = rows.reshape(1, *grid, -1).permute(0, 3, 1, 2)
    pool = functional.adaptive_avg_pool2d if mode == "avg" else functional.adaptive_max_pool2d
    return pool(cells, coarse)[0].flatten(1).T
