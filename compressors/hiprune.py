"""HiPrune: tokens attended in a middle layer of the encoder, their neighbours, and those attended in a deep layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import EncoderAttention, Selection, Tiles, Tower, best


@dataclass(frozen=True)
class HiPrune(Selection):
    """HiPrune (Liu et al., AAAI 2026, arXiv 2508.00553): anchors, their buffers, and registers.

    Attention is what a token receives, mean over heads and over all queries; no class token is needed. Of n tokens,
    round(alpha * n / 5) anchors are the most attended in a middle, object-centric layer; their buffers are the tokens
    left, right, above and below; registers, the most attended in a deep layer, fill up to n.

    alpha: share of anchors and buffers, 0 to 1.
    object_layer: the middle layer, counted from 1. None: as published, 9 of CLIP's 24 layers and 16 of the 32 of
        Qwen2.5-VL's encoder, the same share of an encoder of other depth (with and without class token).

    The sources differ:

    - Deep layer. The second-to-last in LLaVA, the last in Qwen2.5-VL; here for encoders with and without class token.
    - Neighbours. The authors' code takes the indices beside, one row back and one row on, kept within the image: at the
      end of a row, the token to the right is the first of the next row. Here too.
    - Registers. The authors' code keeps anchors and buffers out by lowering their attention by 1. In their Qwen2.5-VL
      code, where attention is summed over queries, it can exceed 1: then a token is chosen twice and fewer than n are
      kept. Here they are masked: every token their code keeps is kept, and registers fill up to exactly n.
    - Small budgets. Where anchors and buffers are more than n, the authors' code raises; here anchors come first, then
      the buffers most attended in the deep layer.
    - Budget. The authors round n to the nearest integer (Qwen2.5-VL) or down (LLaVA); here it is the engine's.
    """

    name: ClassVar[str] = "hiprune"
    description: ClassVar[str] = "attended in a middle layer, with neighbours, then attended in a deep layer"
    reference: ClassVar[str] = "HiPrune, AAAI 2026, arXiv 2508.00553"
    year: ClassVar[int] = 2026
    needs: ClassVar[frozenset[str]] = frozenset({"attention"})
    tiles: ClassVar[Tiles] = "apart"

    alpha: float = 0.1
    object_layer: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha is {self.alpha}; it must be from 0 to 1")
        if self.object_layer is not None and self.object_layer < 1:
            raise ValueError(f"object_layer is {self.object_layer}; layers are counted from 1")

    def encoder_layers(self, tower: Tower) -> tuple[int, ...]:
        """The object-centric layer, then the deep one."""
        share = 9 / 24 if tower.has_cls else 16 / 32
        number = max(1, round(share * tower.n_layers)) if self.object_layer is None else self.object_layer
        return (number - 1, *super().encoder_layers(tower))

    def select(
        self,
        features: Tensor,
        n_target: int,
        *,
        grid: Sequence[tuple[int, int]],
        attention: Sequence[Mapping[int, EncoderAttention]],
        layers: Sequence[tuple[int, int]],
        **_ctx: Any,
    ) -> Tensor:
        middle, deep = (
            torch.stack([of_image[of[i]].received.mean(dim=0) for of_image, of in zip(attention, layers, strict=True)])
            for i in (0, 1)
        )
        anchors = best(middle, round(n_target * self.alpha / 5))
        widths = torch.tensor([[columns] for _, columns in grid], device=anchors.device)
        around = torch.cat([anchors - 1, anchors + 1, anchors - widths, anchors + widths], dim=1)
        priority = torch.zeros_like(deep, dtype=torch.long)
        priority.scatter_(1, around.clamp(0, features.shape[1] - 1), 1).scatter_(1, anchors, 2)
        return best(deep, n_target, priority)
