"""Farthest-first selection of many images at once: the greedy loop that DivPrune, its hybrid and FPS share.

What one image gets does not depend on the images beside it, bit for bit: sums over a row's channels, whose rounding
follows the shape of the whole batch, are computed image by image; all the rest picks and compares. Nothing here reads a
value back, so that on a GPU the host never waits.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


def cosine_distances(features: Tensor) -> Tensor:
    """1 - cosine similarity of every two rows of one image: float32, 0 to 2.

    `features` [N, D] give [N, N]; those of a batch, [B, N, D], give [B, N, N]. A zero row is at distance 1 from every
    row, itself included: its cosine is taken as 0, not as NaN.
    """
    distances = _each_image(_cosines, features) if features.ndim == 3 else _cosines(features)
    # Rounding puts the distance of equal rows on either side of 0.
    return distances.neg_().add_(1.0).clamp_(min=0.0)


def norms(features: Tensor) -> Tensor:
    """L2 norm of every row of `features` [B, N, D]: [B, N] float64.

    In float64 neither huge nor tiny features leave the range of their squares.
    """
    return _each_image(_norms, features)


def nearest_neighbour_distances(distances: Tensor) -> Tensor:
    """Distance of each row to the nearest other row, infinite for a row alone: [B, N], from `distances` [B, N, N]."""
    return _with_diagonal(distances, math.inf).amin(dim=-1)


def farthest_first(
    distances: Tensor,
    seeds: Tensor,
    n_target: int,
    importance: Tensor | None = None,
    alpha: float = 0.0,
) -> Tensor:
    """Choose rows of each image one by one, each time the one with the best score; the lowest index wins a tie.

    The score is the distance d to the nearest row already chosen (greedy max-min diversity) or, where `importance` is
    given, alpha * importance + (1 - alpha) * d / max d. A chosen row is never chosen again.

    Args:
        distances: [B, N, N], finite and not negative; not changed.
        seeds: [B, S] long, for each image distinct rows chosen before the loop begins, S >= 1.
        n_target: how many rows to choose in all, seeds included, 1 <= n_target <= N.
        importance: [B, N], 0 to 1.
        alpha: weight of the importance, 0 to 1.

    Returns:
        [B, n_target] long, each image's distinct, in the order of choice. That of a smaller n_target is its beginning.
    """
    # A row takes itself out of the race when it lowers `nearest`; not beside importance, as 0 * inf is NaN.
    masked = _with_diagonal(distances, -math.inf if importance is None else 0.0)
    n_images, n_tokens, _ = masked.shape
    # The rows of all images one below the other: row i of image b stands at b * N + i.
    rows = masked.reshape(n_images * n_tokens, n_tokens)
    offsets = torch.arange(0, n_images * n_tokens, n_tokens, device=rows.device)
    order = torch.empty(n_target, n_images, dtype=torch.long, device=rows.device)
    n_seeds = min(seeds.shape[1], n_target)
    order[:n_seeds] = seeds[:, :n_seeds].T
    # One writable view per choice.
    slots = order[n_seeds:].unbind()
    chosen = (order[:n_seeds] + offsets).flatten()
    nearest = rows.index_select(0, chosen).reshape(n_seeds, n_images, n_tokens).amin(dim=0)
    new, places = torch.empty_like(nearest), torch.empty_like(offsets)
    alone = n_images == 1
    if importance is None:
        for slot in slots:
            torch.argmax(nearest, dim=1, out=slot)
            place = slot if alone else torch.add(slot, offsets, out=places)
            torch.index_select(rows, 0, place, out=new)
            torch.minimum(nearest, new, out=nearest)
        return order.T
    weighted = importance.float() * alpha
    unchosen = weighted.view(-1).index_fill_(0, chosen, -math.inf)
    score, largest = torch.empty_like(nearest), torch.empty_like(nearest[:, :1])
    tiny = torch.finfo(nearest.dtype).tiny
    for slot in slots:
        # Where every row left repeats a chosen one, `nearest` is all 0 and importance alone decides.
        torch.amax(nearest, dim=1, keepdim=True, out=largest).clamp_(min=tiny)
        torch.addcdiv(weighted, nearest, largest, value=1.0 - alpha, out=score)
        torch.argmax(score, dim=1, out=slot)
        place = slot if alone else torch.add(slot, offsets, out=places)
        unchosen.index_fill_(0, place, -math.inf)
        torch.index_select(rows, 0, place, out=new)
        torch.minimum(nearest, new, out=nearest)
    return order.T


def _each_image(measure: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    return torch.stack([measure(image) for image in features.unbind()])


def _cosines(features: Tensor) -> Tensor:
    rows = features.float()
    unit = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1e-12)
    return unit @ unit.T


def _norms(features: Tensor) -> Tensor:
    return torch.linalg.vector_norm(features, dim=1, dtype=torch.float64)


def _with_diagonal(distances: Tensor, value: float) -> Tensor:
    copy = distances.clone(memory_format=torch.contiguous_format)
    copy.diagonal(dim1=-2, dim2=-1).fill_(value)
    return copy
