"""Vision tokens of an image, and the token sequences that carry them to the language model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from pytest_vtc.cells import Positions
from pytest_vtc.compressed import Compressed
from pytest_vtc.compression import ClassToken, CompressionError, EncoderAttention

Position = int | tuple[int, int, int]
"""Of one token: its place in the sequence, or time, height and width where the model's positions have three axes."""


@dataclass(frozen=True)
class Tile:
    """A rectangle of vision tokens: a whole image, or one of the crops a model cuts it into.

    newlines: rows that the model itself puts between the tokens, `rows`: one after each row of the grid, `end`: one
        after the last.
    place: row and column of a crop among those of its image, from 0, where the prompt names them; else None.
    """

    rows: int
    columns: int
    newlines: Literal["none", "rows", "end"] = "none"
    place: tuple[int, int] | None = None

    @property
    def n_tokens(self) -> int:
        return self.rows * self.columns

    @property
    def n_newlines(self) -> int:
        return {"none": 0, "rows": self.rows, "end": 1}[self.newlines]

    @property
    def n_rows(self) -> int:
        """Tokens and newlines: the placeholders of the tile in the prompt of the unmodified model."""
        return self.n_tokens + self.n_newlines


@dataclass(frozen=True, eq=False)
class VisionTokens:
    """The vision side of one image of N tokens.

    rows: [T, D] in the model's dtype, all that the language model gets of it after the projector: tile by tile, each
        in raster order, newlines where the model puts them.
    deepstack: [N, E], what the model adds to the tokens after some of its first layers, side by side.
    hidden: [N, C] before the projector. attention: by encoder layer. keys: [H, N, d] by encoder layer. class_tokens: of
        each tile those of all that the encoder was given of it. They are there only if they were asked for.
    """

    rows: Tensor
    tiles: tuple[Tile, ...]
    deepstack: Tensor | None = None
    hidden: Tensor | None = None
    attention: Mapping[int, EncoderAttention] = field(default_factory=dict[int, EncoderAttention])
    keys: Mapping[int, Tensor] = field(default_factory=dict[int, Tensor])
    class_tokens: tuple[ClassToken, ...] = ()

    @cached_property
    def features(self) -> Tensor:
        """[N, D]: the rows without newlines, what compressors choose from."""
        return self.rows if self.token_rows is None else self.rows[self.token_rows.to(self.rows.device)]

    @cached_property
    def token_rows(self) -> Tensor | None:
        """[N] long: the row of each token; None where every row is a token."""
        if not any(tile.n_newlines for tile in self.tiles):
            return None
        return (_line_of_row(self.tiles)[0] >= 0).nonzero()[:, 0]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the token grid; of several tiles the smallest that holds them one below the other."""
        return sum(tile.rows for tile in self.tiles), max(tile.columns for tile in self.tiles)

    def __len__(self) -> int:
        return sum(tile.n_tokens for tile in self.tiles)

    @property
    def n_bytes(self) -> int:
        kept = [self.rows, self.deepstack, self.hidden, *self.keys.values()]
        for of_layer in self.attention.values():
            kept += [of_layer.received, of_layer.cls]
        for of_tile in self.class_tokens:
            kept += [of_tile.hidden, *of_tile.queries.values(), *of_tile.keys.values()]
        return sum(tensor.nbytes for tensor in kept if tensor is not None)


@lru_cache(maxsize=64)
def _line_of_row(tiles: tuple[Tile, ...]) -> tuple[Tensor, Tensor]:
    """For each row its token (newlines: -1), and the line that must be whole for it to stay (tokens: -1): [T] long.

    Lines are numbered through all tiles; a line is what a newline ends.
    """
    token_of, line_of, tokens, lines = list[int](), list[int](), 0, 0
    for tile in tiles:
        for row in range(tile.rows):
            token_of += range(tokens, tokens + tile.columns)
            line_of += [-1] * tile.columns
            tokens += tile.columns
            if tile.newlines == "rows" or (tile.newlines == "end" and row == tile.rows - 1):
                token_of.append(-1)
                line_of.append(lines)
                lines += 1
    return torch.tensor(token_of), torch.tensor(line_of)


@dataclass(frozen=True, eq=False)
class Prefix:
    """A sequence up to the end of its last image: what all questions on one compressed image have in common.

    ids, positions: [P], placeholders already cut down to the kept tokens. features: [M, D] for each image in order,
    deepstack: [M, E] likewise where the model has it. next_position: of the first token after it.
    """

    ids: list[int]
    positions: Sequence[Position]
    features: tuple[Tensor, ...]
    next_position: int
    deepstack: tuple[Tensor, ...] = ()
    mrope: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, eq=False)
class Row:
    """One sequence for the language model: a prefix, and the token ids that follow it.

    n_options: if not 0, the answer is the likeliest of so many letters, A first, and nothing is generated.
    """

    prefix: Prefix
    suffix: list[int]
    n_options: int = 0

    @property
    def ids(self) -> list[int]:
        return self.prefix.ids + self.suffix

    @property
    def positions(self) -> list[Position]:
        return [
            *self.prefix.positions,
            *text_positions(self.prefix.next_position, len(self.suffix), self.prefix.mrope),
        ]

    @property
    def features(self) -> tuple[Tensor, ...]:
        return self.prefix.features

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


def text_positions(start: int, n: int, mrope: bool) -> Sequence[Position]:
    """Positions of n tokens of text: the same on all axes."""
    return [(p, p, p) for p in range(start, start + n)] if mrope else range(start, start + n)


def lay_out(
    head: list[int],
    images: Sequence[VisionTokens],
    kept: Sequence[Compressed | None],
    positions: Positions,
    image_token_id: int,
    mrope: bool = False,
) -> Prefix:
    """The prefix of a prompt whose images are compressed as `kept` says (None: all rows, stock).

    head: token ids of the prompt up to its last image, one image token for each tile.
    mrope: positions have three axes; an image then moves what follows on by the longer side of its grid only.

    Raises CompressionError if `original` positions are asked of rows that have none.
    """
    arranged = [_arrange(*image, positions) for image in zip(images, kept, strict=True)]
    slots = iter([slot for image in arranged for slot in image.slots])
    ids: list[int] = []
    place: list[Position] = []
    offset = 0  # of the next token in the uncompressed prompt
    for token in head:
        if token != image_token_id:
            ids.append(token)
            place += text_positions(offset, 1, mrope)
            offset += 1
            continue
        tile, rows = next(slots)
        ids += [image_token_id] * len(rows)
        if mrope:
            place += [(offset, offset + row // tile.columns, offset + row % tile.columns) for row in rows]
            offset += max(tile.rows, tile.columns)
        else:
            place += [offset + row for row in rows]
            offset += tile.n_rows
    features = tuple(image.features for image in arranged)
    deepstack = tuple(image.deepstack for image in arranged if image.deepstack is not None)
    if positions == "compact":
        place, offset = [*text_positions(0, len(ids), mrope)], len(ids)
    return Prefix(ids, place, features, offset, deepstack, mrope)


@dataclass(frozen=True)
class _Arranged:
    """What is left of an image. slots: each tile with the rows, as the unmodified model numbers them, that it keeps."""

    features: Tensor
    deepstack: Tensor | None
    slots: list[tuple[Tile, Sequence[int]]]


def _arrange(tokens: VisionTokens, kept: Compressed | None, positions: Positions) -> _Arranged:
    if kept is None:
        return _Arranged(tokens.rows, tokens.deepstack, [(tile, range(tile.n_rows)) for tile in tokens.tiles])
    if kept.indices is not None:
        return _selection(tokens, kept.indices)
    return _merged(tokens, kept, positions)


def _selection(tokens: VisionTokens, indices: Tensor) -> _Arranged:
    """The tokens at `indices`, ascending, and newlines whose line is whole, from the first on.

    Newlines have no larger share left than tokens have, so that no more than a ratio of all rows is kept: a selection
    that leaves out the tiles without newlines would have more whole lines than that. A single token has none: it is
    kept also where the ratio leaves less than one.
    """
    if tokens.token_rows is None:
        rows = indices
    else:  # a newline stays with its line
        token_of, line_of = _line_of_row(tokens.tiles)
        chosen = torch.zeros(len(tokens), dtype=torch.bool)
        chosen[indices] = True
        stays = (token_of >= 0) & chosen[token_of.clamp(min=0)]
        whole = _whole_lines(tokens.tiles, chosen)
        most = 0 if len(indices) == 1 < len(tokens) else len(indices) * len(whole) // len(tokens)
        whole &= whole.cumsum(0) <= most
        stays |= (line_of >= 0) & whole[line_of.clamp(min=0)]
        rows = stays.nonzero()[:, 0]
    deepstack = None if tokens.deepstack is None else tokens.deepstack[indices.to(tokens.deepstack.device)]
    return _Arranged(tokens.rows[rows.to(tokens.rows.device)], deepstack, list(_slots(tokens.tiles, rows.tolist())))


def _whole_lines(tiles: Sequence[Tile], chosen: Tensor) -> Tensor:
    """Of each line that a newline ends, whether all its tokens were chosen: [lines] bool. chosen: [N] bool."""
    whole: list[Tensor] = []
    for tile, of_tile in zip(tiles, chosen.split([tile.n_tokens for tile in tiles]), strict=True):
        if tile.newlines == "rows":
            whole.append(of_tile.reshape(tile.rows, tile.columns).all(dim=1))
        elif tile.newlines == "end":
            whole.append(of_tile.all()[None])
    return torch.cat(whole)


def _slots(tiles: Sequence[Tile], rows: Sequence[int]) -> Iterator[tuple[Tile, Sequence[int]]]:
    """Rows of an image, ascending, by tile, counted from the first of the tile."""
    if len(tiles) == 1:
        yield tiles[0], rows
        return
    ends = [*accumulate(tile.n_rows for tile in tiles)]
    at = 0
    for tile, end in zip(tiles, ends, strict=True):
        start = at
        while at < len(rows) and rows[at] < end:
            at += 1
        yield tile, [row - (end - tile.n_rows) for row in rows[start:at]]


def _merged(tokens: VisionTokens, kept: Compressed, positions: Positions) -> _Arranged:
    """New rows, in the order given within each tile; one without a place goes to the last tile. No newline is left."""
    assert kept.rows is not None
    if kept.positions is None:
        if positions == "original":
            raise CompressionError(
                "the compressor returned rows without positions, so they have no original ones; return "
                "Kept(features, positions) or run with compact positions"
            )
        last = sum(tile.n_rows for tile in tokens.tiles) - 1
        order, at = torch.arange(kept.n_kept), [last] * kept.n_kept
    else:
        rows = kept.positions if tokens.token_rows is None else tokens.token_rows[kept.positions]
        ends = torch.tensor([*accumulate(tile.n_rows for tile in tokens.tiles)])
        order = torch.searchsorted(ends, rows, right=True).argsort(stable=True)
        at = rows[order].tolist()
    features = kept.gather(tokens.rows)[order.to(tokens.rows.device)]
    deepstack = _merged_deepstack(tokens, kept)
    if deepstack is not None:
        deepstack = deepstack[order.to(deepstack.device)]
    return _Arranged(features, deepstack, list(_slots(tokens.tiles, at)))


def _merged_deepstack(tokens: VisionTokens, kept: Compressed) -> Tensor | None:
    """Deepstack rows of merged tokens: merged alike where the compressor says how, else those of their positions."""
    if tokens.deepstack is None:
        return None
    if kept.merge is not None:
        rows = kept.merge(tokens.deepstack.float())
        wanted = (kept.n_kept, tokens.deepstack.shape[1])
        if rows.shape != wanted or not torch.isfinite(rows).all():
            raise CompressionError(
                f"Kept.merge made rows of shape {list(rows.shape)} of the deepstack rows; finite ones of "
                f"{list(wanted)} are needed"
            )
        return rows.to(tokens.deepstack)
    if kept.positions is None:
        raise CompressionError(
            "this model adds further rows to its vision tokens in the first layers (deepstack), and the compressor "
            "returned rows that say neither how they were merged nor where they come from; return "
            "Kept(features, positions) or Kept(features, positions, merge)"
        )
    return tokens.deepstack[kept.positions.to(tokens.deepstack.device)]


def tokens_of_patches(tiles: Sequence[Tile], side: int) -> Tensor:
    """For each patch of the encoder its token, where a token is made of side x side patches: [R] long.

    Patches are counted tile by tile, each in raster order.
    """
    found: list[Tensor] = []
    start = 0
    for tile in tiles:
        tokens = torch.arange(start, start + tile.n_tokens).reshape(tile.rows, tile.columns)
        found.append(tokens.repeat_interleave(side, dim=0).repeat_interleave(side, dim=1).flatten())
        start += tile.n_tokens
    return torch.cat(found)


def square(n_tokens: int) -> Tile:
    """A tile of n x n tokens. Raises ValueError if `n_tokens` is no square."""
    side = math.isqrt(n_tokens)
    if side * side != n_tokens:
        raise ValueError(f"{n_tokens} vision tokens are no square grid")
    return Tile(side, side)
