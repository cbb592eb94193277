"""LLaVA-PruMerge: the tokens the class token attends to, each with its nearest ones merged into it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from pytest_vtc.compression import (
    ClassToken,
    Compressor,
    EncoderAttention,
    Kept,
    Stage,
    Tiles,
    Tower,
    absorb_nearest,
    attention_given,
    linear,
    n_outliers,
)


@dataclass(frozen=True)
class PruMerge(Compressor):
    """LLaVA-PruMerge (Shang et al., ICCV 2025, arXiv 2403.15388): attended tokens take in those of similar keys.

    The class token's attention comes from its query and the keys of the last layer of the encoder, all heads as one.
    The tokens with the most of it are chosen; each becomes itself plus the sum of the 32 others with the most similar
    keys, each times its attention (section 3.3); a last token is the sum of all that were not chosen, each times its
    attention. The tokens are those before the projector. They stay in the order of falling attention.

    adaptive: choose as many as have outlying attention, more than 1.5 interquartile ranges above the third quartile
        (section 3.2), but never more than the budget; the paper's PruMerge. Otherwise the budget is what counts.
    n_nearest: how many tokens each chosen one takes in.

    The sources differ:

    - Weights. The paper speaks of a weighted average; the authors' code adds the weighted sum to the chosen token and
      divides by nothing. Here as in their code.
    - Clusters. In paper and code a token can be merged into several, and chosen ones into each other.
    - Count. The paper's is adaptive; the authors' code has a fixed ratio too. Here the budget of n tokens is n - 1
      chosen ones and the last one.
    - Small images. The authors' code needs 33 tokens. Here a token takes in all others if there are no more than 32.
    - Tiles. The authors' code takes one. A grid that is several crops to the encoder (LLaVA-NeXT) has a class token for
      each; a token then has the attention of that of its crop, as the encoder computes it, averaged over heads.
    - Rounding. The authors cut ratio * N to an integer, which for some N (not 576) is one less than the outliers.
    """

    name: ClassVar[str] = "prumerge"
    description: ClassVar[str] = "most attended tokens, each merged with those of similar keys"
    reference: ClassVar[str] = "LLaVA-PruMerge, ICCV 2025, arXiv 2403.15388"
    year: ClassVar[int] = 2025
    stage: ClassVar[Stage] = "encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden", "attention", "keys"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "cls": "the attention a token receives (mean over heads and queries) stands in for that of the class token",
        "class_token": "attention is taken as the encoder computes it, head by head, and averaged over them",
        "project": "tokens are merged after the projector",
    }
    tiles: ClassVar[Tiles] = "apart"

    adaptive: bool = False
    n_nearest: int = 32

    def __post_init__(self) -> None:
        if self.n_nearest < 1:
            raise ValueError(f"n_nearest is {self.n_nearest}; it must be at least 1")

    @property
    def exact(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  Whether it is depends on `adaptive`.
        return not self.adaptive

    def encoder_layers(self, tower: Tower) -> tuple[int, ...]:  # noqa: ARG002  The last layer of any.
        return (-1,)

    def compress(
        self,
        features: Tensor,
        n_target: int,
        *,
        hidden: Tensor,
        attention: Mapping[int, EncoderAttention],
        keys: Mapping[int, Tensor],
        layers: tuple[int, ...],
        class_token: ClassToken | None = None,
        project: Callable[[Tensor], Tensor] | None = None,
        **_ctx: Any,
    ) -> Kept:
        (layer,) = layers
        given = attention_given(attention[layer], keys[layer], class_token, layer)
        n_chosen = min(n_outliers(given), n_target - 1) if self.adaptive else n_target - 1
        chosen = given.argsort(descending=True, stable=True)[:n_chosen]
        merged = absorb_nearest(keys[layer], chosen, given, self.n_nearest)
        return Kept(merged.rows(features, hidden, project), merged.positions, linear(merged.weights))
