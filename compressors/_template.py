"""Copy this file to write a compressor of your own, and say here what it does in one line.

1. Copy it into this folder under a new name (files whose names begin with _ are skipped), or keep it anywhere.
2. Change `name`, `description`, `reference`, the class's name, and `compress`.
3. Check it: `pytest --vtc-conformance ./my_compressor.py` tries it on odd images and says what is wrong with it.
4. Run it: `pytest benchmarks/ --vtc-compressors divprune my_compressor` or, kept elsewhere, `... ./my_compressor.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Compressor


@dataclass(frozen=True)
class MyCompressor(Compressor):
    """The example: keep the tokens that lie farthest from the image's average token.

    p: which norm measures how far; 2 is the usual length.
    """

    # How it is asked for and shown: lower case letters, digits and underscores, unlike every other compressor's.
    name: ClassVar[str] = "my_compressor"
    description: ClassVar[str] = "tokens farthest from the image's mean token"
    reference: ClassVar[str] = "your paper: venue, arXiv id"

    # Parameters are fields with defaults; `my_compressor(p=1.0)` on the command line sets one.
    p: float = 2.0

    def __post_init__(self) -> None:
        if self.p <= 0:
            raise ValueError(f"p is {self.p}; it must be more than 0")

    # A choice that is the beginning of one order, whatever n_target is, as this one, can be a `Ranking`: see there.
    def compress(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        """Choose among `features` [N, D] (float32, raster order): [n_target] distinct indices, in any order.

        To make new tokens instead, return `Kept(rows, positions)`, also from `pytest_vtc.compression`: rows [n_target,
        D] and, for each, the index of the token it stands in place of. `Compressor.compress` says what else the
        context holds, such as `grid`, and what can be had by naming it in `needs`, such as the question's embeddings.
        """
        distances = torch.linalg.vector_norm(features - features.mean(dim=0), ord=self.p, dim=1)
        return distances.topk(n_target).indices
