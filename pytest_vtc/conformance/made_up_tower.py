"""A small random vision encoder, run as those of real models are, for compressors that act within it."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from pytest_vtc.compression import EncoderReducer
from pytest_vtc.models.inside import EncoderRows, run_layers

_SHARPER = 3.0
"""By which queries and keys are longer than torch draws them: trained towers do not look everywhere alike."""


class _Attention(nn.Module):
    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.head_dim = width // n_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(width, width) for _ in range(4))
        for projection in (self.q_proj, self.k_proj):
            projection.weight.data *= _SHARPER

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, None]:
        queries, keys, values = (
            projection(hidden_states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = nn.functional.scaled_dot_product_attention(queries, keys, values, attention_mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2)), None


class _Layer(nn.Module):
    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = _Attention(width, n_heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))


@torch.no_grad()
def run_made_up_tower(
    rows: Tensor,
    reducer: EncoderReducer,
    grid: tuple[int, int],
    *,
    has_cls: bool,
    n_layers: int,
    n_heads: int,
    seed: int,
) -> EncoderRows:
    """What `n_layers` layers, the same for the same seed, leave of rows [P, C], a class row first if there is one."""
    return run_layers(_layers(seed, n_layers, rows.shape[1], n_heads), rows, reducer, grid, has_cls)


@lru_cache(maxsize=8)
def _layers(seed: int, n_layers: int, width: int, n_heads: int) -> tuple[_Layer, ...]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return tuple(_Layer(width, n_heads).eval() for _ in range(n_layers))
