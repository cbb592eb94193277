"""Cuts a sweep into parts for a cluster's job array: by image, evenly, and the same on every machine."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pytest_vtc.option_values import OptionError, Shard
from pytest_vtc.schedule import image_numbers

if TYPE_CHECKING:
    from pytest_vtc.sweep import Block


def orders_of_shard(blocks: Sequence[Block], shard: Shard) -> NDArray[np.int64]:
    """The places in the sweep of a shard's cases, ascending. An image, with all its questions and cells, is in one.

    Images go one by one to the shard that has the fewest cases so far, so shards differ by one image at most.
    Raises OptionError if there are more shards than images: one of them would be empty.
    """
    loads = [(0, index) for index in range(1, shard.of + 1)]
    orders: list[NDArray[np.int64]] = []
    n_images = 0
    for block in blocks:
        images, width = image_numbers(block.data.samples), len(block.cells)
        home = np.zeros(int(images.max(initial=-1)) + 1, dtype=np.int64)
        n_images += len(home)
        for image, n_samples in enumerate(np.bincount(images, minlength=len(home)).tolist()):
            load, home[image] = loads[0]
            heapq.heapreplace(loads, (load + n_samples * width, int(home[image])))
        rows = np.flatnonzero(home[images] == shard.index)
        orders.append((block.start + rows[:, None] * width + np.arange(width)).ravel())
    if n_images < shard.of:
        raise OptionError(f"--vtc-shard {shard}: there are {n_images} images, so at most {n_images} shards")
    return np.concatenate(orders)
