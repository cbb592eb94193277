"""What a compressor that acts within the vision encoder writes: a reducer, and what it is shown at each layer.

Hand one to `inside` of `Compressor.compress`'s context.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

from torch import Tensor

from pytest_vtc.token_merging import Merge

Heads = Literal["queries", "keys", "values"]


Reduction = Tensor | Merge
"""Rows to keep, [M] long, in the order they are to have; or which rows become one, each new row then the mean of its
group weighted by sizes, at the source of its target. A class row stays by itself, the first of all."""


@dataclass(frozen=True, eq=False)
class EncoderStep:
    """One image at one point of the encoder. All tensors are float32 or long copies, on one device.

    layer: from 0. n_layers: how many are run, the last being the one that leaves the features.
    grid: rows and columns of the patches that the encoder was given.
    has_cls: row 0 is a class row, which cannot be dropped or merged.
    rows: [P, C], the class row among them. sizes: [P], how many patches each stands for.
    sources: [P] long, the raster index of the patch each row is, or takes the place of; -1 for the class row.
    """

    layer: int
    n_layers: int
    grid: tuple[int, int]
    has_cls: bool
    rows: Tensor
    sizes: Tensor
    sources: Tensor
    heads: Callable[[Heads], Tensor]
    bias: Tensor | None = None

    @property
    def n_tokens(self) -> int:
        """Rows without the class row."""
        return len(self.rows) - int(self.has_cls)

    @cached_property
    def queries(self) -> Tensor:
        """[H, P, d] float32, what the rows have asked in this layer's attention; computed when it is first read.

        These, `keys` and `values` raise ValueError after a block between whose attention and end rows were reduced.
        """
        return self.heads("queries")

    @cached_property
    def keys(self) -> Tensor:
        """[H, P, d] float32, likewise."""
        return self.heads("keys")

    @cached_property
    def values(self) -> Tensor:
        """[H, P, d] float32, likewise."""
        return self.heads("values")

    @cached_property
    def cls_attention(self) -> Tensor:
        """[H, P]: what the class row has paid to each row, itself included. Raises ValueError where there is none."""
        if not self.has_cls:
            raise ValueError("this encoder has no class row whose attention could be read")
        return self.attention_of(self.queries[:, 0])

    def attention_of(self, queries: Tensor) -> Tensor:
        """[H, P]: what a row with these queries, [H, d], would have paid to each row in this layer."""
        scores = (self.keys @ queries[:, :, None])[..., 0] * queries.shape[-1] ** -0.5
        return (scores if self.bias is None else scores + self.bias).softmax(dim=-1)


class EncoderReducer:
    """Merges or drops rows while an encoder runs. Make a fresh one for each call of `inside`: it may remember things.

    Both methods are called at every layer, and return what to do with the rows, None for nothing. Where neither does
    anything at any layer, the features come out as the model computes them, to the bit.
    """

    proportional: ClassVar[bool] = False
    """Rows attend to one that stands for s patches as to s equal ones: log(s) is added to its attention scores."""

    def after_attention(self, step: EncoderStep) -> Reduction | None:  # noqa: ARG002
        """Between a layer's attention and its MLP, the attention's output added."""
        return None

    def after_block(self, step: EncoderStep) -> Reduction | None:  # noqa: ARG002
        """At the end of a layer."""
        return None
