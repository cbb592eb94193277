"""Vision tokens of an image, and the token sequences that carry them to the language model."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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
