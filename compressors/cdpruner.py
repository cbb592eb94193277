"""CDPruner: keep the tokens most diverse among themselves, given how relevant each is to the question."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Ranking, Tiles, conditionally_diverse, cosine_similarities, unit_rows

Joint = Callable[[str], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class CDPruner(Ranking):
    """CDPruner (Zhang et al., NeurIPS 2025, arXiv 2506.10967): conditional diversity, by a determinantal point process.

    S is the cosine similarity of the projected tokens, r their relevance to the question, scaled to 0..1. One by one
    the token is kept that adds most to the determinant of diag(r) S diag(r) over the tokens kept: one that is relevant,
    and unlike those chosen (greedy MAP inference, Chen et al. 2018). The lowest index wins a tie.

    Relevance is the mean over the question's segments of -cos(token, segment) in the joint space of the CLIP model
    whose vision tower the language model uses. The sign is the authors': patches of CLIP are least like the words that
    describe them, so little similarity means much relevance.

    Other models have no such space. There relevance is ours, not the paper's: the largest cosine similarity of a
    projected token to any token of the question, in the language model's input space, with its sign as it is.

    clip: the checkpoint of the joint space, asked for where the model's tower is a CLIP tower.

    The sources differ:

    - Sign. The paper speaks of relevance as similarity; the authors' code (github.com/Theia-4869/CDPruner) negates it,
      as here.
    - Scale. The authors take the least and the largest relevance over all tiles of an image; here each tile has
      its own.
    - Rank. Once as many tokens are kept as S has rank (or all left repeat kept ones), the authors' code divides by what
      rounding left, names tokens twice and keeps fewer than asked. Here what is left of a token never falls below
      1e-5, and the most relevant are kept then.
    - Equal relevance of all tokens is 0 / 0 in the authors' code; here all count 1.
    - Zero rows are NaN in the authors' code; here they have similarity 0 to all and come last.
    """

    name: ClassVar[str] = "cdpruner"
    description: ClassVar[str] = "diversity of the tokens kept, conditioned on relevance to the question"
    reference: ClassVar[str] = "CDPruner, NeurIPS 2025, arXiv 2506.10967"
    year: ClassVar[int] = 2025
    needs: ClassVar[frozenset[str]] = frozenset({"text"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "joint": "relevance is a token's largest cosine similarity to the question's embeddings in the language "
        "model's input space, not in CLIP's joint space (ours, not the paper's)"
    }
    tiles: ClassVar[Tiles] = "apart"

    clip: str = "openai/clip-vit-large-patch14-336"

    def rank(
        self,
        features: Tensor,
        n_target: int,
        *,
        text: Sequence[Tensor],
        joint: Sequence[Joint] | None = None,
        **_ctx: Any,
    ) -> Tensor:
        if joint is None:
            wanted = [likeness_to_words(tokens, words) for tokens, words in zip(features, text, strict=True)]
        else:
            wanted = [unlikeness_to_segments(*embed(self.clip)) for embed in joint]
        relevance = torch.stack([scaled(scores.to(features.device)) for scores in wanted])
        return conditionally_diverse(cosine_similarities(features), relevance, n_target)


def unlikeness_to_segments(image_embeds: Tensor, text_embeds: Tensor) -> Tensor:
    """[N]: the mean over segments of -cosine; image_embeds [N, E], text_embeds [S, E] in CLIP's joint space."""
    tokens, segments = (unit_rows(rows) for rows in (image_embeds, text_embeds))
    return -(tokens @ segments.T).mean(dim=1)


def likeness_to_words(features: Tensor, text: Tensor) -> Tensor:
    """[N]: the largest cosine of each row of `features` [N, D] to a row of `text` [T, D]; no text: 0."""
    if not len(text):
        return features.new_zeros(len(features))
    tokens, words = (unit_rows(rows) for rows in (features, text.to(features.device)))
    return (tokens @ words.T).amax(dim=1)


def scaled(scores: Tensor) -> Tensor:
    """`scores` of any shape, brought to a range of 1 that begins just above 0; equal ones are all 1."""
    low, high = scores.aminmax()
    # A range below the clamp only makes the scale another, which the greedy choice does not see.
    return (scores - low + 1e-6) / (high - low).clamp(min=1e-6)
