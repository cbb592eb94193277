"""Scenes for the `probes` dataset: coloured handwritten digits on a blank canvas, and questions about them.

A scene is fully determined by (split, index): the same pair gives the same pixels and the same questions everywhere.
Train and test scenes use disjoint random streams and disjoint handwritten digits, so a model trained on one split has
seen neither the arrangements nor the handwriting of the other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX

Split = Literal["train", "test"]

DIGIT_SIZES_PX = (29, 34, 39, 43, 48)
"""Sides a digit may have: 0.6 to 1 soft token."""

_STREAMS: dict[Split, int] = {"train": 101, "test": 202}
_N_TRAIN_DIGITS = 1400


@dataclass(frozen=True)
class PlacedDigit:
    """One digit in a scene. `cell` counts soft tokens in raster order; `left` and `top` are pixels."""

    value: int
    colour: str
    cell: int
    left: int
    top: int
    size_px: int
    glyph: int


@dataclass(frozen=True)
class Question:
    task: Literal["digit", "count"]
    text: str
    answer: str


@dataclass(frozen=True)
class Scene:
    rows: int
    columns: int
    background: int
    digits: tuple[PlacedDigit, ...]

    def questions(self) -> list[Question]:
        """Every question the scene answers: one per digit, in placing order, then the count."""
        ask = [Question("digit", f"what digit is {d.colour} ?", str(d.value)) for d in self.digits]
        return [*ask, Question("count", "how many digits are there ?", str(len(self.digits)))]

    def render(self) -> NDArray[np.uint8]:
        """Draw the scene: RGB pixels [rows * 48, columns * 48, 3]."""
        shape = (self.rows * SOFT_TOKEN_PX, self.columns * SOFT_TOKEN_PX, 3)
        canvas = np.full(shape, self.background, np.int32)
        for d in self.digits:
            ink = _glyph(d.glyph, d.size_px)
            window = canvas[d.top : d.top + d.size_px, d.left : d.left + d.size_px]
            # Integer blending, rounded half up: floating point would tie the bytes to a platform's rounding.
            window[...] = (window * (255 - ink) + np.array(COLOURS[d.colour], np.int32) * ink + 127) // 255
        return canvas.astype(np.uint8)


def make_scene(split: Split, index: int, rows: int = 8, columns: int = 8, max_digits: int = 8) -> Scene:
    """The scene number `index` of a split, `rows` x `columns` soft tokens in size, with 1 to `max_digits` digits.

    Colours do not repeat within a scene, so that "what digit is red ?" has one answer.
    """
    # RandomState, not Generator: numpy guarantees that its streams never change.
    rng = np.random.RandomState([_STREAMS[split], index])
    count = rng.randint(1, max_digits + 1)
    cells = rng.choice(rows * columns, count, replace=False)
    colours = rng.choice(len(COLOURS), count, replace=False)
    glyphs = _digit_ids(split)[rng.randint(_digit_ids(split).size, size=count)]
    sizes = rng.choice(DIGIT_SIZES_PX, count)
    background = int(rng.randint(225, 256))
    digits = []
    for cell, colour, glyph, size in zip(cells, colours, glyphs, sizes, strict=True):
        row, column = divmod(int(cell), columns)
        slack = SOFT_TOKEN_PX - int(size) + 1
        digits.append(
            PlacedDigit(
                value=int(_digits()[1][glyph]),
                colour=list(COLOURS)[colour],
                cell=int(cell),
                left=column * SOFT_TOKEN_PX + int(rng.randint(slack)),
                top=row * SOFT_TOKEN_PX + int(rng.randint(slack)),
                size_px=int(size),
                glyph=int(glyph),
            )
        )
    return Scene(rows, columns, background, tuple(digits))


@functools.cache
def _digits() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The 1,797 handwritten digits of scikit-learn: ink [1797, 8, 8] in 0..255, labels [1797]."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # slow to import: only when a scene is drawn

    data: Any = load_digits()
    return np.round(data.images * (255 / 16)).astype(np.uint8), data.target


@functools.cache
def _digit_ids(split: Split) -> NDArray[np.int64]:
    shuffled = np.random.RandomState(0).permutation(len(_digits()[1]))
    return shuffled[:_N_TRAIN_DIGITS] if split == "train" else shuffled[_N_TRAIN_DIGITS:]


@functools.lru_cache(maxsize=16_384)
def _glyph(glyph: int, size_px: int) -> NDArray[np.int32]:
    """Ink of one handwritten digit enlarged to size_px x size_px x 1, in 0..255."""
    image = Image.fromarray(_digits()[0][glyph]).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(image, np.int32)[..., None]
