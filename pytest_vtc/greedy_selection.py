"""Farthest-first selection: the greedy loop that DivPrune, its hybrid and FPS share.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def cosine_distances(features: Tensor) -> Tensor:
    """1 - cosine similarity of every two rows of `features` [N, D]: [N, N] float32, 0 to 2.

    A zero row is at distance 1 from every row, itself included: its cosine is taken as 0, not as NaN.
    """
    unit = functional.normalize(features.float(), dim=1)
    distances = unit @ unit.T
    # Rounding puts the distance of equal rows on either side of 0.
    return distances.neg_().add_(1.0).clamp_(min=0.0)


def nearest_neighbour_distances(distances: Tensor) -> Tensor:
    """Distance of every row to the nearest other row: [N], from `distances` [N, N]; infinite for a row alone."""
    return distances.clone().fill_diagonal_(math.inf).amin(dim=1)


def farthest_first(
    distances: Tensor,
    seeds: Tensor,
    n_target: int,
    importance: Tensor | None = None,
    alpha: float = 0.0,
) -> Tensor:
    """Choose rows one by one, each time the one with the best score; the lowest index wins a tie.

    The score is the distance d to the nearest row already chosen (greedy max-min diversity) or, where `importance` is
    given, alpha * importance + (1 - alpha) * d / max d. A chosen row is never chosen again.

    Args:
        distances: [N, N], finite and not negative; not changed.
        seeds: [S] long, distinct rows chosen before the loop begins, S >= 1.
        n_target: how many rows to choose in all, seeds included, 1 <= n_target <= N.
        importance: [N], 0 to 1.
        alpha: weight of the importance, 0 to 1.

    Returns:
        [n_target] long, distinct, in the order of choice.
    """
    order = torch.empty(n_target, dtype=torch.long, device=distances.device)
    n_seeds = min(len(seeds), n_target)
    order[:n_seeds] = seeds[:n_seeds]
    # One writable view per choice; nothing in the loops reads a value back, so that on a GPU the host never waits.
    chosen, slots = order[:n_seeds], order.split(1)[n_seeds:]
    # The new row of distances of each step; two views of one buffer, because index_select writes [1, N].
    row = torch.empty_like(distances[:1])
    flat_row = row[0]
    if importance is None:
        # With this diagonal, a row takes itself out of the race when it lowers `nearest`.
        distances = distances.clone().fill_diagonal_(-math.inf)
        nearest = distances[chosen].amin(dim=0)
        for slot in slots:
            torch.argmax(nearest, dim=0, keepdim=True, out=slot)
            torch.index_select(distances, 0, slot, out=row)
            torch.minimum(nearest, flat_row, out=nearest)
        return order
    distances = distances.clone().fill_diagonal_(0.0)
    nearest = distances[chosen].amin(dim=0)
    weighted = (importance.float() * alpha).index_fill_(0, chosen, -math.inf)
    score = torch.empty_like(nearest)
    tiny = torch.finfo(nearest.dtype).tiny
    for slot in slots:
        # Where every row left repeats a chosen one, `nearest` is all 0 and importance alone decides.
        largest = nearest.amax().clamp_(min=tiny)
        torch.addcdiv(weighted, nearest, largest, value=1.0 - alpha, out=score)
        torch.argmax(score, dim=0, keepdim=True, out=slot)
        weighted.index_fill_(0, slot, -math.inf)
        torch.index_select(distances, 0, slot, out=row)
        torch.minimum(nearest, flat_row, out=nearest)
    return order
