"""DivPrune: keep the most diverse tokens, by greedy max-min cosine distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from pytest_vtc.compression import Ranking, cosine_distances, farthest_first, nearest_neighbour_distances

Start = Literal["nearest", "farthest_pair"]


@dataclass(frozen=True)
class DivPrune(Ranking):
    """DivPrune (Alvar et al., CVPR 2025, arXiv 2503.02175): a greedy answer to the max-min diversity problem.

    Distance is 1 - cosine similarity, in float32. The first token is chosen by `start`; each further one is the token
    whose distance to the nearest chosen token is largest (the lowest index on ties).

    start: how the selection begins.
        "nearest": with the token whose nearest neighbour is farthest away (the paper and its authors' code).
        "farthest_pair": with the two tokens that are farthest apart (the seed project vtbench).

    The three sources differ:

    - First token. Paper (Algorithm 1) and authors' code (github.com/vbdi/divprune): largest nearest-neighbour distance.
      vtbench: both tokens of the farthest pair. The kept sets then differ widely, though both are about as spread out.
    - Masking. The paper and vtbench take a chosen token out of the race. The authors' code does not: it relies on a
      chosen token's distance to itself being 0. Here chosen tokens are masked.
    - Duplicates. So once every token left repeats a chosen one, the authors' code can return an index again and keep
      fewer tokens than it says. Here, as in the paper and vtbench, the copies are kept, each once.
    - Zero rows. The authors' code divides by the norm: a zero row becomes NaN, is chosen first, and every later choice
      is index 0. Here, as in vtbench, a zero row has cosine 0, thus distance 1, to every token.
    - Count. The authors round ratio * N to the nearest integer, halves to even; here the budget is the engine's.
    - Order. The authors keep raster order, as the engine does here; vtbench feeds tokens in the order of choice.

    Where there are neither duplicates nor zero rows, "nearest" chooses what the authors' code chooses.
    """

    name: ClassVar[str] = "divprune"
    description: ClassVar[str] = "greedy max-min cosine distance: the most diverse tokens"
    reference: ClassVar[str] = "DivPrune, CVPR 2025, arXiv 2503.02175"
    year: ClassVar[int] = 2025

    start: Start = "nearest"

    def __post_init__(self) -> None:
        if self.start not in get_args(Start):
            raise ValueError(f"start is {self.start!r}; choose one of {', '.join(map(repr, get_args(Start)))}")

    def rank(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        distances = cosine_distances(features)
        if self.start == "nearest":
            seeds = nearest_neighbour_distances(distances).argmax(dim=1, keepdim=True)
        else:
            seeds = _farthest_pair(distances)
        return farthest_first(distances, seeds, n_target)


def _farthest_pair(distances: Tensor) -> Tensor:
    """[B, 2] long: each image's two rows that are farthest apart; the first pair in row order wins a tie."""
    n_tokens = distances.shape[-1]
    apart = distances.clone()
    apart.diagonal(dim1=1, dim2=2).fill_(-1.0)
    place = apart.flatten(1).argmax(dim=1)
    return torch.stack([place // n_tokens, place % n_tokens], dim=1)
