"""Choosing tokens by scores, of many images at once: what the methods that score every token and pick the best share.

What one image gets does not depend on the images beside it, bit for bit: products and sums over channels are computed
image by image; all the rest sorts, compares and gathers. Sorts are stable, so the lowest index wins a tie. Nothing here
reads a value back, so that on a GPU the host never waits.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

import torch
from torch import Tensor


def best(scores: Tensor, n_target: int, priority: Tensor | None = None) -> Tensor:
    """The tokens of highest score, the best first: [B, n_target] long, from `scores` [B, N].

    Of equal scores the lowest index comes first; NaN counts as the lowest score.

    priority: [B, N], whole numbers or a mask: those of higher priority come first, whatever they score. So a choice
        [B, N] is filled up to exactly n_target from a second score: `best(second, n_target, chosen)`.
    """
    order = _falling(scores)
    if priority is not None:
        order = order.gather(1, priority.gather(1, order).long().argsort(dim=1, descending=True, stable=True))
    return order[:, :n_target]


def rank_in_group(scores: Tensor, groups: Tensor) -> Tensor:
    """How many tokens of its own group stand before each token: [B, N] long, 0 for the best one of each group.

    The tokens `rank_in_group(scores, groups) < k` are the k best of every group.

    scores: [B, N]; of equal ones the lowest index stands first, NaN last.
    groups: [N] long, the group of each token, 0 to G - 1, none of them empty.
    """
    order = _falling(scores)
    by_group = order.gather(1, groups[order].argsort(dim=1, stable=True))
    # Now group after group, each best first: a token's rank is its distance from where its group begins.
    sizes = torch.zeros(len(groups), dtype=torch.long, device=groups.device).scatter_add(
        0, groups, torch.ones_like(groups)
    )
    begins = (sizes.cumsum(0) - sizes)[groups[by_group]]
    ranks = torch.arange(len(groups), device=groups.device) - begins
    return torch.empty_like(ranks).scatter_(1, by_group, ranks)


def distinct(similarity: Tensor, candidates: Tensor, n_target: int, per_round: int) -> Tensor:
    """Drop duplicates in rounds, until `n_target` of the candidates are left: [B, n_target] long.

    A round splits the candidates by turns into a first and a second half, finds for each of the first half the largest
    similarity to any of the second, and drops those of the first half where it is largest (of equal ones the earlier
    candidate): `per_round` of them, but no more than are too many. What is left of the first half, the most similar
    first, and then the second half are the candidates of the next round.

    Args:
        similarity: [B, N, N], of every two tokens.
        candidates: [B, R] long, each image's distinct tokens; their order decides who is compared with whom.
        n_target: 1 <= n_target <= R.
        per_round: at least 1.
    """
    n_images, n_tokens, _ = similarity.shape
    # The rows of all images one below the other: row i of image b stands at b * N + i.
    rows = similarity.reshape(n_images * n_tokens, n_tokens)
    offsets = torch.arange(0, n_images * n_tokens, n_tokens, device=rows.device)[:, None]
    while (surplus := candidates.shape[1] - n_target) > 0:
        first, second = candidates[:, 0::2], candidates[:, 1::2]
        # Whole rows, hiding the other columns, are read several times faster than single elements.
        hidden = rows.new_full((n_images, n_tokens), -torch.inf).scatter_(1, second, 0.0)
        of_first = rows.index_select(0, (first + offsets).flatten()).reshape(n_images, -1, n_tokens)
        nearest = of_first.add_(hidden[:, None]).amax(dim=2)
        left = _falling(nearest)[:, min(per_round, surplus, first.shape[1]) :]
        candidates = torch.cat([first.gather(1, left), second], dim=1)
    return candidates


def _falling(scores: Tensor) -> Tensor:
    return scores.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).argsort(
        dim=1, descending=True, stable=True
    )
