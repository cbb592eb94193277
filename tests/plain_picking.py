"""The methods that score tokens and pick the best as one would first write them: one image, one token at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from pytest_vtc.compression import cosine_similarities


def falling(scores: Sequence[float], among: Iterable[int] | None = None) -> list[int]:
    """Indices by falling score, the lowest first of equal ones."""
    return sorted(range(len(scores)) if among is None else among, key=lambda i: (-scores[i], i))


def vispruner(hidden: Tensor, saliency: list[float], n_target: int, important_ratio: float) -> list[int]:
    similarity = cosine_similarities(hidden)
    order = falling(saliency)
    n_important = int(n_target * important_ratio)
    important, left = order[:n_important], order[n_important:]
    n_diverse = n_target - n_important
    if n_diverse == 0:
        return important
    while len(left) > n_diverse:
        first, second = left[0::2], left[1::2]
        nearest = [max(float(similarity[i, j]) for j in second) for i in first]
        n_dropped = min(8, len(left) - n_diverse, len(first))
        left = [first[i] for i in falling(nearest)[n_dropped:]] + second
    return important + left


def hiprune(middle: list[float], deep: list[float], columns: int, n_target: int, alpha: float) -> list[int]:
    last = len(middle) - 1
    anchors = falling(middle)[: round(n_target * alpha / 5)]
    around = {min(max(i + step, 0), last) for i in anchors for step in (-1, 1, -columns, columns)} - {*anchors}
    others = {*range(len(deep))} - {*anchors} - around
    return [i for group in (anchors, around, others) for i in falling(deep, group)][:n_target]


def holov(features: Tensor, saliency: list[float], n_target: int, n_crops: int) -> list[int]:
    crops = [crop.tolist() for crop in torch.arange(len(saliency)).tensor_split(min(n_crops, len(saliency)))]
    scores = [_crop_score(features[crop], [saliency[i] for i in crop]) for crop in crops]
    shares = [max(score / (sum(scores) + 1e-6), 1e-30) for score in scores]
    budgets = [int(share * n_target) for share in shares]
    for crop in falling(shares)[: n_target - sum(budgets)]:
        budgets[crop] += 1
    queues = [falling(saliency, crop) for crop in crops]
    kept = [i for queue, budget in zip(queues, budgets, strict=True) for i in queue[:budget]]
    taken = [min(len(queue), budget) for queue, budget in zip(queues, budgets, strict=True)]
    while len(kept) < n_target:
        open_crops = [c for c, queue in enumerate(queues) if taken[c] < len(queue)]
        crop = max(open_crops, key=lambda c: shares[c] / (taken[c] + 1))
        kept.append(queues[crop][taken[crop]])
        taken[crop] += 1
    return kept


def _crop_score(features: Tensor, saliency: list[float]) -> float:
    n = len(saliency)
    if n == 1:
        return saliency[0]
    rows = features.double()
    unit = rows / (rows.norm(dim=1, keepdim=True) + 1e-6)
    variances = []
    for i in range(n):
        similar = [0.0 if i == j else float(unit[i] @ unit[j]) for j in range(n)]
        mean = sum(similar) / (n - 1)
        variances.append(sum((s - mean) ** 2 for s in similar) / (n - 1))
    attention = 1e3 * sum(saliency) / n
    variance = sum(variances) / n
    return attention + 0.09 * variance * attention / (variance + 1e-6)


def vscan(
    features: Tensor, shallow: list[float], deep: list[float], grid: tuple[int, int], n_target: int, longest: int
) -> tuple[list[int], Tensor]:
    """The kept tokens, ascending, and what becomes of them."""
    windows: dict[tuple[int, int], list[int]] = {}
    for i in range(len(shallow)):
        place = zip(divmod(i, grid[1]), grid, strict=True)
        row, column = (at * -(-side // longest) // side for at, side in place)
        windows.setdefault((row, column), []).append(i)
    queues = [falling(shallow, window) for window in windows.values()]
    local: list[int] = []
    while len(local) < n_target // 2:
        next_ones = [queue.pop(0) for queue in queues if queue]
        local += falling(shallow, next_ones)[: n_target // 2 - len(local)]
    others = [i for i in range(len(deep)) if i not in local]
    kept = sorted(local + falling(deep, others)[: n_target - len(local)])
    similarity = cosine_similarities(features)
    clusters = {k: [k] for k in kept}
    for i in range(len(features)):
        if i not in kept:
            clusters[max(kept, key=lambda k: (float(similarity[i, k]), -k))].append(i)
    return kept, torch.stack([features[clusters[k]].double().mean(dim=0) for k in kept]).float()
