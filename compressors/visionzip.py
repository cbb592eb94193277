"""VisionZip: the tokens the class token attends to, and clusters of the others."""

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
    all_but,
    linear,
    membership,
    most_similar,
)


@dataclass(frozen=True)
class VisionZip(Compressor):
    """VisionZip (Yang et al., CVPR 2025, arXiv 2412.04467): dominant tokens are kept, the others merged into a few.

    Dominant are the class token and the patches to which it gives the most attention, summed over heads, in the last
    layer but one of the encoder (section 3.2). Of the patches left, in raster order, every k-th is a target, so that
    there are as many as contextual tokens are wanted; each other one joins the target with the most similar key (cosine
    of keys, mean over heads). A contextual token is its target plus the mean of those that joined it (section 3.3). All
    this is before the projector. First come the dominant tokens, the class token first, the rest in raster order; then
    the contextual ones.

    contextual: the share of the budget that goes to contextual tokens, rounded to the nearest, halves up. The default
        gives the published 54 + 10 of 64, 108 + 20 of 128 and 162 + 30 of 192, the class token counted as dominant.

    The sources differ:

    - Sum or mean. The paper speaks of a cluster's mean; the authors' code adds the target to the mean of the others, so
      that a contextual token is about twice as long as a patch. Here as in their code.
    - Budget. Theirs is given as two numbers of tokens (54 and 10); where fewer patches are left than contextual tokens
      wanted, their code breaks. Here it is the engine's, split by `contextual`, and any budget works; at 1 the class
      token is all that stays.
    - Zero rows. The authors' code divides keys by their norm: NaN. Here a zero key is similar to nothing.
    - Tiles. On LLaVA-NeXT the authors give each crop a budget of its own, put the kept patches of all crops in the
      order of the whole image, then their class tokens, then the contextual ones. Here the crops share the budget of
      the grid that they make up, and their class tokens come first.
    """

    name: ClassVar[str] = "visionzip"
    description: ClassVar[str] = "most attended tokens, the rest merged into a few by key similarity"
    reference: ClassVar[str] = "VisionZip, CVPR 2025, arXiv 2412.04467"
    year: ClassVar[int] = 2025
    stage: ClassVar[Stage] = "encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"hidden", "attention", "keys"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "cls": "the attention a token receives (mean over queries, summed over heads) stands in for that of the class "
        "token",
        "class_token": "no class token is passed on; one more patch is kept in its place",
        "project": "contextual tokens are merged after the projector, and no class token is passed on",
    }
    tiles: ClassVar[Tiles] = "apart"

    contextual: float = 10 / 64

    def __post_init__(self) -> None:
        if not 0 <= self.contextual <= 1:
            raise ValueError(f"contextual is {self.contextual}, a share of the budget; it must be from 0 to 1")

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
        n_tokens = len(features)
        n_class = 0 if class_token is None or project is None else min(len(class_token.hidden), n_target)
        n_contextual = min(int(n_target * self.contextual + 0.5), n_target - n_class)
        falling = attention[layers[0]].saliency.sum(dim=0).argsort(descending=True, stable=True)
        dominant = falling[: n_target - n_class - n_contextual].sort().values
        targets, weights = clusters(keys[layers[0]].mean(dim=0), all_but(dominant, n_tokens), n_contextual)
        positions = torch.cat([dominant, targets])
        if project is None:
            merged = weights @ features
        elif class_token is None:
            merged = project(weights @ hidden)
        else:
            passed_on = project(class_token.hidden[:n_class])
            rows = torch.cat([passed_on, features[dominant], project(weights @ hidden)])
            return Kept(rows, torch.cat([positions.new_zeros(n_class), positions]))
        every = torch.cat([torch.eye(n_tokens, device=features.device)[dominant], weights])
        return Kept(torch.cat([features[dominant], merged]), positions, linear(every))


def clusters(metric: Tensor, left: Tensor, n_clusters: int) -> tuple[Tensor, Tensor]:
    """Clusters of the tokens `left` over, around every k-th of them.

    Args:
        metric: [N, d], what similarity is measured on.
        left: [R] long, rising.
        n_clusters: 0 to R.

    Returns:
        The targets [n_clusters] long, and weights [n_clusters, N] that make of N tokens each target plus the mean of
        those that joined it.
    """
    stride = max(1, len(left) // max(1, n_clusters))
    at = torch.arange(n_clusters, device=left.device) * stride
    targets, others = left[at], left[all_but(at, len(left))]
    weights = torch.zeros(n_clusters, len(metric), device=metric.device)
    if n_clusters:
        members = membership(most_similar(metric[others], metric[targets]), n_clusters)
        weights[:, others] = members / members.sum(dim=1, keepdim=True).clamp_(min=1.0)
        weights.scatter_(1, targets[:, None], 1.0)
    return targets, weights
