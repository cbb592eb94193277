"""ToMe: the most similar tokens are merged, pair by pair."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from pytest_vtc.compression import Compressor, Kept, Tiles, matching_rounds


@dataclass(frozen=True)
class ToMe(Compressor):
    """ToMe (Bolya et al., ICLR 2023, arXiv 2210.09461) as a merger of projected tokens.

    One round of bipartite soft matching (section 3): each token of even index is paired with the most similar one of
    odd index (cosine), and the most similar pairs are merged into their mean. Rounds follow each other until the budget
    is met; each at most halves the tokens, and sees those that the round before it made, in the order it left them.

    The sources differ:

    - Where. The paper merges a few tokens in every layer of the encoder, between attention and MLP, by the similarity
      of keys, and lets attention know how many tokens each stands for. Here it is done once, after the projector, by
      the similarity of the tokens themselves, as the one who has no say in the encoder can do it.
    - Size. As in the paper, a token that stands for several weighs as many: each one left is the mean of its tokens.
    - Order. The authors' order (even ones by falling similarity, then odd ones) means nothing to a language model.
      Here tokens are put in raster order of the token that the others of their group came to.
    - Ties and zero rows. Of equal pairs the first is merged first; a zero row, which is NaN in the authors' code, is
      similar to nothing.
    - Tiles. Each is merged by itself, as the encoder would see it.
    """

    name: ClassVar[str] = "tome"
    description: ClassVar[str] = "the most similar tokens are averaged, round by round"
    reference: ClassVar[str] = "ToMe, ICLR 2023, arXiv 2210.09461"
    year: ClassVar[int] = 2023
    tiles: ClassVar[Tiles] = "apart"

    def compress(self, features: Tensor, n_target: int, **_ctx: Any) -> Kept:
        merge = matching_rounds(features, n_target).in_raster_order()
        return Kept(merge.means(features), merge.targets, merge.means)
