"""HoloV: every stretch of the image gets a budget by its attention and variety; within it, attention decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import EncoderAttention, Selection, best, rank_in_group

_EPSILON, _ATTENTION_SCALE, _VARIANCE_WEIGHT = 1e-6, 1e3, 0.09


@dataclass(frozen=True)
class HoloV(Selection):
    """HoloV (Zou et al., NeurIPS 2025, arXiv 2510.02912): a budget for each crop, so that no part of the image is lost.

    The tokens in raster order are cut into `crops` runs of equal length (the first ones longer by one where it does not
    divide). A crop's score is the mean over its tokens of 1000 * attention + 0.09 * variance, where the variance is
    that of a token's cosines to the tokens of its crop, scaled to the attention's mean. Of the budget n each crop gets
    floor(its share of the scores * n) tokens, the crops of largest share one more while some are left. Within a crop
    attention alone chooses: that of the class token, mean over heads, in the second-to-last layer.

    crops: into how many. None: trunc(1024 / 576 * N / n) as in the authors' Qwen2.5-VL code, at least 1; at 64 of 576
        these are the 16 that their LLaVA code writes out.

    The sources differ:

    - Crops. The paper speaks of spatial crops; the authors' code, and so this, takes runs of raster order.
    - Overfull crops. Where a crop is given more tokens than it has, the authors' code fills up with rows of zeros
      (LLaVA) or with repeats of the last token (Qwen2.5-VL). Here the surplus goes to the other crops, one by one to
      that of the largest share per token it has (highest averages): every token their code keeps is kept.
    - Order. The authors hand over crop after crop, each by falling attention; the engine here keeps raster order.
    - Attention. In the authors' Qwen2.5-VL code tokens are put back from window to raster order and their attention is
      not; here each token has its own. That code takes the last layer, mean over heads and queries; so does this for
      encoders without class token.
    - A crop of one token. The authors' code scores it by attention not multiplied by 1000; here too.
    """

    name: ClassVar[str] = "holov"
    description: ClassVar[str] = "most attended tokens of each crop, by budgets of attention and variety"
    reference: ClassVar[str] = "HoloV, NeurIPS 2025, arXiv 2510.02912"
    year: ClassVar[int] = 2025
    needs: ClassVar[frozenset[str]] = frozenset({"attention"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "cls": "the attention a token receives in the last layer (mean over heads and queries) stands in for that of "
        "the class token, as the authors do for Qwen2.5-VL"
    }

    crops: int | None = None

    def __post_init__(self) -> None:
        if self.crops is not None and self.crops < 1:
            raise ValueError(f"crops is {self.crops}; it must be at least 1")

    def select(
        self,
        features: Tensor,
        n_target: int,
        *,
        attention: Sequence[Mapping[int, EncoderAttention]],
        layers: Sequence[tuple[int]],
        **_ctx: Any,
    ) -> Tensor:
        n_tokens = features.shape[1]
        crops = max(1, int(1024 / 576 * n_tokens / n_target)) if self.crops is None else self.crops
        crops = min(crops, n_tokens)
        saliency = torch.stack(
            [of_image[layer].saliency.mean(dim=0) for of_image, (layer,) in zip(attention, layers, strict=True)]
        )
        each = [_shares(*image, crops) for image in zip(features.unbind(), saliency.unbind(), strict=True)]
        shares = torch.stack(each)
        allotted = (shares * n_target).floor().long()
        left = n_target - allotted.sum(dim=1, keepdim=True)
        allotted += best(shares, crops).argsort(dim=1) < left
        crop_of = _crop_of_tokens(n_tokens, crops).to(features.device)
        rank = rank_in_group(saliency, crop_of)
        taken = rank < allotted[:, crop_of]
        return best(shares[:, crop_of] / (rank + 1), n_target, taken)


def _crop_of_tokens(n_tokens: int, crops: int) -> Tensor:
    """[N] long: the crop that each token lies in."""
    size, longer = divmod(n_tokens, crops)
    token, edge = torch.arange(n_tokens), longer * (size + 1)
    return torch.where(token < edge, token // (size + 1), longer + (token - edge) // size)


def _shares(features: Tensor, saliency: Tensor, crops: int) -> Tensor:
    """Each crop's share [P] of the scores of one image, from its `features` [N, D] and `saliency` [N]."""
    n_tokens = len(features)
    size, longer = divmod(n_tokens, crops)
    scores = [
        _scores(rows.reshape(count, -1, features.shape[1]), of_rows.reshape(count, -1))
        for rows, of_rows, count in zip(
            features.split([longer * (size + 1), (crops - longer) * size]),
            saliency.split([longer * (size + 1), (crops - longer) * size]),
            (longer, crops - longer),
            strict=True,
        )
        if count
    ]
    score = torch.cat(scores)
    # Not quite nothing, so that crops without any share still take turns.
    return (score / (score.sum() + _EPSILON)).nan_to_num(0.0).clamp(min=1e-30)


def _scores(features: Tensor, saliency: Tensor) -> Tensor:
    """The score of each of P crops of n tokens: [P], from `features` [P, n, D] and `saliency` [P, n]."""
    n_tokens = features.shape[1]
    if n_tokens == 1:
        return saliency[:, 0]
    unit = features / (features.norm(dim=2, keepdim=True) + _EPSILON)
    cosines = unit @ unit.transpose(1, 2)
    cosines.diagonal(dim1=1, dim2=2).zero_()
    mean = cosines.sum(dim=2, keepdim=True) / (n_tokens - 1)
    variance = (cosines - mean).square().sum(dim=2) / (n_tokens - 1)
    scaled = saliency * _ATTENTION_SCALE
    scale = scaled.abs().mean(dim=1, keepdim=True) / (variance.abs().mean(dim=1, keepdim=True) + _EPSILON)
    return (scaled + _VARIANCE_WEIGHT * variance * scale).mean(dim=1)
