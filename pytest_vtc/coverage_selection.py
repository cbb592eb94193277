"""Greedy coverage of many images at once: the rule by which SCOPE takes the token that covers most of what is left.

A token covers another as well as the two are alike. Its gain is the sum over all tokens of what it would cover better
than those chosen do: N^2 numbers for all tokens. But gains only fall as tokens are chosen. So on the CPU an old gain
serves as an upper bound, and only tokens whose bound reaches the best new gain are looked at again (Minoux 1978): a few
in a hundred. That is exact to the last bit, as the sum of a row is added up in one order wherever it is computed, and
rounding keeps what is smaller from becoming larger. On other devices every gain is computed anew: to find out which to
skip, the host would have to wait.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from pytest_vtc.array_calls import Array, ArrayCalls, NumpyCalls
from pytest_vtc.greedy_selection import GreedyRule, choose_greedily

Combination = Literal["multi", "add"]

# How many of the largest bounds of an image are looked at first; the best of them decides which others are.
_FIRST_LOOK = 8
# Rows looked at together: their numbers stay in the cache.
_ROWS = 256


def best_covering(
    similarities: Tensor, weights: Tensor, n_target: int, combination: Combination = "multi", lazily: bool | None = None
) -> Tensor:
    """Choose rows of each image one by one, each time the one of largest gain weighed; the lowest index wins a tie.

    The gain of row j is the sum over i of max(0, S[j, i] - c[i]), c[i] being the similarity of i to the row chosen
    that is most like it, 0 at first: negative similarities cover nothing. Facility location, greedily.

    Args:
        similarities: S [B, N, N], finite; not changed.
        weights: [B, N], 0 or more, finite.
        n_target: 1 <= n_target <= N.
        combination: "multi" takes gain * weight, "add" gain + weight.
        lazily: look only at gains that can be the largest; the selection is the same. None: on the CPU.

    Returns:
        [B, n_target] long, each image's distinct, in the order of choice. That of a smaller n_target is its beginning.
    """
    if lazily is None:
        lazily = similarities.device.type == "cpu"
    return choose_greedily((LazyCoverage if lazily else Coverage)(similarities, weights, combination), n_target)


class Coverage(GreedyRule):
    """What a token would cover better than those chosen do, weighed: see `best_covering`. Every gain, in every step."""

    def __init__(
        self, similarities: Tensor, weights: Tensor, combination: Combination, calls: ArrayCalls | None = None
    ) -> None:
        super().__init__(similarities, calls)
        self.squares = similarities.detach().contiguous()
        self.weights = weights.detach().float().contiguous()
        self.multiplies = combination == "multi"
        self.covered = torch.zeros_like(self.weights)
        self.taken = torch.zeros_like(self.weights, dtype=torch.bool)
        # The same memory, as the calls see it.
        self._rows, self._new = self.table(self.squares), self.empty()
        self._covered, self._taken = self.calls.view(self.covered), self.calls.view(self.taken).reshape(-1)

    def scores(self) -> Array:
        gains = torch.stack(
            [
                _row_sums((rows - covered).clamp_(min=0.0))
                for rows, covered in zip(self.squares, self.covered, strict=True)
            ]
        )
        return self.calls.view(self.weighed(gains, self.weights).masked_fill_(self.taken, -math.inf))

    def take(self, chosen: Array, places: Array) -> None:  # noqa: ARG002  not all rules look at all
        self.calls.rows(self._rows, places, self._new)
        self.calls.maximum(self._covered, self._new, self._covered)
        self.calls.put(self._taken, places, True)

    def weighed(self, gains: Tensor, weights: Tensor) -> Tensor:
        return gains.mul_(weights) if self.multiplies else gains.add_(weights)


class LazyCoverage(Coverage):
    """The same on the CPU, by looking at few gains in each step."""

    def __init__(self, similarities: Tensor, weights: Tensor, combination: Combination) -> None:
        super().__init__(similarities, weights, combination, NumpyCalls())
        self._bounds = super().scores()
        self._current = True
        self._n_first = min(_FIRST_LOOK, self.n_tokens)
        self._offsets = np.arange(0, self.n_images * self.n_tokens, self.n_tokens)[:, None]
        self._numbers = torch.empty(2, _ROWS, self.n_tokens)

    def scores(self) -> Array:
        """Of the tokens that can be the best one; of the others what is no less than theirs, and less than the best."""
        bounds = self._bounds
        if not self._current:
            first = torch.from_numpy(bounds).topk(self._n_first, dim=1, sorted=False).indices.numpy()
            first += self._offsets
            best = self._look_at(first.reshape(-1)).reshape(self.n_images, -1).max(1, keepdims=True)
            reach = (bounds >= best).reshape(-1)
            reach[first] = False
            others = np.flatnonzero(reach)
            if len(others):
                self._look_at(others)
            self._current = True
        return bounds

    def take(self, chosen: Array, places: Array) -> None:
        super().take(chosen, places)
        self.calls.put(self._bounds.reshape(-1), places, -math.inf)
        self._current = False

    def _look_at(self, places: Array) -> Array:
        """The scores of the tokens at `places` [M], now: [M]; their bounds become these."""
        gains = torch.empty(len(places))
        for start in range(0, len(places), _ROWS):
            some = places[start : start + _ROWS]
            rows, covered = self._numbers[:, : len(some)]
            self.calls.rows(self._rows, some, rows.numpy())
            self.calls.rows(self._covered, some // self.n_tokens, covered.numpy())
            torch.sum(rows.sub_(covered).clamp_(min=0.0), dim=1, out=gains[start : start + _ROWS])
        scores = self.weighed(gains, self.weights.view(-1)[torch.from_numpy(places)]).numpy()
        # Where all but a few tokens are taken, some that are have been looked at.
        scores[self._taken[places]] = -math.inf
        self._bounds.reshape(-1)[places] = scores
        return scores


def _row_sums(rows: Tensor) -> Tensor:
    """[N] from `rows` [N, N], which are written over."""
    return rows.sum(dim=1) if rows.device.type == "cpu" else sum_by_halves(rows, dim=1)


def sum_by_halves(terms: Tensor, dim: int) -> Tensor:
    """The sum of `terms` along `dim`, which is dropped; they are written over. Its length alone decides the order."""
    while (n := terms.shape[dim]) > 1:
        half = n // 2
        terms.narrow(dim, 0, half).add_(terms.narrow(dim, n - half, half))
        terms = terms.narrow(dim, 0, n - half)
    return terms.squeeze(dim)
