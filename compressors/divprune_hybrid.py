"""DivPrune weighed against importance: diverse tokens, with a preference for those of large norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Ranking, cosine_distances, farthest_first, norms


@dataclass(frozen=True)
class DivPruneHybrid(Ranking):
    """The seed project's variant of DivPrune (github.com/radosc/vtbench); not in the DivPrune paper.

    A token's importance is its L2 norm, scaled so that the smallest norm of the image is 0 and the largest 1 (all 1 if
    all are equal). The most important token is chosen first; then, one by one, the token with the largest
    alpha * importance + (1 - alpha) * d / max d, d being the cosine distance to the nearest chosen token.

    alpha: 0 is pure diversity (then the same as `fps`), 1 keeps the largest norms.
    """

    name: ClassVar[str] = "divprune_hybrid"
    description: ClassVar[str] = "diversity as in DivPrune, mixed with the tokens' norms by alpha"
    reference: ClassVar[str] = "vtbench, github.com/radosc/vtbench, compressors/divprune_hybrid.py"
    year: ClassVar[int] = 2026

    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; it must lie in 0..1 (0: diversity alone, 1: norm alone)")

    def rank(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        importance = _importance(features)
        first = importance.argmax(dim=1, keepdim=True)
        return farthest_first(cosine_distances(features), first, n_target, importance, self.alpha)


def _importance(features: Tensor) -> Tensor:
    """Norms of the rows of `features` [B, N, D], scaled to 0..1 within each image: [B, N] float32."""
    lengths = norms(features)
    low, high = lengths.aminmax(dim=1, keepdim=True)
    return torch.where(high > low, (lengths - low) / (high - low), 1.0).float()
