"""G-Prune: keep the tokens to which most information flows on a graph of similar tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Ranking, Tiles, best, cosine_similarities, each_image


@dataclass(frozen=True)
class GPrune(Ranking):
    """G-Prune (Jiang et al., AAAI 2025, arXiv 2501.02268): importance by propagation over the graph of alike tokens.

    Tokens whose cosine similarity is at least `similarity` are joined by an edge, every token with itself. A row of the
    transition matrix P is the softmax of similarity / temperature over a token's edges. The tokens' norms, as a row
    vector, are sent `iterations` times through P; what has arrived at a token, divided by its number of edges, is its
    score. The highest scores are kept; the lowest index wins a tie. Projected tokens, no text.

    similarity: -1 to 1; temperature: more than 0; iterations: 0 or more. Defaults of the authors.

    The sources differ:

    - Steps. The authors' code (github.com/jytmelon/G-Prune) raises P to its power; here the vector is multiplied
      `iterations` times, N^2 instead of N^3, the same but for rounding. Both in float32: in float16 the weakest edges
      round to 0, which changes the number of edges.
    - Edges of a similarity that is 0 up to 1e-6 do not exist in the authors' code; they matter if `similarity` <= 0.
      As here.
    - Tiles. The authors (LLaVA-NeXT) prune the small version of the image and all tiles together, one apart from the
      other; UniPruneBench calls InternVL's first tile the small version. Here every tile has its share by itself.
    - Zero rows are NaN in the authors' code; here such a token has only the edge to itself, and a score of 0.
    - Newline tokens are kept by the authors; here they are the model's business, and not among the tokens.
    """

    name: ClassVar[str] = "g_prune"
    description: ClassVar[str] = "importance flowing to a token on the graph of similar tokens"
    reference: ClassVar[str] = "G-Prune, AAAI 2025, arXiv 2501.02268"
    year: ClassVar[int] = 2025
    tiles: ClassVar[Tiles] = "apart"

    similarity: float = 0.5
    temperature: float = 0.03
    iterations: int = 5

    def __post_init__(self) -> None:
        if not -1 <= self.similarity <= 1:
            raise ValueError(f"similarity is {self.similarity}; it must lie in -1..1, as cosines do")
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}; it must be more than 0")
        if self.iterations != int(self.iterations) or self.iterations < 0:
            raise ValueError(f"iterations is {self.iterations}; it must be a whole number, 0 or more")

    def rank(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        return best(each_image(self.scores, features), n_target)

    def scores(self, features: Tensor) -> Tensor:
        """How important each row of `features` [N, D] of one image is: [N] float32, on a scale of its own."""
        similarities = cosine_similarities(features)
        edges = (similarities >= self.similarity) & (similarities.abs() >= 1e-6)
        edges.fill_diagonal_(True)
        transition = (similarities / self.temperature).masked_fill_(~edges, -torch.inf).softmax(dim=1)
        n_edges = (transition > 0).sum(dim=1)
        information = torch.linalg.vector_norm(_in_range(features.float()), dim=1)
        for _ in range(self.iterations):
            information = information @ transition
        return information / n_edges


def _in_range(rows: Tensor) -> Tensor:
    """`rows` times a power of two, by which the largest number of all is about 1: the squares stay numbers."""
    largest = rows.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)
    return torch.ldexp(rows, -torch.frexp(largest).exponent)
