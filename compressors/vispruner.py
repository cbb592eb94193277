"""VisPruner: the tokens the class token looks at, and of the others those that repeat each other least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import EncoderAttention, Selection, Stage, Tiles, best, cosine_similarities, distinct

_PER_ROUND = 8


@dataclass(frozen=True)
class VisPruner(Selection):
    """VisPruner (Zhang et al., ICCV 2025, arXiv 2412.01818): important tokens by attention, then diverse ones.

    Of n tokens, trunc(n * important_ratio) are those with the most attention from the class token (mean over the heads
    of the second-to-last layer). The rest come from the remaining tokens, in the order of falling attention: in rounds,
    these are dealt by turns into two halves, and the eight of the first half that are most similar (cosine, of what
    the projector is given) to any token of the second are dropped, until as many are left as are wanted.

    important_ratio: share of the important tokens, 0 to 1. None: 0.75 where at most a sixth of the tokens is kept, else
        0.5; these are the authors' example commands for LLaVA-1.5 at 64 and at 128 of 576 tokens, a sixth is half-way
        between. Their example for LLaVA-NeXT has 0.5 at 32 of each tile's 576.

    The sources differ:

    - Odd counts. The authors' code can only split an even number of remaining tokens, and drop no more than there are
      in the first half: it raises for most budgets of few tokens and for odd ones. Here the first half gets the odd
      token, and a round drops as many as there are. Where the authors' code runs, the choice is the same.
    - Zero rows. The authors' code divides by the norm; here a zero row has cosine 0 to every other.
    - No class token. For SigLIP the authors take the attention of the last layer, mean over heads and queries; here
      too, for every encoder without one.
    - Ties. The authors' sort leaves them open; here the lowest index comes first.
    """

    name: ClassVar[str] = "vispruner"
    description: ClassVar[str] = "most attended tokens, and the least repetitive of the others"
    reference: ClassVar[str] = "VisPruner, ICCV 2025, arXiv 2412.01818"
    year: ClassVar[int] = 2025
    stage: ClassVar[Stage] = "encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden", "attention"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "cls": "the attention a token receives in the last layer (mean over heads and queries) stands in for that of "
        "the class token, as the authors do for SigLIP"
    }
    tiles: ClassVar[Tiles] = "apart"

    important_ratio: float | None = None

    def __post_init__(self) -> None:
        if self.important_ratio is not None and not 0 <= self.important_ratio <= 1:
            raise ValueError(f"important_ratio is {self.important_ratio}; it must be from 0 to 1")

    def select(
        self,
        features: Tensor,
        n_target: int,
        *,
        hidden: Sequence[Tensor],
        attention: Sequence[Mapping[int, EncoderAttention]],
        layers: Sequence[tuple[int]],
        **_ctx: Any,
    ) -> Tensor:
        n_tokens = features.shape[1]
        ratio = self.important_ratio
        if ratio is None:
            ratio = 0.75 if 6 * n_target <= n_tokens else 0.5
        n_important = int(n_target * ratio)
        saliency = torch.stack(
            [of_image[layer].saliency.mean(dim=0) for of_image, (layer,) in zip(attention, layers, strict=True)]
        )
        order = best(saliency, n_tokens)
        important, others = order[:, :n_important], order[:, n_important:]
        n_diverse = n_target - n_important
        if not n_diverse:
            return important
        diverse = distinct(cosine_similarities(torch.stack(list(hidden))), others, n_diverse, _PER_ROUND)
        return torch.cat([important, diverse], dim=1)
