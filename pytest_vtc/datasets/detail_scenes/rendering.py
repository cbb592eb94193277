"""Draws a scene: RGB pixels from bundled masks, blended in whole numbers, so that its bytes are the same everywhere."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.datasets.detail_scenes.backgrounds import textured
from pytest_vtc.datasets.detail_scenes.charts import BASE_PX, gap_px
from pytest_vtc.datasets.detail_scenes.glyphs import text_ink
from pytest_vtc.datasets.detail_scenes.placing import Box
from pytest_vtc.datasets.detail_scenes.resampling import resample
from pytest_vtc.datasets.detail_scenes.scenes import Chart, Scene, Thing
from pytest_vtc.datasets.detail_scenes.shapes import shape_ink
from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX

_LINE = (60, 60, 60)
_GRID = (190, 190, 190)


def render(scene: Scene) -> NDArray[np.uint8]:
    """The pixels of a scene [rows * 48, columns * 48, 3]."""
    height, width = scene.rows * SOFT_TOKEN_PX, scene.columns * SOFT_TOKEN_PX
    if scene.textured:
        canvas = textured(scene.seed, height, width, scene.background)
    else:
        canvas = np.full((height, width, 3), scene.background, np.int32)
    for thing in (*scene.distractors, *scene.things):
        _draw(canvas, thing)
    if scene.chart:
        _draw_chart(canvas, scene.chart)
    return canvas.astype(np.uint8)


def _draw(canvas: NDArray[np.int32], thing: Thing) -> None:
    box = thing.box
    ink = _ink(thing.font, thing.text or thing.value, box.width, box.height).astype(np.int32)[..., None]
    window = canvas[box.top : box.bottom, box.left : box.right]
    # Integer blending, rounded half up: floating point would tie the bytes to a platform's rounding.
    window[...] = (window * (255 - ink) + np.array(COLOURS[thing.colour], np.int32) * ink + 127) // 255


@functools.lru_cache(maxsize=4096)
def _ink(font: str, text: str, width: int, height: int) -> NDArray[np.uint8]:
    return resample(text_ink(font, text) if font else shape_ink(text), width, height)


def _draw_chart(canvas: NDArray[np.int32], chart: Chart) -> None:
    first, last = chart.bars[0].box, chart.bars[-1].box
    gap = gap_px(first.width)
    left, right, base = first.left - gap, last.right + gap, first.bottom
    if chart.labels:
        for label in chart.labels:
            level = int(label.value)
            _fill(canvas, Box(left, base - level * chart.unit, right - left, 1), _GRID)
            _draw(canvas, label)
        _fill(canvas, Box(left, chart.area.top, BASE_PX, base - chart.area.top), _LINE)
    for bar in chart.bars:
        _fill(canvas, bar.box, COLOURS[bar.colour])
    _fill(canvas, Box(left, base, right - left, BASE_PX), _LINE)


def _fill(canvas: NDArray[np.int32], box: Box, colour: tuple[int, int, int]) -> None:
    canvas[box.top : box.bottom, box.left : box.right] = colour
