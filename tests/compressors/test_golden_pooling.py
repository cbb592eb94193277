"""Pooled tokens are those of UniPruneBench's pooling; see tests/goldens/README.md."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor

from pytest_vtc.compression import Kept
from pytest_vtc.compressors.pool import Mode, Pool, pool_grid
from tests.compressors.goldens import files, load, of_the_shipped_files, tensor

Record = Callable[[str, object], None]

POOLED = [
    (file, key)
    for file in files("uniprune_pre")
    if "/pool_" in file
    for key in load(file)
    if key.startswith(("avg_", "max_"))
]
WHOLE_SHAPE = [(file, key) for file, key in POOLED if "2tiles" in file]
OTHER_SHAPE = [(file, key) for file, key in POOLED if "nonsquare" in file]


def asked(key: str) -> tuple[Mode, int]:
    """Mode and side of the square grid that an array is of."""
    mode, _, n_pooled = key.partition("_")
    return cast(Mode, mode), int(int(n_pooled) ** 0.5)


def assert_same(pooled: Tensor, original: Tensor) -> None:
    torch.testing.assert_close(pooled, original, atol=1e-4, rtol=1e-4)


@of_the_shipped_files
def test_the_number_of_compared_arrays_is_known() -> None:
    assert Counter(key for _, key in WHOLE_SHAPE) == dict.fromkeys(
        [f"{m}_{n}" for m in ("avg", "max") for n in (4, 16, 25)], 1
    )
    assert [key for _, key in OTHER_SHAPE] == ["avg_16"]
    assert len(POOLED) == 7


@pytest.mark.parametrize(("file", "key"), WHOLE_SHAPE)
def test_a_square_of_a_square_grid(file: str, key: str, record_property: Record) -> None:
    mode, side = asked(key)
    for tile, pooled in zip(tensor(file, "tokens"), tensor(file, key), strict=True):
        kept = Pool(mode=mode).compress(tile, side * side, grid=(16, 16))
        assert isinstance(kept, Kept)
        assert_same(kept.features, pooled)
    record_property("golden", f"pool_{mode}")


@pytest.mark.parametrize(("file", "key"), OTHER_SHAPE)
def test_a_square_of_a_grid_of_another_shape(file: str, key: str, record_property: Record) -> None:
    # The compressor keeps the shape of the grid and would never ask for this.
    mode, side = asked(key)
    assert_same(pool_grid(tensor(file, "tokens"), (6, 10), (side, side), mode), tensor(file, key))
    record_property("golden", f"pool_{mode}")
