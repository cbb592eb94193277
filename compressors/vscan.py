"""VScan, its first stage: tokens attended window by window and in the whole image; the others are merged into them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import (
    Compressor,
    EncoderAttention,
    Kept,
    Merge,
    Tiles,
    Tower,
    best,
    most_similar,
    rank_in_group,
)


@dataclass(frozen=True)
class VScan(Compressor):
    """VScan (Zhang et al., TMLR 2026, arXiv 2505.22654): a local and a global scan, then merging. Its first stage.

    Of n tokens, trunc(n * local_ratio) are local: equally many from each window of the grid, those with the most
    attention in a shallow layer. The others are global: most attention in the second-to-last layer, among the tokens
    that are left. Attention is that of the class token, mean over heads. Every token not kept is merged into the kept
    one of largest cosine similarity: a kept token becomes the mean of itself and those.

    The second stage prunes inside the language model and is no part of this.

    local_ratio: share of local tokens, 0 to 1.
    window: the longest side of a window in tokens. A grid is cut into as few windows as that allows, as equal as they
        can be; 6 makes 4 x 4 windows of the 24 x 24 tokens of LLaVA.
    shallow_layer: the shallow layer, counted from 0. None: as published, 5 of CLIP's 24 layers; the same share of an
        encoder of other depth, which is also what the authors' Qwen2.5-VL code takes (7 of 32).

    The sources differ:

    - Count. The authors' LLaVA code takes trunc(local / windows) of each window and keeps fewer than n where that does
      not divide. Here the windows' next tokens follow, those with most attention first, up to exactly n: every token
      their code keeps is kept.
    - Windows. The authors' LLaVA code knows 24 x 24 tokens only. Their Qwen2.5-VL code cuts any grid into windows of 4,
      the last of them longer, and takes the most attended tokens, no more than ceil(local / windows) of a window.
    - Global tokens. The authors' code keeps local tokens out by setting their attention to 0, here they are masked.
    - No class token. The authors' Qwen2.5-VL code takes attention received, and the last layer for the deep one; so
      does this for encoders without class token.
    """

    name: ClassVar[str] = "vscan"
    description: ClassVar[str] = "attended in windows and in the whole image; the rest merged into the most similar"
    reference: ClassVar[str] = "VScan, TMLR 2026, arXiv 2505.22654"
    year: ClassVar[int] = 2026
    needs: ClassVar[frozenset[str]] = frozenset({"attention"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "cls": "the attention a token receives (mean over heads and queries) in the shallow and in the last layer "
        "stands in for that of the class token, as the authors do for Qwen2.5-VL"
    }
    tiles: ClassVar[Tiles] = "apart"

    local_ratio: float = 0.5
    window: int = 6
    shallow_layer: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.local_ratio <= 1:
            raise ValueError(f"local_ratio is {self.local_ratio}; it must be from 0 to 1")
        if self.window < 1:
            raise ValueError(f"window is {self.window}; it must be at least 1")
        if self.shallow_layer is not None and self.shallow_layer < 0:
            raise ValueError(f"shallow_layer is {self.shallow_layer}; layers are counted from 0")

    def encoder_layers(self, tower: Tower) -> tuple[int, ...]:
        """The shallow layer, then the deep one."""
        shallow = round(5 / 24 * tower.n_layers) if self.shallow_layer is None else self.shallow_layer
        return (shallow, *super().encoder_layers(tower))

    def compress(
        self,
        features: Tensor,
        n_target: int,
        *,
        grid: tuple[int, int],
        attention: Mapping[int, EncoderAttention],
        layers: tuple[int, int],
        **_ctx: Any,
    ) -> Kept:
        shallow, deep = (attention[layer].saliency.mean(dim=0)[None] for layer in layers)
        windows = _window_of_tokens(*grid, self.window).to(features.device)
        # All best ones of their windows, then all second best: any number of them is spread evenly over the windows.
        local = best(shallow, int(n_target * self.local_ratio), -rank_in_group(shallow, windows))
        is_local = torch.zeros_like(deep, dtype=torch.bool).scatter_(1, local, True)
        kept = best(deep, n_target, is_local)[0].sort().values
        nearest = most_similar(features, features[kept]).index_copy(
            0, kept, torch.arange(n_target, device=features.device)
        )
        merge = Merge(nearest, n_target, kept)
        return Kept(merge.means(features), kept, merge.means)


def _window_of_tokens(rows: int, columns: int, longest: int) -> Tensor:
    """[rows * columns] long: the window that each token lies in, whose sides are at most `longest`."""
    down, across = -(-rows // longest), -(-columns // longest)
    row, column = torch.arange(rows) * down // rows, torch.arange(columns) * across // columns
    return (row[:, None] * across + column).flatten()
