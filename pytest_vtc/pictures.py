"""Pictures of what compressors keep of one image: `python -m pytest_vtc picture`, and those of docs/compressors.md.

A token is the part of the image that stands at its place in the grid. One that is kept is shown as it is, in a frame;
one that is dropped is darkened and grey; tokens that were merged into one row share a colour, and the frame shows where
the row stands.
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
from pytest_vtc.discovery import ALL, resolve
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
_SHEET_COLUMNS = 4
_ANY_PROMPT = "What is in the image?"


class PictureError(ValueError):
    """A picture that cannot be made; the message says why."""


@dataclass(frozen=True)
class Fate:
    """What became of the N tokens of an image.

    row: [N] long, the row of the result that a token went into (of several, the one it has the largest share in); -1:
        none. n_rows: rows of the result. alone: [N] bool, the token is that row, and no other token is in it.
    places: for each row the token where it stands, -1 for none. made_anew: rows that are made of no tokens of these.
    """

    row: Tensor
    n_rows: int
    alone: Tensor
    places: tuple[int, ...]
    made_anew: bool

    @property
    def summary(self) -> str:
        """`16 of 64 tokens kept`; of a merge, what it was made of."""
        n_tokens = len(self.row)
        if self.made_anew:
            return f"{self.n_rows} tokens, made afresh, for {n_tokens}"
        n_alone, n_merged = int(self.alone.sum()), int(((self.row >= 0) & ~self.alone).sum())
        if not n_merged:
            return f"{self.n_rows} of {n_tokens} tokens kept"
        kept = f"{n_alone} kept, " if n_alone else ""
        return f"{n_tokens} tokens to {self.n_rows}: {kept}{n_merged} merged into {self.n_rows - n_alone}"


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

    image: a file, or `DATASET:NUMBER`. specs: as for a run; none stands for all that the model can run.
    Raises PictureError and whatever else a run raises for what cannot be had.
    """
    compressors: list[Compressor] = resolve(list(specs) or [ALL])
    location = locate(model)
    family = family_of(location, trust_remote_code)
    source, asked = _pictured(image)
    if not specs:
        yield from (f"{c.spec}: not drawn: {why}" for c in compressors if (why := _cannot(c, family)) is not None)
        compressors = [compressor for compressor in compressors if _cannot(compressor, family) is None]
    for compressor in compressors:
        check_supported(compressor, family)
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
    return fate(found, len(tokens)), tokens.grid


def fate(found: Compressed, n_tokens: int) -> Fate:
    """What a checked result did with the tokens it was made of."""
    row = torch.full((n_tokens,), -1)
    if found.indices is not None:
        row[found.indices] = torch.arange(found.n_kept)
        return Fate(row, found.n_kept, row >= 0, tuple(found.indices.tolist()), False)
    n_rows = found.n_kept
    places = (-1,) * n_rows if found.positions is None else tuple(found.positions.tolist())
    if found.merge is None:
        return Fate(row, n_rows, row >= 0, places, True)
    # A merge is linear in the rows: what it makes of the unit vectors are the shares of each token in each row.
    shares = (
        found.merge(torch.eye(n_tokens, device=None if found.rows is None else found.rows.device))
        .detach()
        .float()
        .cpu()
        .abs()
    )
    member = shares > 1e-6 * shares.amax(dim=1, keepdim=True).clamp(min=1e-30)
    inside = member.any(dim=0)
    row = torch.where(inside, (shares * member).argmax(dim=0), -1)
    sizes = member.sum(dim=1)
    return Fate(row, n_rows, inside & (sizes[row.clamp(min=0)] == 1), places, False)


def draw(image: Image.Image, fate: Fate, grid: tuple[int, int], title: str) -> Image.Image:
    """The picture: the image cut into the cells of `grid`, below a title and a line of counts."""
    rows, columns = grid
    cell = _cell(grid)
    width, height = columns * cell, rows * cell
    frame = 2 if cell >= 20 else 1
    whole = image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    dark = ImageOps.grayscale(whole).point([round(0.3 * value) + 20 for value in range(256)]).convert("RGB")
    shown = whole.copy() if fate.made_anew else dark
    pen = ImageDraw.Draw(shown)
    merged = [row for row in dict.fromkeys(fate.row.tolist()) if row >= 0]
    merged = [row for row in merged if not bool(fate.alone[fate.row == row].any())]
    tints = {row: _tint(place, len(merged)) for place, row in enumerate(merged)}
    for token, row in enumerate(fate.row.tolist()):
        if row < 0:
            continue
        box = _box(token, columns, cell)
        part = whole.crop(box)
        if row in tints:
            part = ImageChops.multiply(part, Image.new("RGB", part.size, tints[row]))  # ink stays dark
        shown.paste(part, box[:2])
    for row, place in enumerate(fate.places):
        if place >= 0 and (fate.made_anew or row in tints):
            colour = (0, 0, 0) if row in tints else _FRAME
            pen.rectangle(_inner(_box(place, columns, cell)), outline=colour, width=frame)
    for token in torch.nonzero(fate.alone).flatten().tolist():
        left, top, right, bottom = _box(token, columns, cell)
        pen.rectangle((left, top, right - 1, bottom - 1), outline=_FRAME, width=frame)
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
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.5, 0.65)[place % 2], (1.0, 0.85)[place % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def _box(token: int, columns: int, cell: int) -> tuple[int, int, int, int]:
    row, column = divmod(token, columns)
    return column * cell, row * cell, (column + 1) * cell, (row + 1) * cell


def _inner(box: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = box
    edge = (right - left) // 5
    return left + edge, top + edge, right - 1 - edge, bottom - 1 - edge
