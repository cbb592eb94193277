"""Draws the bundled glyphs from font files: `python -m pytest_vtc.datasets.detail_scenes.make_atlas FOLDER`.

FOLDER holds the DejaVu fonts, as Debian's fonts-dejavu-core 2.37 installs them in /usr/share/fonts/truetype/dejavu.
Writes `glyphs.png` (one bit a pixel, one row a font) and `glyphs.json` (where each glyph lies) beside this file. They
are drawn once and shipped, because what FreeType draws differs between its versions: no scene ever asks it for a pixel.
"""

from __future__ import annotations

import argparse
import json
import string
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONTS = {"sans": "DejaVuSans-Bold.ttf", "serif": "DejaVuSerif-Bold.ttf", "mono": "DejaVuSansMono-Bold.ttf"}
CHARACTERS = string.ascii_uppercase + string.ascii_lowercase + string.digits
CAPITAL_PX = 256
"""Height of a capital H in the atlas: above the 188 px that the largest letter of a scene has."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder with the DejaVu fonts")
    folder: Path = parser.parse_args().folder
    rows: list[Image.Image] = []
    places: dict[str, dict[str, list[int]]] = {}
    top = 0
    for font, file in FONTS.items():
        glyphs = _glyphs(folder / file)
        row = Image.new("1", (sum(ink.width for ink, _ in glyphs.values()), max(i.height for i, _ in glyphs.values())))
        places[font], left = {}, 0
        for character, (ink, above) in glyphs.items():
            row.paste(ink, (left, 0))
            places[font][character] = [left, top, ink.width, ink.height, above]
            left += ink.width
        rows.append(row)
        top += row.height
    atlas = Image.new("1", (max(row.width for row in rows), top))
    top = 0
    for row in rows:
        atlas.paste(row, (0, top))
        top += row.height
    here = Path(__file__).parent
    atlas.save(here / "glyphs.png", optimize=True)
    lines = ",\n".join(f'  "{font}": {json.dumps(glyphs)}' for font, glyphs in places.items())
    (here / "glyphs.json").write_text(f"{{\n{lines}\n}}\n")


def _glyphs(file: Path) -> dict[str, tuple[Image.Image, int]]:
    """Of each character its ink, cropped to what is set, and how far its top lies above the baseline."""
    _, top, _, bottom = ImageFont.truetype(file, 1000).getbbox("H", anchor="ls")
    font = ImageFont.truetype(file, round(1000 * CAPITAL_PX / (bottom - top)))
    found: dict[str, tuple[Image.Image, int]] = {}
    for character in CHARACTERS:
        canvas = Image.new("1", (4 * CAPITAL_PX, 4 * CAPITAL_PX))
        ImageDraw.Draw(canvas).text((CAPITAL_PX, 2 * CAPITAL_PX), character, fill=1, font=font, anchor="ls")
        box = canvas.getbbox()
        assert box is not None
        found[character] = (canvas.crop(box), 2 * CAPITAL_PX - box[1])
    return found


if __name__ == "__main__":
    main()
