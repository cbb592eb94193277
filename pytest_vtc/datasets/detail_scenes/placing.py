"""Where things stand: boxes that do not touch, and details of at most a token inside one token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_vtc.datasets.detail_scenes.draws import Draws
from pytest_vtc.datasets.palette import SOFT_TOKEN_PX

GAP_PX = 2
"""Things are at least so far apart."""


@dataclass(frozen=True)
class Box:
    """Pixels left .. left + width - 1, top .. top + height - 1."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height


def capacity(width: int, height: int, size: tuple[int, int]) -> int:
    """How many boxes of at most `size` (width, height) `scatter` can place on a canvas of width x height pixels."""
    columns, rows = _slots(width, height, size)
    return columns * rows


def scatter(draws: Draws, width: int, height: int, sizes: Sequence[tuple[int, int]]) -> list[Box]:
    """One box for each (width, height) of `sizes`, at random places of a canvas of width x height pixels.

    The canvas is divided into slots that the largest of them fits; what fits a soft token is placed inside one.
    """
    columns, rows = _slots(width, height, (max(w for w, _ in sizes), max(h for _, h in sizes)))
    boxes: list[Box] = []
    for slot, (w, h) in zip(draws.some(range(columns * rows), len(sizes)), sizes, strict=True):
        row, column = divmod(slot, columns)
        left, right = width * column // columns, width * (column + 1) // columns
        top, bottom = height * row // rows, height * (row + 1) // rows
        margin = GAP_PX // 2
        boxes.append(
            Box(
                draws.between(left + margin, right - margin - w),
                draws.between(top + margin, bottom - margin - h),
                w,
                h,
            )
        )
    return boxes


def _slots(width: int, height: int, size: tuple[int, int]) -> tuple[int, int]:
    """Columns and rows of slots for boxes of at most `size`: soft tokens if they fit one."""
    w, h = size[0] + GAP_PX, size[1] + GAP_PX
    if max(w, h) <= SOFT_TOKEN_PX:
        w = h = SOFT_TOKEN_PX
    return width // w, height // h
