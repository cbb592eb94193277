"""The greedy selections as one would first write them: one image, one token, one comparison at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cosine_distances(features: Tensor) -> Tensor:
    """[N, N] from `features` [N, D]."""
    unit = functional.normalize(features.float(), dim=1)
    return (1.0 - unit @ unit.T).clamp(min=0.0)


def first_largest(scores: list[float]) -> int:
    return max(range(len(scores)), key=lambda i: (scores[i], -i))


def farthest_first(
    distances: Tensor, seeds: list[int], n_target: int, importance: Tensor | None = None, alpha: float = 0.0
) -> list[int]:
    """Indices in the order of choice, from `distances` [N, N] and `importance` [N]."""
    order = list(seeds[:n_target])
    while len(order) < n_target:
        nearest = distances[order].amin(dim=0)
        left = [i for i in range(len(distances)) if i not in order]
        if importance is None:
            score = nearest
        else:
            largest = nearest[left].max().clamp(min=torch.finfo(torch.float32).tiny)
            score = importance * alpha + (1.0 - alpha) * nearest / largest
        order.append(left[first_largest([float(score[i]) for i in left])])
    return order


def divprune(features: Tensor, n_target: int) -> list[int]:
    distances, everyone = cosine_distances(features), range(len(features))
    isolation = [min((float(distances[i, j]) for j in everyone if j != i), default=0.0) for i in everyone]
    return farthest_first(distances, [first_largest(isolation)], n_target)


def divprune_farthest_pair(features: Tensor, n_target: int) -> list[int]:
    distances, everyone = cosine_distances(features), range(len(features))
    pairs = [(i, j) for i in everyone for j in everyone if i != j] or [(0, 0)]
    return farthest_first(distances, list(pairs[first_largest([float(distances[p]) for p in pairs])]), n_target)


def divprune_hybrid(features: Tensor, n_target: int, alpha: float = 0.5) -> list[int]:
    norms = torch.linalg.vector_norm(features.double(), dim=1)
    low, high = norms.min(), norms.max()
    importance = ((norms - low) / (high - low) if high > low else torch.ones_like(norms)).float()
    first = first_largest(importance.tolist())
    return farthest_first(cosine_distances(features), [first], n_target, importance, alpha)


def fps(features: Tensor, n_target: int) -> list[int]:
    first = first_largest(torch.linalg.vector_norm(features.double(), dim=1).tolist())
    return farthest_first(cosine_distances(features), [first], n_target)


def random(features: Tensor, n_target: int, generator: torch.Generator) -> list[int]:
    seed = generator.initial_seed()
    return torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))[:n_target].tolist()
