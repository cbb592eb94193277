"""The greedy selections as one would first write them: one image, one token, one comparison at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pytest_vtc.compression import cosine_distances, cosine_similarities


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


def conditionally_diverse(similarities: Tensor, relevance: Tensor, n_target: int) -> list[int]:
    """Indices in the order of choice, from `similarities` [N, N] and `relevance` [N].

    What is left of a token when what it shares with those chosen is taken out, by the whole matrix of what is left.
    """
    left, weights = similarities.double(), relevance.double().square()
    order: list[int] = []
    while len(order) < n_target:
        scores = [float(left[i, i].clamp(min=1e-5) * weights[i]) for i in range(len(left))]
        order.append(max((i for i in range(len(left)) if i not in order), key=lambda i: (scores[i], -i)))
        pivot = left[order[-1], order[-1]]
        if pivot > 1e-5:
            left = left - torch.outer(left[:, order[-1]], left[order[-1]]) / pivot
    return order


def scaled(relevance: Tensor) -> Tensor:
    return (relevance - relevance.min() + 1e-6) / (relevance.max() - relevance.min()).clamp(min=1e-6)


def cdpruner(
    features: Tensor,
    n_target: int,
    text: Tensor,
    image_embeds: Tensor | None = None,
    text_embeds: Tensor | None = None,
) -> list[int]:
    """The embeddings are those of CLIP's joint space, for models that have it."""
    if image_embeds is None or text_embeds is None:
        relevance = functional.cosine_similarity(features[:, None], text[None], dim=2).amax(dim=1)
    else:
        relevance = -functional.cosine_similarity(image_embeds[:, None], text_embeds[None], dim=2).mean(dim=1)
    return conditionally_diverse(cosine_similarities(features), scaled(relevance), n_target)


def best_covering(similarities: Tensor, weights: Tensor, n_target: int, combination: str = "multi") -> list[int]:
    """Indices in the order of choice, from `similarities` [N, N] and `weights` [N]."""
    covered = torch.zeros(len(similarities))
    order: list[int] = []
    while len(order) < n_target:
        left = [i for i in range(len(similarities)) if i not in order]
        gains = [(row - covered).clamp(min=0.0)[None].sum(dim=1)[0] for row in similarities]
        scores = [float(gains[i] * weights[i] if combination == "multi" else gains[i] + weights[i]) for i in left]
        order.append(left[first_largest(scores)])
        covered = torch.maximum(covered, similarities[order[-1]])
    return order


def scope(hidden: Tensor, saliency: Tensor, n_target: int, alpha: float = 1.0, mode: str = "multi") -> list[int]:
    """`hidden` [N, C], `saliency` [H, N]."""
    return best_covering(cosine_similarities(hidden), saliency.sum(dim=0).pow(alpha), n_target, mode)


def g_prune(
    features: Tensor, n_target: int, similarity: float = 0.5, temperature: float = 0.03, iterations: int = 5
) -> list[int]:
    likeness, everyone = cosine_similarities(features).double(), range(len(features))
    information = [float(length) for length in torch.linalg.vector_norm(features.double(), dim=1)]
    edges = [[j for j in everyone if i == j or likeness[i, j] >= max(similarity, 1e-6)] for i in everyone]
    for _ in range(iterations):
        arrived = [0.0] * len(features)
        for i in everyone:
            flow = (likeness[i, edges[i]] / temperature).softmax(dim=0)
            for j, share in zip(edges[i], flow.tolist(), strict=True):
                arrived[j] += share * information[i]
        information = arrived
    scores = [amount / len(own) for amount, own in zip(information, edges, strict=True)]
    return sorted(everyone, key=lambda i: (-scores[i], i))[:n_target]
