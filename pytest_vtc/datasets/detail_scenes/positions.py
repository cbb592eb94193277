"""Scenes that ask what stands left of, right of, above or below a thing."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vtc.datasets.detail_scenes.draws import Draws
from pytest_vtc.datasets.detail_scenes.placing import GAP_PX, Box
from pytest_vtc.datasets.detail_scenes.scenes import SIDES_PX, Layout, Question, Size, Thing
from pytest_vtc.datasets.detail_scenes.sizes import fitted, shape_size
from pytest_vtc.datasets.detail_scenes.vocabulary import SHAPES
from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX

BOARD = 3
"""Shapes stand on a board of so many rows and columns, somewhere on the canvas."""

DIRECTIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
"""Steps (right, down) on the board."""


def plan_positions(draws: Draws, layout: Layout, size: Size) -> tuple[tuple[Thing, ...], tuple[Question, ...]]:
    """Shapes on a board, no two of one shape or colour, and as many questions as the layout asks.

    A shape's neighbour in a direction is the one on the next place of its row or column. It is asked for only where it
    is the only shape in that direction whose rows (or columns) of pixels overlap with those of the shape asked about.
    """
    low, high = SIDES_PX[size]
    pitch = _pitch(draws, layout, high)
    across, down = layout.columns * SOFT_TOKEN_PX, layout.rows * SOFT_TOKEN_PX
    span = pitch * (BOARD - 1) + high
    left, top = _start(draws, across - span, high), _start(draws, down - span, high)
    while True:
        places = draws.some([(column, row) for row in range(BOARD) for column in range(BOARD)], draws.between(4, 6))
        pairs = _neighbours(places)
        if len(pairs) >= layout.n_questions:
            break
    shapes, colours = draws.some(tuple(SHAPES), len(places)), draws.some(tuple(COLOURS), len(places))
    # All of one scene have one side, so that rows and columns of the board overlap over more than half of a shape.
    side = draws.between(low, high)
    things: list[Thing] = []
    for (column, row), shape, colour in zip(places, shapes, colours, strict=True):
        width, height = fitted(shape_size(shape), side)
        x, y = left + column * pitch + (high - width) // 2, top + row * pitch + (high - height) // 2
        things.append(Thing("shape", shape, colour, Box(x, y, width, height)))
    questions = tuple(
        Question(f"what is {direction} the {things[of].colour} {things[of].value} ?", SHAPES[things[neighbour].value])
        for of, direction, neighbour in draws.some(pairs, layout.n_questions)
    )
    return tuple(things), questions


def neighbour(things: Sequence[Thing], of: Thing, direction: str) -> Thing | None:
    """The nearest of the things whose box lies beyond that of `of` in a direction and overlaps with it across."""
    right, down = DIRECTIONS[direction]
    there: list[tuple[int, Thing]] = []
    for thing in things:
        a, b = thing.box, of.box
        overlaps = min(a.bottom, b.bottom) > max(a.top, b.top) if right else min(a.right, b.right) > max(a.left, b.left)
        free = {
            (-1, 0): b.left - a.right,
            (1, 0): a.left - b.right,
            (0, -1): b.top - a.bottom,
            (0, 1): a.top - b.bottom,
        }[right, down]
        if overlaps and free >= 0:
            there.append((free, thing))
    return min(there, key=lambda pair: pair[0])[1] if there else None


def _pitch(draws: Draws, layout: Layout, high: int) -> int:
    """From one place of the board to the next: whole tokens for what fits one, else as the canvas allows."""
    room = (min(layout.columns, layout.rows) * SOFT_TOKEN_PX - high - GAP_PX) // (BOARD - 1)
    if high < SOFT_TOKEN_PX:
        return SOFT_TOKEN_PX * draws.between(1, min(3, room // SOFT_TOKEN_PX))
    return draws.between(high + high // 8, min(room, 2 * high))


def _start(draws: Draws, slack: int, high: int) -> int:
    """First pixel of the board in one direction; what fits a token stays inside tokens."""
    if high >= SOFT_TOKEN_PX:
        return draws.between(1, slack - 1)
    inside = draws.between(1, SOFT_TOKEN_PX - high - 1)
    return SOFT_TOKEN_PX * draws.below((slack - inside) // SOFT_TOKEN_PX + 1) + inside


def _neighbours(places: Sequence[tuple[int, int]]) -> list[tuple[int, str, int]]:
    """Every (place, direction, place next to it) where nothing else stands in that direction."""
    at = {place: i for i, place in enumerate(places)}
    found: list[tuple[int, str, int]] = []
    for place, i in at.items():
        for direction, (right, down) in DIRECTIONS.items():
            beyond = [at.get((place[0] + right * n, place[1] + down * n)) for n in range(1, BOARD)]
            if (neighbour := beyond[0]) is not None and beyond[1] is None:
                found.append((i, direction, neighbour))
    return found
