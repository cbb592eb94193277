"""How alike the vision tokens of an image are: cosines, distances, norms; what selections of many images start from.

What one image gets does not depend on the images beside it, bit for bit: matrix products and sums over a row's
channels, whose rounding follows the shape of the whole batch, are computed image by image.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def each_image(measure: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
    """`measure` of every image of `batch` [B, ...], one by one, stacked: the way to products and sums of a batch."""
    return torch.stack([measure(image) for image in batch.unbind()])


def unit_rows(rows: Tensor) -> Tensor:
    """`rows` [N, d] scaled to length 1, float32; a zero row stays zero. Any scale: lengths are taken in float64."""
    lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True, dtype=torch.float64).float()
    return rows.float() / lengths.masked_fill(lengths == 0, 1.0)


def cosine_similarities(features: Tensor) -> Tensor:
    """Cosine of every two rows of one image: float32, -1 to 1 up to rounding.

    `features` [N, D] give [N, N]; those of a batch, [B, N, D], give [B, N, N]. A zero row has cosine 0 with every row,
    itself included, not NaN.
    """
    return each_image(_cosines, features) if features.ndim == 3 else _cosines(features)


def cosine_distances(features: Tensor) -> Tensor:
    """1 - cosine similarity of every two rows of one image: float32, 0 to 2.

    `features` [N, D] give [N, N]; those of a batch, [B, N, D], give [B, N, N]. A zero row is at distance 1 from every
    row, itself included: its cosine is taken as 0, not as NaN.
    """
    # Rounding puts the distance of equal rows on either side of 0.
    return cosine_similarities(features).neg_().add_(1.0).clamp_(min=0.0)


def norms(features: Tensor) -> Tensor:
    """L2 norm of every row of `features` [B, N, D]: [B, N] float64.

    In float64 neither huge nor tiny features leave the range of their squares.
    """
    return each_image(_norms, features)


def nearest_neighbour_distances(distances: Tensor) -> Tensor:
    """Distance of each row to the nearest other row, infinite for a row alone: [B, N], from `distances` [B, N, N].

    While it looks, the diagonal is infinite; then it is what it was. A copy would cost several times as much.
    """
    if not distances.is_contiguous():
        distances = distances.contiguous()
    diagonal = distances.diagonal(dim1=-2, dim2=-1)
    to_itself = diagonal.clone()
    diagonal.fill_(math.inf)
    nearest = distances.amin(dim=-1)
    diagonal.copy_(to_itself)
    return nearest


def _cosines(features: Tensor) -> Tensor:
    unit = unit_rows(features)
    return unit @ unit.T


def _norms(features: Tensor) -> Tensor:
    return torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)
