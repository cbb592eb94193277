"""Which cases are computed together: windows over a whole sweep, at a few bytes a case. Knows no engine and no pytest.

A case is its `order`, its place in the sweep, throughout.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pytest_vtc.datasets.base import Sample
    from pytest_vtc.sweep import Block, Sweep

WINDOW_CASES = 512
WINDOW_IMAGES = 16
"""How large a window is before a model was seen at work, and what a worker of pytest-xdist is sent at once."""

_SLICE = 4096


def cautious_window(n_done: int) -> int:
    """The most cases of a window in a run that may end any time, after so many.

    What is computed in vain, beyond the decision, is then at most an eighth of what was needed, or some full batches.
    """
    return max(64, n_done // 8)


class Schedule:
    """What a session has to run, has run, and runs next.

    orders: of its items; a case that two test functions measure is there twice.
    """

    def __init__(self, sweep: Sweep, orders: Iterable[int]) -> None:
        self._sweep = sweep
        counts = np.bincount(np.fromiter(orders, dtype=np.int64), minlength=sweep.n_cases)
        self.remaining: NDArray[np.uint8] = np.minimum(counts, 255).astype(np.uint8)
        """Items still to ask for each case."""
        self.selected: NDArray[np.bool_] = self.remaining > 0
        self._waiting: NDArray[np.bool_] = self.selected.copy()
        self._left_out: NDArray[np.bool_] = np.zeros(sweep.n_cases, dtype=np.bool_)
        self._groups: dict[int, NDArray[np.int32]] = {}

    def window(self, first: int, max_cases: int, max_images: int) -> list[int]:
        """`first` and the cases that share its window: those still to come of its model and dataset.

        In the sweep's order, whatever order the items run in, so that cases of one image belong together also if a
        plugin has shuffled the items; from `first` on, and round to the start. At most max_images images and max_cases
        cases; an image is split only if it alone has more cases than that.
        """
        block = self._sweep.block(first)
        groups, width = self._groups_of(block), len(block.cells)
        own = int(groups[(first - block.start) // width])
        orders, seen, whole = [first], {own}, 0
        last = own
        for order in self._waiting_from(first, block):
            group = int(groups[(order - block.start) // width])
            if group != last:
                last, whole = group, len(orders)
                seen.add(group)
                if len(seen) > max_images:
                    return orders
            if len(orders) == max_cases:
                return orders[:whole] if whole else orders
            orders.append(order)
        return orders

    def upcoming(self, window: Sequence[int]) -> Iterator[int]:
        """The cases that windows after this one will hold, where nothing intervenes, in their order."""
        in_window = {*window}
        block = self._sweep.block(window[-1])
        return (order for order in self._waiting_from(window[-1], block) if order not in in_window)

    def asked(self, order: int) -> None:
        """An item asks for its case."""
        if self.remaining[order]:
            self.remaining[order] -= 1

    def ready(self, orders: Iterable[int]) -> None:
        """The results of these cases wait for their items: no window takes them."""
        self._waiting[list(orders)] = False

    def delivered(self, order: int) -> None:
        """The case's result was handed out; another item may ask for it again."""
        self._waiting[order] = self.remaining[order] > 0

    def assign(self, orders: Iterable[int], ready: Iterable[int]) -> None:
        """On a worker: `orders` is what it has been given to run from now on, and nothing else remains."""
        self.remaining[:] = 0
        np.add.at(self.remaining, np.fromiter(orders, dtype=np.int64), 1)
        np.greater(self.remaining, 0, out=self._waiting)
        self.ready(ready)

    def n_done(self, block: Block) -> int:
        """Selected cases of a block that items have asked for."""
        mine = slice(block.start, block.stop)
        return int((self.selected[mine] & (self.remaining[mine] == 0) & ~self._left_out[mine]).sum())

    def largest_image(self, block: Block) -> int:
        """The most cases that an image of a block has."""
        return int(np.bincount(self._groups_of(block)).max()) * len(block.cells)

    def drop(self, orders: Iterable[int]) -> None:
        """Items are left out: nobody is going to ask for these cases any more. They stay among the selected."""
        gone = list(orders)
        self._left_out[gone] = True
        self.remaining[gone] = 0
        self._waiting[gone] = False

    def needs_partner(self, stock: int) -> bool:
        """Whether a case is still to come whose stock partner is `stock`."""
        return bool(self.remaining[stock : stock + len(self._sweep.block(stock).cells)].any())

    def of_image(self, order: int) -> NDArray[np.intp]:
        """The selected cases on the image of a case, model and dataset the same."""
        block = self._sweep.block(order)
        groups, width = self._groups_of(block), len(block.cells)
        samples = np.flatnonzero(groups == groups[(order - block.start) // width])
        orders = (block.start + samples[:, None] * width + np.arange(width)).ravel()
        return orders[self.selected[orders]]

    def same_image(self, order: int, other: int) -> bool:
        """Whether two cases of one model and dataset are on one image."""
        block = self._sweep.block(order)
        groups, width = self._groups_of(block), len(block.cells)
        return bool(groups[(order - block.start) // width] == groups[(other - block.start) // width])

    def samples(self, block: Block) -> Iterator[Sample]:
        """The selected samples of a block, in order."""
        return (block.data.samples[row] for row in self._rows(block))

    def one_of_each_image(self, block: Block) -> Iterator[Sample]:
        """The first of the selected samples on each image of a block, in order."""
        groups = self._groups_of(block)
        seen: set[int] = set()
        for row in self._rows(block):
            if (group := int(groups[row])) not in seen:
                seen.add(group)
                yield block.data.samples[row]

    def expected(self) -> dict[str, int]:
        """Cell id -> number of its selected cases, for a stock cell also those that come along as partners."""
        numbers: dict[str, int] = {}
        for block in self._sweep.blocks:
            grid = self._grid(block)
            with_partners = [int(grid.any(axis=1).sum()), *grid.sum(axis=0).tolist()[1:]]
            numbers |= {cell.id: n for cell, n in zip(block.cells, with_partners, strict=True) if n}
        return numbers

    def n_partners(self) -> int:
        """How many stock cases come along that were not selected themselves."""
        grids = map(self._grid, self._sweep.blocks)
        return sum(int((grid.any(axis=1) & ~grid[:, 0]).sum()) for grid in grids)

    def images(self, block: Block) -> list[int]:
        """How many samples the run has on each image of a block, of its samples that a compressor is run on.

        Of the cell that has the most: what of it can be compared with stock.
        """
        grid = self._grid(block)[:, 1:]
        if not grid.any():
            return []
        rows = grid[:, grid.sum(axis=0).argmax()]
        sizes = np.bincount(self._groups_of(block)[rows])
        return sizes[sizes > 0].tolist()

    def _rows(self, block: Block) -> list[int]:
        return np.flatnonzero(self._grid(block).any(axis=1)).tolist()

    def _grid(self, block: Block) -> NDArray[np.bool_]:
        return self.selected[block.start : block.stop].reshape(len(block.data.samples), len(block.cells))

    def _groups_of(self, block: Block) -> NDArray[np.int32]:
        if block.start not in self._groups:
            self._groups[block.start] = image_numbers(block.data.samples)
        return self._groups[block.start]

    def _waiting_from(self, first: int, block: Block) -> Iterator[int]:
        for start, stop in ((first + 1, block.stop), (block.start, first)):
            size = _SLICE
            while start < stop:
                end = min(start + size, stop)
                yield from (start + np.flatnonzero(self._waiting[start:end])).tolist()
                start, size = end, 2 * size


def image_numbers(samples: Iterable[Sample]) -> NDArray[np.int32]:
    """The number of each sample's image group [S], from 0 in order of appearance. Without a group it stands alone."""
    numbers: dict[tuple[str, str], int] = {}
    keys = ((sample.group, "" if sample.group else sample.id) for sample in samples)
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int32)


def describe_partners(schedule: Schedule) -> list[str]:
    """A header line on the stock partners that come along with what was selected, if any do."""
    n = schedule.n_partners()
    if not n:
        return []
    come = "partner comes" if n == 1 else "partners come"
    return [f"vtc: {n:,} stock {come} along with the selected cases, from the store where it has them"]
