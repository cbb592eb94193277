"""Scenes with one bar chart; the detail is the width of a bar."""

from __future__ import annotations

from pytest_vtc.datasets.detail_scenes.draws import Draws
from pytest_vtc.datasets.detail_scenes.glyphs import FONTS, text_size
from pytest_vtc.datasets.detail_scenes.placing import Box
from pytest_vtc.datasets.detail_scenes.scenes import SIDES_PX, Bar, Chart, Layout, Question, Size, Thing
from pytest_vtc.datasets.detail_scenes.vocabulary import COLOUR_ANSWERS
from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX

LEVELS = 8
"""Bars are 1 to so many units high, no two of them alike."""

BASE_PX = 2
"""Thickness of the base line."""

_LEAST_UNIT_PX = 16
"""Of a chart with an axis: its numbers must have room above each other."""

_MOST_FIGURE_PX = 32
"""Height of the numbers at most."""


def plan_chart(draws: Draws, layout: Layout, size: Size) -> tuple[Chart, tuple[Question, ...]]:
    """Three to six bars, and what color the tallest and the shortest one have; with an axis, also a value."""
    across, down = layout.columns * SOFT_TOKEN_PX, layout.rows * SOFT_TOKEN_PX
    width = draws.between(*SIDES_PX[size])
    unit = min(width, (down - BASE_PX - width // 8 - 2) // (LEVELS + 1))
    if layout.axis:
        unit = max(unit, _LEAST_UNIT_PX)
    figure = min(width, unit - 4, _MOST_FIGURE_PX)
    axis = 2 * figure if layout.axis else 0
    gap = gap_px(width)
    n = draws.between(3, min(6, (across - axis - gap - 2) // (width + gap)))
    area_width, area_height = axis + gap + n * (width + gap), LEVELS * unit + BASE_PX + figure * layout.axis
    left, top = draws.between(1, across - area_width - 1), draws.between(1, down - area_height - 1)
    base = top + area_height - BASE_PX - (figure // 2) * layout.axis
    levels = draws.some(range(1, LEVELS + 1), n)
    bars = tuple(
        Bar(colour, level, Box(left + axis + gap + i * (width + gap), base - level * unit, width, level * unit))
        for i, (colour, level) in enumerate(zip(draws.some(tuple(COLOURS), n), levels, strict=True))
    )
    area = Box(left, top, area_width, area_height)
    labels = _labels(draws, left, base, unit, figure) if layout.axis else ()
    by_level = sorted(bars, key=lambda bar: bar.level)
    questions = [
        Question("what color is the tallest bar ?", _colour(by_level[-1].colour)),
        Question("what color is the shortest bar ?", _colour(by_level[0].colour)),
    ]
    if layout.axis:
        asked = draws.one(bars)
        questions.append(Question(f"what is the value of the {asked.colour} bar ?", (str(asked.level),)))
    return Chart(bars, area, unit, labels), tuple(questions[: layout.n_questions])


def gap_px(width: int) -> int:
    """What lies between two bars of a width, and between the bars and the ends of the base line."""
    return max(3, width // 6)


def _colour(name: str) -> tuple[str, ...]:
    return COLOUR_ANSWERS.get(name, (name,))


def _labels(draws: Draws, left: int, base: int, unit: int, figure: int) -> tuple[Thing, ...]:
    """The numbers 0 to 8 left of the bars, each at the height of its level; `figure` is how high a number is."""
    font = draws.one(FONTS)
    labels: list[Thing] = []
    for level in range(LEVELS + 1):
        w, h = text_size(font, str(level))
        width = (w * figure + h // 2) // h
        box = Box(left + figure - width, base - level * unit - figure // 2, width, figure)
        labels.append(Thing("letter", str(level), "black", box, str(level), font))
    return tuple(labels)
