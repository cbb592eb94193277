"""The greedy methods by their plain definition: one image at a time, one `.item()` for every token kept.

What batches are measured against in test_latency.py. Each is given the matrix that its method begins with, works on all
tokens at once, and takes its steps as the authors of the method do in their own code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Image:
    """similarities: [N, N] cosines. distances: 1 - cosines. lengths: [N] norms. relevance: [N], 0..1. saliency: [N]."""

    similarities: Tensor
    distances: Tensor
    lengths: Tensor
    relevance: Tensor
    saliency: Tensor


def image_of(features: Tensor, relevance: Tensor, saliency: Tensor) -> Image:
    """From `features` [N, D]."""
    unit = functional.normalize(features, dim=1)
    similarities = unit @ unit.T
    distances = (1.0 - similarities).clamp(min=0.0)
    return Image(similarities, distances, torch.linalg.vector_norm(features, dim=1), relevance, saliency)


def divprune(image: Image, n_target: int) -> list[int]:
    """In every step, how far each token is from the nearest of all those chosen is asked anew."""
    distances = image.distances
    order = [int(distances.topk(2, dim=0, largest=False).values[1].argmax().item())]
    while len(order) < n_target:
        nearest = distances[order].amin(dim=0)
        nearest[order] = -torch.inf
        order.append(int(nearest.argmax().item()))
    return order


def fps(image: Image, n_target: int) -> list[int]:
    return _farthest_first(image.distances, int(image.lengths.argmax().item()), n_target)


def _farthest_first(distances: Tensor, first: int, n_target: int) -> list[int]:
    order, nearest = [first], distances[first].clone()
    nearest[first] = -torch.inf
    while len(order) < n_target:
        chosen = int(nearest.argmax().item())
        order.append(chosen)
        nearest = torch.minimum(nearest, distances[chosen])
        nearest[chosen] = -torch.inf
    return order


def divprune_hybrid(image: Image, n_target: int, alpha: float = 0.5) -> list[int]:
    distances, lengths = image.distances, image.lengths
    importance = (lengths - lengths.min()) / (lengths.max() - lengths.min())
    chosen = int(importance.argmax().item())
    order, nearest = [chosen], distances[chosen].clone()
    nearest[chosen] = -torch.inf
    while len(order) < n_target:
        score = alpha * importance + (1.0 - alpha) * nearest / nearest.max()
        chosen = int(score.argmax().item())
        order.append(chosen)
        nearest = torch.minimum(nearest, distances[chosen])
        nearest[chosen] = -torch.inf
    return order


def cdpruner(image: Image, n_target: int) -> list[int]:
    kernel = image.relevance[:, None] * image.similarities * image.relevance
    left, factor = kernel.diagonal().clone(), torch.zeros(n_target, len(kernel))
    order: list[int] = []
    for i in range(n_target):
        chosen = int(left.argmax().item())
        order.append(chosen)
        shared = torch.einsum("t,tn->n", factor[:i, chosen], factor[:i])
        factor[i] = (kernel[chosen] - shared) / left[chosen].sqrt()
        left -= factor[i].square()
        left[chosen] = -torch.inf
    return order


def scope(image: Image, n_target: int) -> list[int]:
    covered = torch.zeros(len(image.similarities))
    taken = torch.zeros(len(image.similarities), dtype=torch.bool)
    order: list[int] = []
    while len(order) < n_target:
        open_to = image.similarities.masked_fill(taken, 0.0)
        score = (open_to - covered[:, None]).clamp(min=0.0).sum(dim=0) * image.saliency
        chosen = int(score.masked_fill(taken, -torch.inf).argmax().item())
        order.append(chosen)
        taken[chosen] = True
        covered = torch.maximum(covered, image.similarities[chosen])
    return order


PLAIN_LOOPS: dict[str, Callable[[Image, int], list[int]]] = {
    "divprune": divprune,
    "divprune_hybrid": divprune_hybrid,
    "fps": fps,
    "cdpruner": cdpruner,
    "scope": scope,
}
