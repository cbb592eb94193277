"""How large a thing is on the canvas, known without drawing it."""

from __future__ import annotations

_SHAPES = {"triangle": (256, 255), "diamond": (170, 254), "star": (244, 229), "heart": (256, 218), "moon": (203, 256)}


def shape_size(name: str) -> tuple[int, int]:
    """Width and height of a shape's mask before it is scaled: whole square unless said otherwise."""
    return _SHAPES.get(name, (256, 256))


def fitted(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Width and height scaled so that the longer one is `side`."""
    longer = max(size)
    return max(1, (size[0] * side + longer // 2) // longer), max(1, (size[1] * side + longer // 2) // longer)
