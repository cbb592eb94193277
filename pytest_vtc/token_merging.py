"""Merging tokens of one image: who joins whom, and the weighted means that come of it.

Sums over the members of a group are taken group by group, not scattered: on no device does their order depend on
chance. Nothing here reads a value back, so that on a GPU the host never waits.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_vtc.token_similarity import unit_rows


@dataclass(frozen=True, eq=False)
class Merge:
    """Which of P rows are made one.

    group: [P] long, the output row that each input row goes to; every output row gets at least one.
    n_rows: how many output rows there are.
    targets: [n_rows] long, the input row that each output row is built around: the one that the others came to.
    """

    group: Tensor
    n_rows: int
    targets: Tensor

    @classmethod
    def nothing(cls, n_rows: int, device: torch.device | None = None) -> Merge:
        """Every row stays as it is, where it is."""
        every = torch.arange(n_rows, device=device)
        return cls(every, n_rows, every)

    def then(self, following: Merge) -> Merge:
        """First this, then `following` of what came out."""
        return Merge(following.group[self.group], following.n_rows, self.targets[following.targets])

    def in_raster_order(self) -> Merge:
        """The same groups, the output rows in the order of their targets."""
        order = self.targets.argsort()
        return Merge(order.argsort()[self.group], self.n_rows, self.targets[order])

    def means(self, rows: Tensor, sizes: Tensor | None = None) -> Tensor:
        """Each output row the mean of its group: rows [P, C] of any float dtype to [n_rows, C] of the same.

        sizes: [P], the weights in the mean: how many tokens each row already stands for; one if None.
        """
        sizes = torch.ones(len(rows), device=rows.device) if sizes is None else sizes.to(rows.device).float()
        group = self.group.to(rows.device)
        totals = group_sums(sizes[:, None], group, self.n_rows)[:, 0]
        # The shares are taken before the sum, so that huge rows stay in range.
        return group_sums(rows.float(), group, self.n_rows, sizes / totals[group]).to(rows.dtype)


def bipartite_matching(metric: Tensor, r: int, class_token: bool = False) -> Merge:
    """ToMe's bipartite soft matching: the r most similar pairs of an even and an odd row become one.

    Each row of even index is paired with the odd row of largest cosine similarity (the lowest index on ties); of these
    pairs the r most similar are merged (the lowest even index on ties). Several even rows may join one odd row. A zero
    row has similarity 0 to every row.

    Args:
        metric: [P, d], what similarity is measured on: the keys, mean over heads, or the rows themselves.
        r: by how many rows to reduce; more than half of the rows (of those without the class token) becomes half.
        class_token: the first row is a class token, which is never merged into another row.

    Returns:
        The output rows are the even rows that are left, then all odd rows. The even ones stand in the order of falling
        similarity; with a class token, which so stays first, in raster order. With r = 0 every row stays in its place.

    Source: Bolya et al., Token Merging, ICLR 2023, section 3 and appendix D; facebookresearch/ToMe, tome/merge.py.
    """
    n_rows = len(metric)
    r = min(r, (n_rows - class_token) // 2)
    if r <= 0:
        return Merge.nothing(n_rows, metric.device)
    unit = unit_rows(metric)
    similarity = unit[0::2] @ unit[1::2].T
    if class_token:
        similarity[0] = -torch.inf
    best = similarity.argmax(dim=1)
    falling = similarity.amax(dim=1).argsort(descending=True, stable=True)
    merged, left = falling[:r], falling[r:]
    if class_token:
        left = left.sort().values
    n_left, n_odd = len(left), n_rows // 2
    group = torch.empty(n_rows, dtype=torch.long, device=metric.device)
    group[1::2] = torch.arange(n_left, n_left + n_odd, device=metric.device)
    evens = torch.empty(n_rows - n_odd, dtype=torch.long, device=metric.device)
    evens[left] = torch.arange(n_left, device=metric.device)
    evens[merged] = n_left + best[merged]
    group[0::2] = evens
    odds = torch.arange(1, n_rows, 2, device=metric.device)
    return Merge(group, n_left + n_odd, torch.cat([2 * left, odds]))


def merge_weighted(rows: Tensor, sizes: Tensor, merge: Merge) -> tuple[Tensor, Tensor]:
    """Merge rows that already stand for several tokens each, as ToMe does from layer to layer.

    Args:
        rows: [P, C], of any float dtype; summed in float32.
        sizes: [P], how many tokens each row stands for, at least one.
        merge: of P rows.

    Returns:
        The size-weighted means [n_rows, C] in the dtype of `rows`, and the sizes [n_rows] in that of `sizes`.
    """
    summed = group_sums(sizes.float()[:, None], merge.group, merge.n_rows)[:, 0]
    return merge.means(rows, sizes), summed.to(sizes.dtype)


def matching_rounds(rows: Tensor, n_target: int) -> Merge:
    """As many rounds of `bipartite_matching` as bring `rows` [N, D] down to `n_target`, 1 <= n_target <= N.

    A round at most halves the number of rows; its similarities are those of the rows that the rounds before it made,
    weighted by their sizes, which makes them the plain means of their tokens.
    """
    merge = Merge.nothing(len(rows), rows.device)
    sizes = torch.ones(len(rows), device=rows.device)
    while merge.n_rows > n_target:
        following = bipartite_matching(rows, merge.n_rows - n_target)
        rows, sizes = merge_weighted(rows, sizes, following)
        merge = merge.then(following)
    return merge


def group_sums(rows: Tensor, group: Tensor, n_rows: int, weights: Tensor | None = None) -> Tensor:
    """The sum of each group's rows, in the order of the rows: [n_rows, C] float32; of an empty group 0.

    rows: [P, C] float32. group: [P] long, the output row of each. weights: [P] float32, by which rows are multiplied.
    """
    order = group.argsort(stable=True)
    starts = torch.searchsorted(group[order], torch.arange(n_rows, device=group.device))
    in_order = None if weights is None else weights[order]
    return torch.nn.functional.embedding_bag(order, rows, starts, mode="sum", per_sample_weights=in_order)


def most_similar(metric: Tensor, targets: Tensor) -> Tensor:
    """For each row of `metric` [M, d] the row of `targets` [T, d] of largest cosine similarity: [M] long.

    The lowest index wins a tie; a zero row has similarity 0 to every row.
    """
    return (unit_rows(metric) @ unit_rows(targets).T).argmax(dim=1)


def membership(group: Tensor, n_rows: int) -> Tensor:
    """[n_rows, P] float32, 1 where input row j is of output row i; from `group` [P] long."""
    return (group == torch.arange(n_rows, device=group.device)[:, None]).float()


def all_but(chosen: Tensor, n_tokens: int) -> Tensor:
    """The indices below `n_tokens` that are not among `chosen` [M] long, which are distinct: [n_tokens - M], rising."""
    taken = torch.zeros(n_tokens, dtype=torch.uint8, device=chosen.device).index_fill_(0, chosen, 1)
    return taken.argsort(stable=True)[: n_tokens - len(chosen)]


def linear(weights: Tensor) -> Callable[[Tensor], Tensor]:
    """`weights` [M, N] as what `Kept.merge` wants to be: rows [N, E] of any float dtype, on any device, to [M, E]."""
    return lambda rows: (weights.to(rows.device) @ rows.float()).to(rows.dtype)
