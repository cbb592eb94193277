"""Vision tokens of an image, and the token sequences that carry them to the language model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from pytest_vtc.cells import Positions
from pytest_vtc.compression import Compressed, CompressionError

Block = Callable[[int], tuple[list[int], list[int], list[int]]]
"""Token ids that stand for one image of so many vision tokens: before, the placeholders, after."""


@dataclass(frozen=True)
class VisionTokens:
    """The vision side of one image.

    features: [N, D] in the model's dtype, raster order, as the language model gets them (after the projector).
    hidden: [N, C] before the projector. grid: rows, columns; rows * columns = N.
    """

    features: Tensor
    hidden: Tensor
    grid: tuple[int, int]

    def __len__(self) -> int:
        return self.features.shape[0]


@dataclass(frozen=True, eq=False)
class Prefix:
    """A sequence up to the end of its last image: what all questions on one compressed image have in common.

    ids, positions: [P], placeholders already cut down to the kept tokens. features: [M, D] for each image in order.
    next_position: of the first token after it.
    """

    ids: list[int]
    positions: list[int]
    features: tuple[Tensor, ...]
    next_position: int

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
    def positions(self) -> list[int]:
        start = self.prefix.next_position
        return [*self.prefix.positions, *range(start, start + len(self.suffix))]

    @property
    def features(self) -> tuple[Tensor, ...]:
        return self.prefix.features

    def __len__(self) -> int:
        return len(self.prefix) + len(self.suffix)


def lay_out(
    head: list[int],
    images: Sequence[VisionTokens],
    kept: Sequence[Compressed | None],
    positions: Positions,
    image_token_id: int,
    block: Block,
) -> Prefix:
    """The prefix of a prompt whose images are compressed as `kept` says (None: all tokens, stock).

    head: token ids of the prompt up to its last image, one placeholder per image.
    Raises CompressionError if `original` positions are asked of rows that have none.
    """
    ids: list[int] = []
    place: list[int] = []
    features: list[Tensor] = []
    offset = 0  # of the next token in the uncompressed prompt
    remaining = iter(zip(images, kept, strict=True))
    for token in head:
        if token != image_token_id:
            ids.append(token)
            place.append(offset)
            offset += 1
            continue
        tokens, compressed = next(remaining)
        rows = tokens.features if compressed is None else compressed.gather(tokens.features)
        before, placeholders, after = block(len(rows))
        start = offset + len(before)
        ids += before + placeholders + after
        place += [*range(offset, start), *_source_positions(tokens, compressed, positions, start)]
        offset = start + len(tokens) + len(after)
        place += range(offset - len(after), offset)
        features.append(rows)
    if len(ids) != len(place):
        raise CompressionError(f"{len(ids)} tokens but {len(place)} positions")
    if positions == "original":
        return Prefix(ids, place, tuple(features), offset)
    return Prefix(ids, list(range(len(ids))), tuple(features), len(ids))


def _source_positions(
    tokens: VisionTokens, compressed: Compressed | None, positions: Positions, start: int
) -> list[int]:
    if compressed is None:
        return list(range(start, start + len(tokens)))
    if compressed.positions is not None:
        return [start + p for p in compressed.positions.tolist()]
    if positions == "original":
        raise CompressionError(
            "the compressor returned rows without positions, so they have no original ones; return "
            "Kept(features, positions) or run with compact positions"
        )
    return [start] * compressed.n_kept  # replaced by renumbering
