"""The bundled letters and figures: how large they are (cheap to know) and their ink (read when one is drawn)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FONTS = ("sans", "serif", "mono")
_LETTER_GAP = 32
"""Between the ink of two letters of a word, where a capital is 256 high."""

_FOLDER = Path(__file__).parent


def text_size(font: str, text: str) -> tuple[int, int]:
    """Width and height of the ink of `text` in the atlas' pixels."""
    glyphs = [_places()[font][character] for character in text]
    above = max(glyph[4] for glyph in glyphs)
    below = max(glyph[3] - glyph[4] for glyph in glyphs)
    return sum(glyph[2] for glyph in glyphs) + _LETTER_GAP * (len(glyphs) - 1), above + below


def text_ink(font: str, text: str) -> NDArray[np.uint8]:
    """The ink of `text` at the atlas' size [height, width], 0 or 255."""
    import numpy as np

    width, height = text_size(font, text)
    glyphs = [_places()[font][character] for character in text]
    base = max(glyph[4] for glyph in glyphs)
    ink = np.zeros((height, width), np.uint8)
    pen = 0
    for left, top, w, h, above in glyphs:
        ink[base - above : base - above + h, pen : pen + w] = _atlas()[top : top + h, left : left + w]
        pen += w + _LETTER_GAP
    return ink


@functools.cache
def _places() -> dict[str, dict[str, tuple[int, int, int, int, int]]]:
    """By font and character: left, top, width and height in the atlas, and how much of it lies above the baseline."""
    return json.loads((_FOLDER / "glyphs.json").read_text(encoding="utf-8"))


@functools.cache
def _atlas() -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    with Image.open(_FOLDER / "glyphs.png") as image:
        return np.asarray(image.convert("L"))
