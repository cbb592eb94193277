"""Farthest point sampling: greedy max-min cosine distance, begun at the token of largest norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from pytest_vtc.compression import Ranking, cosine_distances, farthest_first, norms


@dataclass(frozen=True)
class Fps(Ranking):
    """Farthest point sampling (Eldar et al., IEEE TIP 1997; Gonzalez, TCS 1985) of the tokens' directions.

    As in the seed project (github.com/radosc/vtbench), the first token is the one of largest L2 norm, and distance is
    1 - cosine similarity in float32. From the second token on it is DivPrune's loop: the two differ by their first
    token, which can change every later one.
    """

    name: ClassVar[str] = "fps"
    description: ClassVar[str] = "farthest point sampling by cosine distance, from the token of largest norm"
    reference: ClassVar[str] = "farthest point sampling (Eldar et al. 1997), as in vtbench"
    year: ClassVar[int] = 1997

    def rank(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        first = norms(features).argmax(dim=1, keepdim=True)
        return farthest_first(cosine_distances(features), first, n_target)
