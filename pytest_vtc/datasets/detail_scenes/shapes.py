"""The shapes, as masks from inequalities between whole numbers."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

MASTER = 256
"""Side of a mask before it is scaled."""

# The corners of a five-pointed star, clockwise from its top; its outer radius is 1000.
_STAR = (
    (0, -1000), (225, -309), (951, -309), (363, 118), (588, 809),
    (0, 382), (-588, 809), (-363, 118), (-951, -309), (-225, -309),
)  # fmt: skip


@functools.cache
def shape_ink(name: str) -> NDArray[np.uint8]:
    """The mask of a shape, 0 or 255, cropped to its ink; the longer side is MASTER."""
    n = MASTER
    # Twice the distance of a pixel's middle from the centre: odd whole numbers, -(n - 1) .. n - 1.
    y, x = (2 * np.mgrid[:n, :n] - (n - 1)).astype(np.int64)
    if name == "circle":
        inside = x * x + y * y <= n * n
    elif name == "square":
        inside = np.ones((n, n), bool)
    elif name == "triangle":
        inside = 2 * abs(x) <= y + n
    elif name == "diamond":
        # Taller than wide: nobody takes it for a square that stands on its corner.
        inside = 3 * abs(x) * 2 + 4 * abs(y) <= 4 * n
    elif name == "cross":
        inside = (3 * abs(x) <= n) | (3 * abs(y) <= n)
    elif name == "moon":
        inside = (x * x + y * y <= n * n) & (16 * (x - n // 2) ** 2 + 16 * y * y > 13 * 13 * n * n // 16)
    elif name == "heart":
        lobes = (2 * abs(x) - n) ** 2 + (2 * y + n) ** 2 <= n * n
        between = (2 * abs(x) <= n) & (2 * y >= -n) & (y <= 0)
        # The point: lines at 45 degrees that touch the lobes.
        point = (7 * y >= -n) & (100 * (abs(x) + y) <= 71 * n)
        inside = lobes | between | point
    elif name == "star":
        inside = _in_polygon(x, y, [(px * n, py * n) for px, py in _STAR], 1000)
    else:
        raise ValueError(f"no shape {name!r}")
    rows, columns = inside.any(1).nonzero()[0], inside.any(0).nonzero()[0]
    cropped = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.where(cropped, np.uint8(255), np.uint8(0))


def _in_polygon(
    x: NDArray[np.int64], y: NDArray[np.int64], corners: list[tuple[int, int]], scale: int
) -> NDArray[np.bool_]:
    """Which points lie inside by the even-odd rule; corners are in units of 1 / scale."""
    x, y = x * scale, y * scale
    inside = np.zeros(x.shape, bool)
    for (ax, ay), (bx, by) in zip(corners, corners[1:] + corners[:1], strict=True):
        crosses = (ay > y) != (by > y)
        side = (x - ax) * (by - ay) - (y - ay) * (bx - ax)
        inside ^= crosses & ((side < 0) if by > ay else (side > 0))
    return inside
