"""Random choice of tokens: the baseline that every method has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Ranking


@dataclass(frozen=True)
class Random(Ranking):
    """Tokens drawn without replacement, each image anew: the first n_target of a random permutation.

    The permutation depends on the run's seed, the image, `seed`, and nothing else. So a run repeats exactly; all
    questions on one image see the same tokens; a smaller ratio keeps a part of what a larger one keeps; and
    `random(seed=1)` beside `random` shows how far chance alone moves the result.

    seed: chooses another draw for every image. 0 uses the image's own generator as it is seeded.
    """

    name: ClassVar[str] = "random"
    description: ClassVar[str] = "random tokens, a fresh draw for every image"
    reference: ClassVar[str] = "baseline"

    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int):
            raise TypeError(f"seed is {self.seed!r}; it must be a whole number")

    def rank(self, features: Tensor, n_target: int, *, generator: Sequence[torch.Generator], **_ctx: Any) -> Tensor:
        return torch.stack([self._draw(features.shape[1], own)[:n_target] for own in generator])

    def _draw(self, n_tokens: int, generator: torch.Generator) -> Tensor:
        # A generator of its own, from the seed of the image's: what others have drawn from that one plays no part.
        # The odd factor spreads neighbouring seeds over all bits, and keeps different ones different.
        mixed = (generator.initial_seed() ^ (self.seed * 0x9E3779B97F4A7C15)) % 2**63
        return torch.randperm(n_tokens, generator=torch.Generator().manual_seed(mixed))
