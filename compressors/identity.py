"""Uniform stride: every so many tokens in raster order, whatever they show. The baseline that looks at nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Compressor


@dataclass(frozen=True)
class Identity(Compressor):
    """Tokens at equal steps through the raster, first and last included; the name is the seed project's (vtbench).

    The indices are the whole numbers nearest to n_target equally spaced points from 0 to N - 1, halves to even. vtbench
    computes them with float32 `linspace`, which is off where a point lies exactly half-way (in one budget of forty, by
    one token of the selection or a few) and, beyond some 9,000 tokens, can name an index twice; here it is exact.
    """

    name: ClassVar[str] = "identity"
    description: ClassVar[str] = "every n-th token in raster order: uniform stride"
    reference: ClassVar[str] = "baseline, as in vtbench"

    def compress(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        steps = max(1, n_target - 1)
        points = torch.arange(n_target, device=features.device) * (len(features) - 1)
        below, twice_rest = points // steps, points % steps * 2
        return below + ((twice_rest > steps) | ((twice_rest == steps) & (below % 2 == 1)))
