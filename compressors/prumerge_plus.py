"""PruMerge+: PruMerge with tokens sampled evenly over the image beside the attended ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
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
    all_but,
    attention_given,
    linear,
    n_outliers,
)


@dataclass(frozen=True)
class PruMergePlus(Compressor):
    """PruMerge+ (Shang et al., ICCV 2025, arXiv 2403.15388, section 3.4): PruMerge that also sees the whole image.

    Attention and merging are those of `prumerge`. Beside the tokens with the most attention, others are chosen evenly
    over the image. The attended ones come first, in the order of falling attention, then the sampled ones in raster
    order, then the one merged of all the rest.

    spatial: the share of the chosen tokens that is sampled. Where a share r of all tokens has outlying attention, the
        authors sample every (1 / 3r)-th, three for each attended one; hence the default of 3/4.
    adaptive: the authors' counts: as many attended tokens as have outlying attention, and every k-th token of the
        image, k = trunc(trunc(1 / r) / 3), that is not among them; with no outlier, none. Where that is more than the
        budget, tokens are chosen as without it. `spatial` is then of no account.
    n_nearest: how many tokens each chosen one takes in.

    The sources differ:

    - Grid. The authors sample a fixed grid and leave out what is chosen already, so that the count depends on the
      image. Here the samples are evenly spaced among the tokens not yet chosen, and their number is what the budget
      leaves. With `adaptive`, the grid is theirs; like theirs, it never has the last token.
    - Crash. Where more than a third of all tokens are outliers, or none, the authors' code divides by zero.
    - Training. For training the authors take one sample for each attended token, and take some tokens twice.
    - All that is said of `prumerge`.
    """

    name: ClassVar[str] = "prumerge_plus"
    description: ClassVar[str] = "attended and evenly sampled tokens, each merged with those of similar keys"
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

    spatial: float = 0.75
    adaptive: bool = False
    n_nearest: int = 32

    def __post_init__(self) -> None:
        if not 0 <= self.spatial <= 1:
            raise ValueError(f"spatial is {self.spatial}, a share of the chosen tokens; it must be from 0 to 1")
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
        chosen = adaptively(given) if self.adaptive else None
        if chosen is None or len(chosen) >= n_target:
            chosen = self._chosen(given, n_target - 1)
        merged = absorb_nearest(keys[layer], chosen, given, self.n_nearest)
        return Kept(merged.rows(features, hidden, project), merged.positions, linear(merged.weights))

    def _chosen(self, given: Tensor, n_chosen: int) -> Tensor:
        """[n_chosen] long: by attention, then evenly among the others."""
        n_sampled = int(n_chosen * self.spatial)
        attended = given.argsort(descending=True, stable=True)[: n_chosen - n_sampled]
        others = all_but(attended, len(given))
        at = torch.arange(n_sampled, device=given.device) * len(others) // max(1, n_sampled)
        return torch.cat([attended, others[at]])


def adaptively(given: Tensor) -> Tensor:
    """What the authors' code chooses, by the attention given to each of N tokens: [M] long, M from 0 to N."""
    n_tokens, n_attended = len(given), n_outliers(given)
    attended = given.argsort(descending=True, stable=True)[:n_attended]
    if n_attended == 0:
        return attended
    stride = max(1, n_tokens // n_attended // 3)
    others = all_but(attended, n_tokens)
    return torch.cat([attended, others[(others % stride == 0) & (others < n_tokens - 1)]])
