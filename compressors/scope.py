"""SCOPE: keep the salient tokens that together cover all the others best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from pytest_vtc.compression import EncoderAttention, Ranking, Stage, Tiles, best_covering, cosine_similarities

Mode = Literal["multi", "add"]


@dataclass(frozen=True)
class Scope(Ranking):
    """SCOPE (NeurIPS 2025, arXiv 2510.24214): saliency and coverage in one greedy selection, before the projector.

    A set of tokens covers token i by c_i, its largest cosine similarity to any of them (0 at first). The gain of token
    j is the sum over i of max(0, cos(i, j) - c_i): facility location. One by one the token with the largest
    gain_j * a_j^alpha is kept, a_j being the attention that the class row pays it in the last layer but one, summed
    over heads; the lowest index wins a tie. Similarities are those of the encoder's rows, not of the projected ones.

    alpha: how much saliency counts; 0 leaves coverage alone ("multi"). The released code's default is 1.
    mode: "multi" as above; "add" takes gain_j + a_j^alpha, in which attention hardly weighs anything.

    The sources differ:

    - Place. The paper describes the selection for any layer; the released code (github.com/kinredon/SCOPE) makes it on
      the encoder's output, as here.
    - Encoders without a class token (SigLIP, Qwen-VL, Gemma) are in neither. Here the attention that a token receives
      stands in, with its own note in the results.
    - Tiles. The released code gives every tile the same number of tokens, rounded down; here each has its share.
    - Zero rows. The released code divides by the norm and gets NaN; here their cosine is 0, so they cover nothing.
    - Speed. Nothing else differs, but gains are only computed anew where they can decide (see `best_covering`).
    """

    name: ClassVar[str] = "scope"
    description: ClassVar[str] = "coverage of all tokens by those kept, times their saliency"
    reference: ClassVar[str] = "SCOPE, NeurIPS 2025, arXiv 2510.24214"
    year: ClassVar[int] = 2025
    stage: ClassVar[Stage] = "encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden", "attention"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "cls": "the attention a token receives (sum over heads, mean over queries) stands in for that of the class row"
    }
    tiles: ClassVar[Tiles] = "apart"

    alpha: float = 1.0
    mode: Mode = "multi"

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"alpha is {self.alpha}; it must be a number of 0 or more (0: coverage alone)")
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode is {self.mode!r}; choose one of {', '.join(map(repr, get_args(Mode)))}")

    def rank(
        self,
        features: Tensor,  # noqa: ARG002  those before the projector decide
        n_target: int,
        *,
        hidden: Sequence[Tensor],
        attention: Sequence[Mapping[int, EncoderAttention]],
        layers: Sequence[Sequence[int]],
        **_ctx: Any,
    ) -> Tensor:
        similarities = cosine_similarities(torch.stack(list(hidden)))
        saliency = [of[layer].saliency.sum(dim=0) for of, (layer, *_) in zip(attention, layers, strict=True)]
        return best_covering(similarities, torch.stack(saliency).pow(self.alpha), n_target, self.mode)
