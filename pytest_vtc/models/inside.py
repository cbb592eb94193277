"""Runs the layers of a vision encoder while a compressor merges or drops rows between them.

For layers like CLIP's and SigLIP's: attention and MLP each normalise their input and are added to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pytest_vtc.compression import CompressionError, EncoderReducer, EncoderStep, Kept, Merge, Reduction
from pytest_vtc.encoder_reduction import Heads
from pytest_vtc.token_merging import merge_weighted

_PROJECTIONS: dict[Heads, str] = {"queries": "q_proj", "keys": "k_proj", "values": "v_proj"}
_TAKES_MASKS = (None, "eager", "sdpa")


@dataclass(frozen=True, eq=False)
class EncoderRows:
    """What an encoder has of an image at one point.

    rows: [P, C], a class row first if it has one. sizes: [P] float32, patches that each row stands for.
    sources: [P] long, -1 for the class row.
    """

    rows: Tensor
    sizes: Tensor
    sources: Tensor
    has_cls: bool

    @classmethod
    def of_patches(cls, rows: Tensor, has_cls: bool) -> EncoderRows:
        """Every row for itself."""
        first = -1 if has_cls else 0
        sources = torch.arange(first, len(rows) + first, device=rows.device)
        return cls(rows, torch.ones(len(rows), device=rows.device), sources, has_cls)

    def with_rows(self, rows: Tensor) -> EncoderRows:
        return EncoderRows(rows, self.sizes.to(rows.device), self.sources.to(rows.device), self.has_cls)

    def reduced(self, reduction: Reduction) -> EncoderRows:
        """Raises CompressionError if `reduction` is none of these rows."""
        if isinstance(reduction, Merge):
            return self._merged(reduction)
        kept = self._indices(reduction, "rows to keep", len(self.rows))
        if len(kept.unique()) != len(kept):
            raise CompressionError("a reducer keeps a row of the encoder more than once")
        if self.has_cls and (len(kept) == 0 or int(kept[0]) != 0):
            raise CompressionError("a reducer drops or moves the class row; row 0 is to be the first that it keeps")
        if len(kept) == int(self.has_cls):
            raise CompressionError("a reducer keeps no row of the image")
        return EncoderRows(self.rows[kept], self.sizes[kept], self.sources[kept], self.has_cls)

    def _merged(self, merge: Merge) -> EncoderRows:
        n_rows = len(self.rows)
        group = self._indices(merge.group, "groups", merge.n_rows)
        targets = self._indices(merge.targets, "targets", n_rows)
        if len(group) != n_rows:
            raise CompressionError(f"a reducer gives groups to {len(group)} of {n_rows} rows of the encoder")
        if len(targets) != merge.n_rows:
            raise CompressionError(f"a reducer gives {len(targets)} targets of {merge.n_rows} merged rows")
        counts = torch.bincount(group, minlength=merge.n_rows)
        if not counts.all():
            raise CompressionError(f"a reducer leaves group {int(counts.argmin())} of {len(counts)} without a row")
        if self.has_cls and (int(group[0]) != 0 or int(counts[0]) != 1):
            raise CompressionError("a reducer merges or moves the class row; row 0 is to be group 0, alone")
        rows, sizes = merge_weighted(self.rows, self.sizes, Merge(group, merge.n_rows, targets))
        return EncoderRows(rows, sizes, self.sources[targets], self.has_cls)

    def _indices(self, indices: Tensor, what: str, n: int) -> Tensor:
        if indices.ndim != 1 or indices.is_floating_point() or indices.dtype == torch.bool:
            raise CompressionError(f"a reducer returns {what} of shape {list(indices.shape)} and dtype {indices.dtype}")
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < n:
            raise CompressionError(f"a reducer returns {what} outside 0..{n - 1}")
        return indices.long().to(self.rows.device)


def run_layers(
    layers: Sequence[Any], rows: Tensor, reducer: EncoderReducer, grid: tuple[int, int], has_cls: bool
) -> EncoderRows:
    """The rows that `layers` leave of one image.

    Args:
        layers: modules with layer_norm1, self_attn (q_proj, k_proj, v_proj, head_dim), layer_norm2 and mlp.
        rows: [P, C], what the first is given.
        grid: of the patches.
    """
    state = EncoderRows.of_patches(rows, has_cls)
    for number, layer in enumerate(layers):
        state = state.with_rows(state.rows.to(device_of(layer, rows.device)))
        bias = _bias(state, layer.self_attn) if reducer.proportional else None
        normed = layer.layer_norm1(state.rows[None])
        mask = None if bias is None else bias.to(normed.dtype).expand(1, 1, len(bias), len(bias))
        attended, _ = layer.self_attn(hidden_states=normed, attention_mask=mask)
        state = state.with_rows(state.rows + attended[0])
        seen = _Attention(layer.self_attn, normed, bias)
        shown = _step(state, seen, number, len(layers), grid)
        if (reduction := reducer.after_attention(shown)) is not None:
            state, seen = state.reduced(reduction), None
        state = state.with_rows(state.rows + layer.mlp(layer.layer_norm2(state.rows[None]))[0])
        shown = _step(state, seen, number, len(layers), grid)
        if (reduction := reducer.after_block(shown)) is not None:
            state = state.reduced(reduction)
    return state


def as_kept(state: EncoderRows, features: Tensor) -> Kept:
    """What `inside` returns. features: [M, D], what was made of the rows without the class row."""
    return Kept(features.float(), state.sources[int(state.has_cls) :])


@dataclass(frozen=True, eq=False)
class _Attention:
    """What one layer's attention was given. normed: [1, P, C]."""

    module: Any
    normed: Tensor
    bias: Tensor | None

    @torch.no_grad()  # a reducer may read them later
    def heads(self, which: Heads) -> Tensor:
        """Computed once more: the layer itself keeps none of them, and few reducers read more than one."""
        rows = getattr(self.module, _PROJECTIONS[which])(self.normed)[0]
        return rows.reshape(len(rows), -1, self.module.head_dim).transpose(0, 1).float()


def _step(state: EncoderRows, seen: _Attention | None, layer: int, n_layers: int, grid: tuple[int, int]) -> EncoderStep:
    return EncoderStep(
        layer,
        n_layers,
        grid,
        state.has_cls,
        state.rows.to(torch.float32, copy=True),
        state.sizes.clone(),
        state.sources.clone(),
        _gone if seen is None else seen.heads,
        None if seen is None else seen.bias,
    )


def _gone(which: Heads) -> Tensor:
    raise ValueError(f"the {which} of this layer were of more rows: rows were reduced after its attention")


def _bias(state: EncoderRows, attention: Any) -> Tensor | None:
    """[P] float32, what is added to the scores of each row; None as long as each stands for one patch."""
    if bool((state.sizes == 1).all()):
        return None
    name = getattr(getattr(attention, "config", None), "_attn_implementation", None)
    if name not in _TAKES_MASKS:
        raise CompressionError(
            f"this reducer weighs attention by the size of rows, which {name} cannot: load the model with "
            "--vtc-attention sdpa"
        )
    return state.sizes.log()


def device_of(module: Any, otherwise: torch.device) -> torch.device:
    """Where the weights of a module are; `otherwise` where they come only when it is called, or there are none."""
    weights = next(module.parameters(), None)
    return otherwise if weights is None or weights.is_meta else weights.device
