"""Farthest point sampling: greedy max-min cosine distance, begun at the token of largest norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Compressor, cosine_distances, farthest_first


@dataclass(frozen=True)
class Fps(Compressor):
    """Farthest point sampling (Eldar et al., IEEE TIP 1997; Gonzalez, TCS 1985) of the tokens' directions.

    As in the seed project (github.com/radosc/vtbench), the first token is the one of largest L2 norm, and distance is
    1 - cosine similarity in float32. From the second token on it is DivPrune's loop: the two differ by their first
    token, which can change every later one.
    """

    name: ClassVar[str] = "fps"
    description: ClassVar[str] = "farthest point sampling by cosine distance, from the token of largest norm"
    reference: ClassVar[str] = "farthest point sampling (Eldar et al. 1997), as in vtbench"

    def compress(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        first = torch.linalg.vector_norm(features, dim=1, dtype=torch.float64).argmax().reshape(1)
        return farthest_first(cosine_distances(features), first, n_target)
