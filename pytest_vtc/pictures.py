"""Pictures of what compressors keep of one image: `python -m pytest_vtc picture`, and those of docs/compressors.md.

A token is the part of the image that stands at its place in the grid. One that is kept is shown as it is, in a frame;
one that is dropped is darkened and grey; tokens that were merged into one row share a colour, and the small frame shows
where the row stands; those that went into several rows alike are light grey.
"""

from __future__ import annotations

import colorsys
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from pytest_vtc.cells import CaseFailed
from pytest_vtc.compressed import Compressed
from pytest_vtc.compression import CompressionError, Compressor, budget
from pytest_vtc.datasets.base import ImageSource
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.discovery import ALL, DEFAULT, resolve
from pytest_vtc.image_compression import EncodedImage, ImageCompression, check_supported, wants
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.catalogue import TINY, locate
from pytest_vtc.models.families import family_of
from pytest_vtc.models.loading import load_backend

SIDE = 320
"""Pixels of the longer side of the image in a picture, about."""
CONTACT_SHEET = "contact-sheet.png"

_TITLE, _SMALL = 17, 13
_HEAD = 46  # pixels of the two lines above the image
_COLOURS = 96  # in a file: more would make it larger, fewer would show
_FRAME = (255, 140, 0)
_SHARED = (200, 200, 200)
_SHEET_COLUMNS = 4
_ANY_PROMPT = "What is in the image?"


class PictureError(ValueError):
    """A picture that cannot be made; the message says why."""


@dataclass(frozen=True)
class Fate:
    """What became of the N tokens of an image.

    n_rows: rows of the result. row: [N] long, the row that a token went into, -1 for none.
    leads: [N] bool, the token is more than half of its row. shared: [N] bool, it is in several rows alike.
    places: the token at whose place each row without such a one stands, -1 for none.
    afresh: the rows are not made of these tokens.
    """

    n_rows: int
    row: Tensor
    leads: Tensor
    shared: Tensor
    places: tuple[int, ...]
    afresh: bool = False

    @property
    def summary(self) -> str:
        """`16 of 64 tokens kept`; of a merge, what it was made of."""
        n_tokens, n_led = len(self.row), int(self.leads.sum())
        n_others = int((self.row >= 0).sum()) - n_led
        if self.afresh:
            return f"{self.n_rows} tokens of a smaller image, for {n_tokens}"
        if not n_others:
            return f"{self.n_rows} of {n_tokens} tokens kept"
        if bool(self.shared.any()) and n_led:
            return f"{n_tokens} tokens to {self.n_rows}: {n_led} kept, {n_others} added to them"
        kept = f"{n_led} kept, " if n_led else ""
        return f"{n_tokens} tokens to {self.n_rows}: {kept}{n_others} merged into {self.n_rows - n_led}"


def draw_all(
    image: str,
    specs: Sequence[str],
    ratio: float,
    *,
    model: str = TINY,
    prompt: str | None = None,
    seed: int = 42,
    trust_remote_code: bool = False,
    output: Path,
) -> Iterator[str]:
    """Write a picture for each compressor and one sheet of all, and yield a line on each, as it is made.

    image: a file, or `DATASET:NUMBER`. specs: as for a run; of words such as `all` it draws what the model can run.
    Raises PictureError and whatever else a run raises for what cannot be had.
    """
    compressors: list[Compressor] = resolve(list(specs))
    named = {compressor.spec for compressor in resolve([spec for spec in specs if spec not in (ALL, DEFAULT)])}
    location = locate(model)
    family = family_of(location, trust_remote_code)
    source, asked = _pictured(image)
    for compressor in [*compressors]:
        if (why := _cannot(compressor, family)) is not None:
            if compressor.spec in named:
                raise PictureError(why)
            yield f"not drawn: {why}"
            compressors.remove(compressor)
    backend = load_backend(location, "auto", None, trust_remote_code=trust_remote_code)
    opened, drawn = source.open(), list[Image.Image]()
    for compressor in compressors:
        found, grid = compress_image(backend, compressor, source, prompt or asked, ratio, seed)
        if not drawn:
            drawn.append(original(opened, grid))
        drawn.append(draw(opened, found, grid, compressor.spec))
        write(drawn[-1], path := output / file_name(compressor))
        yield f"{path}: {found.summary}"
    write(contact_sheet(drawn), path := output / CONTACT_SHEET)
    yield f"{path}: all of them"


def _cannot(compressor: Compressor, family: type[Backend]) -> str | None:
    """Why a compressor cannot be run on a family."""
    try:
        check_supported(compressor, family)
    except CompressionError as error:
        return str(error)
    return None


def _pictured(image: str) -> tuple[ImageSource, str]:
    """The image that was asked for, and the question that goes with it."""
    name, colon, number = image.rpartition(":")
    if not colon or Path(image).exists() or not number.isdecimal():
        return ImageFile(Path(image)), _ANY_PROMPT
    samples = open_samples(name, data_home(), None, 0).samples
    if int(number) >= len(samples):
        raise PictureError(f"{image}: {name} has {len(samples):,} samples, counted from 0")
    sample = samples[int(number)]
    return sample.images[0], sample.prompt


def compress_image(
    backend: Backend, compressor: Compressor, source: ImageSource, prompt: str, ratio: float, seed: int
) -> tuple[Fate, tuple[int, int]]:
    """Run one compressor on one image as a run would: what became of its tokens, and their grid (rows, columns).

    Raises CaseFailed, or PictureError if the model sees the image as several tiles, or keeps all tokens at this ratio.
    """
    image = source.open()
    tokens = backend.encode(image, wants([compressor], backend))
    if len(tokens.tiles) != 1:
        raise PictureError(f"the model cuts this image into {len(tokens.tiles)} tiles; a picture shows one grid only")
    n_target = budget(len(tokens), ratio)
    if n_target == len(tokens):
        raise PictureError(f"ratio {ratio:g} keeps all {len(tokens)} tokens: there is nothing to show")
    compression = ImageCompression(backend, seed)
    compression.want(0, compressor, EncodedImage(source, image, tokens), prompt, n_target)
    compression.run()
    found = compression.found(0, n_target)
    if isinstance(found, CaseFailed):
        raise found
    return fate(found, len(tokens), afresh="encode" in compressor.needs), tokens.grid


def fate(found: Compressed, n_tokens: int, afresh: bool = False) -> Fate:
    """What a checked result did with the tokens it was made of. afresh: they are of another encoding of the image."""
    row, nothing = torch.full((n_tokens,), -1), torch.zeros(n_tokens, dtype=torch.bool)
    n_rows, places = found.n_kept, found.positions
    if afresh:
        return Fate(n_rows, row, nothing, nothing, () if places is None else tuple(places.tolist()), True)
    if found.merge is None or found.rows is None:
        # A selection, or rows of which only the places are known.
        if places is not None:
            row[places] = torch.arange(n_rows)
        return Fate(n_rows, row, row >= 0, nothing, ())
    # A merge is linear in the rows: what it makes of the unit vectors are the shares [M, N] of the tokens in its rows.
    shares = found.merge(torch.eye(n_tokens, device=found.rows.device)).detach().float().cpu().abs()
    largest, row = shares.max(dim=0)
    inside = largest > 1e-6 * shares.max()
    row = torch.where(inside, row, -1)
    leads = inside & (largest > 0.51 * shares.sum(dim=1)[row])
    shared = inside & ~leads & ((shares > 0.9 * largest).sum(dim=0) > 1)
    led = {*row[leads].tolist()}
    marked = () if places is None else tuple(-1 if i in led else place for i, place in enumerate(places.tolist()))
    return Fate(n_rows, row, leads, shared, marked)


def draw(image: Image.Image, fate: Fate, grid: tuple[int, int], title: str) -> Image.Image:
    """The picture: the image cut into the cells of `grid`, below a title and a line of counts."""
    rows, columns = grid
    cell = _cell(grid)
    frame = 2 if cell >= 20 else 1
    whole = image.convert("RGB").resize((columns * cell, rows * cell), Image.Resampling.LANCZOS)
    dark = ImageOps.grayscale(whole).point([round(0.3 * value) + 20 for value in range(256)]).convert("RGB")
    shown = whole.copy() if fate.afresh else dark
    pen = ImageDraw.Draw(shown)
    leaderless = [row for row in dict.fromkeys(fate.row[~fate.leads].tolist()) if row >= 0]
    tints = {row: _tint(place, len(leaderless)) for place, row in enumerate(leaderless)}
    for token, (row, leads, shared) in enumerate(
        zip(fate.row.tolist(), fate.leads.tolist(), fate.shared.tolist(), strict=True)
    ):
        if row < 0:
            continue
        box = _box(token, columns, cell)
        part = whole.crop(box)
        if not leads:  # ink stays dark
            part = ImageChops.multiply(part, Image.new("RGB", part.size, _SHARED if shared else tints[row]))
        shown.paste(part, box[:2])
        if leads:
            left, top, right, bottom = box
            pen.rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=frame)
    for place in fate.places:
        if place >= 0:
            colour = _FRAME if fate.afresh else (0, 0, 0)
            pen.rectangle(_inner(_box(place, columns, cell)), outline=colour, width=frame)
    return _headed(shown, title, fate.summary)


def _headed(shown: Image.Image, title: str, below: str) -> Image.Image:
    picture = Image.new("RGB", (max(shown.width, 240), shown.height + _HEAD), "white")
    pen = ImageDraw.Draw(picture)
    pen.text((4, 3), title, fill="black", font=ImageFont.load_default(_TITLE))
    pen.text((4, 25), below, fill=(80, 80, 80), font=ImageFont.load_default(_SMALL))
    picture.paste(shown, (0, _HEAD))
    return picture


def contact_sheet(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size side by side, four in a row, at two thirds of their size."""
    small = [
        picture.resize((picture.width * 2 // 3, picture.height * 2 // 3), Image.Resampling.LANCZOS)
        for picture in pictures
    ]
    gap, columns = 10, min(_SHEET_COLUMNS, len(small))
    width, height = small[0].width + gap, small[0].height + gap
    sheet = Image.new("RGB", (columns * width + gap, math.ceil(len(small) / columns) * height + gap), "white")
    for i, picture in enumerate(small):
        sheet.paste(picture, (gap + i % columns * width, gap + i // columns * height))
    return sheet


def original(image: Image.Image, grid: tuple[int, int]) -> Image.Image:
    """The image itself, laid out as the pictures are."""
    rows, columns = grid
    cell = _cell(grid)
    whole = image.convert("RGB").resize((columns * cell, rows * cell), Image.Resampling.LANCZOS)
    return _headed(whole, "the image", f"{rows * columns} tokens")


def _cell(grid: tuple[int, int]) -> int:
    return max(4, SIDE // max(grid))


def write(picture: Image.Image, path: Path) -> None:
    """As a PNG of few colours, which keeps it small."""
    path.parent.mkdir(parents=True, exist_ok=True)
    few = picture.quantize(_COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def file_name(compressor: Compressor) -> str:
    """`divprune.png`; of other than default parameters, a name without brackets."""
    return re.sub(r"[^\w.=]+", "-", compressor.spec).strip("-") + ".png"


def _tint(place: int, of: int) -> tuple[int, int, int]:
    # Neighbouring groups get colours that lie apart: a third of the circle and a bit further each time.
    hue = place * 0.381966 % 1 if of > 12 else place / max(1, of)
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.4, 0.5)[place % 2], (1.0, 0.88)[place % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def _box(token: int, columns: int, cell: int) -> tuple[int, int, int, int]:
    row, column = divmod(token, columns)
    return column * cell, row * cell, (column + 1) * cell, (row + 1) * cell


def _inner(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    edge = (right - left) // 5
    return left + edge, top + edge, right - 1 - edge, bottom - 1 - edge
