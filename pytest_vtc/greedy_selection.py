"""Greedy selection in many images at once: one loop, and a rule that says which token each image takes next.

A rule keeps a score of every token, is told what was chosen, and answers again. Here are farthest-first (DivPrune and
FPS), the same weighed against importance, and conditional diversity (CDPruner); `coverage_selection` holds SCOPE's. A
new greedy method is a rule of its own, or one of these with other ingredients.

What one image gets does not depend on the images beside it, bit for bit, and on a GPU the host never waits: nothing
here reads a value back.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from pytest_vtc.array_calls import Array, ArrayCalls, calls_for

# What is left of a token's similarity to itself, 1, when it repeats tokens already chosen is rounding below this.
_NOTHING_LEFT = 1e-5


class GreedyRule(ABC):
    """What a greedy selection goes by, in B images of N tokens each. Made for one selection, and used up by it.

    Its arrays are NumPy's on the CPU and tensors elsewhere; `calls` works on either. Tokens of all images are one below
    the other where they are rows of a table: token i of image b stands at row, or place, b * N + i.
    """

    def __init__(self, square: Tensor, calls: ArrayCalls | None = None) -> None:
        """square: [B, N, N], what the rule goes by. calls: by default those for its device."""
        self.n_images, self.n_tokens, _ = square.shape
        self.device = square.device
        self.calls = calls or calls_for(square.device)

    def empty(self) -> Array:
        """An array [B, N] float32 of whatever is there."""
        return self.calls.view(torch.empty(self.n_images, self.n_tokens, device=self.device))

    def table(self, square: Tensor) -> Array:
        """The rows of all images, [B * N, N], of a tensor [B, N, N]; not a copy unless it must be."""
        return self.calls.view(square).reshape(self.n_images * self.n_tokens, self.n_tokens)

    @abstractmethod
    def scores(self) -> Array:
        """[B, N] float32: the larger, the sooner taken, the lowest index on ties; -inf for what was taken."""

    @abstractmethod
    def take(self, chosen: Array, places: Array) -> None:
        """One more token is chosen in each image. chosen: [B] long, its index; places: [B] long, its place."""


def choose_greedily(rule: GreedyRule, n_target: int, seeds: Tensor | None = None) -> Tensor:
    """Choose tokens of each image one by one, each time the one that `rule` finds best.

    Args:
        rule: a fresh one.
        n_target: how many to choose in all, seeds included, 1 <= n_target <= N.
        seeds: [B, S] long, for each image distinct tokens chosen before the rule is asked, in this order; those beyond
            n_target are left out.

    Returns:
        [B, n_target] long, each image's distinct, in the order of choice. That of a smaller n_target is its beginning.
    """
    calls, n_images = rule.calls, rule.n_images
    order = torch.empty(n_target, n_images, dtype=torch.long, device=rule.device)
    n_seeds = 0
    if seeds is not None:
        n_seeds = min(seeds.shape[1], n_target)
        order[:n_seeds] = seeds[:, :n_seeds].T
    offsets = torch.arange(0, n_images * rule.n_tokens, rule.n_tokens, device=rule.device)
    places, offsets, slots = calls.view(torch.empty_like(offsets)), calls.view(offsets), calls.view(order)
    for step in range(n_target):
        slot = slots[step]
        if step >= n_seeds:
            calls.argmax(rule.scores(), slot)
        calls.add(slot, offsets, places)
        rule.take(slot, places)
    return order.T


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
    rule = FarthestFirst(distances) if importance is None else WeighedFarthestFirst(distances, importance, alpha)
    return choose_greedily(rule, n_target, seeds)


class FarthestFirst(GreedyRule):
    """The distance to the nearest row chosen: greedy max-min diversity. Needs a seed.

    distances: [B, N, N], finite and not negative; not changed.
    """

    def __init__(self, distances: Tensor, calls: ArrayCalls | None = None) -> None:
        super().__init__(distances, calls)
        self._rows = self.table(distances)
        self._nearest, self._new = self.empty(), self.empty()
        self._nearest[:] = math.inf
        # Where what was taken is marked.
        self._marked = self._nearest.reshape(-1)

    def scores(self) -> Array:
        return self._nearest

    def take(self, chosen: Array, places: Array) -> None:  # noqa: ARG002  not all rules look at all
        self.calls.rows(self._rows, places, self._new)
        self.calls.minimum(self._nearest, self._new, self._nearest)
        self.calls.put(self._marked, places, -math.inf)


class WeighedFarthestFirst(FarthestFirst):
    """alpha * importance + (1 - alpha) * d / max d, d being the distance to the nearest row chosen. Needs a seed.

    distances: as in `FarthestFirst`. importance: [B, N], 0 to 1. alpha: 0 to 1.
    """

    def __init__(self, distances: Tensor, importance: Tensor, alpha: float, calls: ArrayCalls | None = None) -> None:
        super().__init__(distances, calls)
        self._weighted = self.calls.view(importance.float() * alpha)
        self._score, self._share = self.empty(), 1.0 - alpha
        self._tiny = self.calls.view(torch.full((1, 1), torch.finfo(torch.float32).tiny, device=self.device))
        if alpha == 1:
            # No share of the distances, not even of infinite ones, which mark what is taken: 0 * inf is NaN.
            self._marked = self._weighted.reshape(-1)

    def scores(self) -> Array:
        largest = self.calls.row_max(self._nearest)
        # Where every row left repeats a chosen one, `nearest` is all 0 and importance alone decides.
        self.calls.maximum(largest, self._tiny, largest)
        self.calls.multiply(self._nearest, self._share, self._score)
        self._score /= largest
        self._score += self._weighted
        return self._score


class ConditionalDiversity(GreedyRule):
    """How much a token adds to the determinant of the chosen tokens' kernel, diag(r) S diag(r): greedy MAP of a DPP.

    That is r^2 times what is left of the token's own similarity, S_ii, when what it shares with those chosen is taken
    out: by Cholesky factorisation of S, one row of the factor in each step (Chen, Zhang, Zhou, NeurIPS 2018, arXiv
    1709.05135). Of a token that repeats chosen ones, and of all when their number has reached the rank of S, a
    hundred-thousandth is left: the selection goes on, by r, to any number.

    similarities: S [B, N, N], positive semi-definite up to rounding, S_ii 1 (of a zero row 0); not changed.
    relevance: r [B, N], 0 or more.
    n_target: how many will be taken, at most.
    """

    def __init__(self, similarities: Tensor, relevance: Tensor, n_target: int, calls: ArrayCalls | None = None) -> None:
        super().__init__(similarities, calls)
        view = self.calls.view
        self._rows = self.table(similarities)
        self._left = view(similarities.diagonal(dim1=1, dim2=2).clamp(min=_NOTHING_LEFT))
        self._weights = view(relevance.float().square())
        self._row, self._least, self._scores = self.empty(), self.empty(), self.empty()
        self._least[:] = _NOTHING_LEFT
        # Row i of the factor of image b is row b * n_target + i of this table.
        self._table = torch.empty(self.n_images * n_target, self.n_tokens, device=self.device)
        self._factor = view(self._table).reshape(self.n_images, n_target, self.n_tokens)
        self._table_rows = view(torch.arange(len(self._table), device=self.device)).reshape(self.n_images, n_target)
        self._images = view(torch.arange(self.n_images, device=self.device))
        self._n_taken = 0

    def scores(self) -> Array:
        self.calls.multiply(self._left, self._weights, self._scores)
        return self._scores

    def take(self, chosen: Array, places: Array) -> None:
        row, left, n_taken = self._row, self._left, self._n_taken
        self.calls.rows(self._rows, places, row)
        if n_taken:
            shared = self._factor[self._images, :n_taken, chosen]
            row -= self.calls.weighted_sums(shared, self._table, self._table_rows[:, :n_taken])
        pivot = left.reshape(-1)[places]
        # To go on with what rounding left of a token would only blow it up.
        row *= ((pivot > _NOTHING_LEFT) / self.calls.square_root(pivot))[:, None]
        self._factor[:, n_taken] = row
        self._n_taken += 1
        row *= row
        left -= row
        self.calls.maximum(left, self._least, left)
        # What is left is more than 0, so this keeps what was taken out.
        self.calls.put(self._weights.reshape(-1), places, -math.inf)


def conditionally_diverse(similarities: Tensor, relevance: Tensor, n_target: int) -> Tensor:
    """Greedy MAP of a determinantal point process: see `ConditionalDiversity`.

    Args:
        similarities: [B, N, N], positive semi-definite up to rounding; not changed.
        relevance: [B, N], 0 or more.
        n_target: 1 <= n_target <= N.

    Returns:
        [B, n_target] long, each image's distinct, in the order of choice. That of a smaller n_target is its beginning.
    """
    return choose_greedily(ConditionalDiversity(similarities, relevance, n_target), n_target)
