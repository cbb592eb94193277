"""MustDrop's first stage: windows of like tokens become one after the first layer of the vision encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import (
    Compressor,
    EncoderReducer,
    EncoderStep,
    Kept,
    Merge,
    Stage,
    Tiles,
    unit_rows,
)


@dataclass(frozen=True)
class MustDrop(Compressor):
    """MustDrop (Liu et al., 2024, arXiv 2411.10803), its encoder stage: spatial merging.

    After the first layer of the encoder, the grid is cut into windows of `window` x `window` tokens. How alike a window
    is, is the mean cosine of its pairs; the most alike ones become one token each, their mean. The tokens then stand,
    also for the language model: merged ones by falling likeness, then the others in raster order. (Its other stages
    drop tokens within the language model, by their attention.)

    window: side of a window, in tokens; 3 in the authors' code.
    threshold: merge every window at least so much alike (0.8 in the authors' code), and more if the budget asks for it;
        None: only as many as the budget asks for.

    The sources differ:

    - The budget. In the authors' code (github.com/liuting20/MustDrop) the threshold alone decides how many tokens are
      left. Here windows are merged in the same order until the budget is reached: of the last one only as many tokens
      as are too many, those most like the others in it. With a threshold fewer may be left, none without.
    - Fewer tokens than windows. The authors' code ends where all windows are merged, at a ninth of the tokens. Here
      what they became is a grid again, of which windows are merged by the same rule.
    - The grid. The authors' code wants a square whose side the window divides; here windows at the right and lower edge
      are smaller. A window of one token is none.
    - Zero rows have cosine 0 to every row, in both.
    """

    name: ClassVar[str] = "mustdrop"
    description: ClassVar[str] = "merges windows of like tokens early in the encoder"
    reference: ClassVar[str] = "MustDrop, 2024, arXiv 2411.10803"
    year: ClassVar[int] = 2024
    stage: ClassVar[Stage] = "encoder"
    substitutes: ClassVar[Mapping[str, str]] = {"inside": "windows of projected tokens are merged instead"}
    exact: ClassVar[bool] = False
    tiles: ClassVar[Tiles] = "apart"

    window: int = 3
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ValueError(f"window is {self.window}; a window has a side of at least 2 tokens")
        if self.threshold is not None and not -1 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; a mean cosine is from -1 to 1")

    def compress(
        self,
        features: Tensor,
        n_target: int,
        *,
        grid: tuple[int, int],
        inside: Callable[[EncoderReducer], Kept] | None = None,
        **_ctx: Any,
    ) -> Kept:
        if inside is not None:
            return inside(_AfterFirstLayer(self, n_target))
        merge = self.merge(features, grid, n_target)
        return Kept(merge.means(features), merge.targets, merge.means)

    def merge(self, rows: Tensor, grid: tuple[int, int], n_target: int) -> Merge:
        """Which of `rows` [N, D], the tokens of a grid, become one, so that at most `n_target` are left."""
        merge, threshold = Merge.nothing(len(rows), rows.device), self.threshold
        while (windows := _Windows(merge.means(rows), grid, self.window)).n_windows > n_target:
            merge = merge.then(windows.all_merged())
            grid, threshold = windows.coarse_grid, None
        return merge.then(windows.merged(n_target, threshold))


class _AfterFirstLayer(EncoderReducer):
    def __init__(self, compressor: MustDrop, n_target: int) -> None:
        self._compressor, self._n_target = compressor, n_target

    def after_block(self, step: EncoderStep) -> Merge | None:
        if step.layer > 0:
            return None
        first = int(step.has_cls)
        merge = self._compressor.merge(step.rows[first:], step.grid, self._n_target)
        if not first:
            return merge
        cls = merge.group.new_zeros(1)
        return Merge(torch.cat([cls, merge.group + 1]), merge.n_rows + 1, torch.cat([cls, merge.targets + 1]))


class _Windows:
    """The windows of one grid of tokens, numbered in raster order, and how alike each is.

    rows: [N, D]. side: of a window; those at the right and lower edge have what is left.
    """

    def __init__(self, rows: Tensor, grid: tuple[int, int], side: int) -> None:
        (n_rows, n_columns), device = grid, rows.device
        self.coarse_grid = (-(-n_rows // side), -(-n_columns // side))
        self.n_windows = self.coarse_grid[0] * self.coarse_grid[1]
        row, column = torch.arange(n_rows, device=device)[:, None], torch.arange(n_columns, device=device)
        self._window_of = (row // side * self.coarse_grid[1] + column // side).flatten()
        # [W, side * side]: the tokens of each window in raster order, then N for those it lacks.
        place = (row % side * side + column % side).flatten()
        self._tokens = torch.full((self.n_windows, side * side), len(rows), device=device)
        self._tokens[self._window_of, place] = torch.arange(len(rows), device=device)
        self._tokens = self._tokens.sort(dim=1).values
        self._sizes = (self._tokens < len(rows)).sum(dim=1)
        unit = torch.cat([unit_rows(rows), rows.new_zeros(1, rows.shape[1], dtype=torch.float32)])[self._tokens]
        alike = unit @ unit.transpose(1, 2)
        alike.diagonal(dim1=1, dim2=2).zero_()
        self._alike = alike.sum(dim=2)  # [W, side * side]: how much each token is like the others of its window
        pairs = self._sizes * (self._sizes - 1)
        likeness = self._alike.sum(dim=1) / pairs.clamp(min=1)
        self._likeness = likeness.masked_fill(self._sizes < 2, -torch.inf)

    @property
    def _centres(self) -> Tensor:
        """[W]: of each window the token in its middle."""
        return self._tokens.gather(1, (self._sizes // 2)[:, None])[:, 0]

    def all_merged(self) -> Merge:
        """One token for each window, in raster order."""
        return Merge(self._window_of, self.n_windows, self._centres)

    def merged(self, n_target: int, threshold: float | None) -> Merge:
        """The most alike windows merged: down to `n_target` tokens, and all those that are as alike as `threshold`.

        The merged windows first, by falling likeness, then the tokens that are left.
        """
        n_tokens = len(self._window_of)
        surplus = n_tokens - n_target
        order = self._likeness.argsort(descending=True, stable=True)
        fewer = (self._sizes - 1)[order]
        n_merged = int(((fewer.cumsum(0) <= surplus) & (fewer > 0)).sum())
        surplus -= int(fewer[:n_merged].sum())
        if threshold is not None:
            alike = int((self._likeness >= threshold).sum())
            n_merged, surplus = max(n_merged, alike), 0 if alike > n_merged else surplus
        rank = order.argsort()[self._window_of]
        group = torch.where(rank < n_merged, rank, -1)
        targets = self._centres[order[:n_merged]]
        if surplus > 0:
            # Of the next window just as many as are too many.
            window = order[n_merged]
            closest = self._alike[window].masked_fill(self._tokens[window] == n_tokens, -torch.inf)
            some = self._tokens[window][closest.argsort(descending=True, stable=True)[: surplus + 1]]
            group[some] = n_merged
            targets = torch.cat([targets, some[:1]])
        left = (group < 0).nonzero()[:, 0]
        group[left] = torch.arange(len(targets), len(targets) + len(left), device=group.device)
        return Merge(group, len(targets) + len(left), torch.cat([targets, left]))
