"""Compressors that keep whole grids."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.compression import Kept
from pytest_vtc.conformance.made_up import MadeUpImage
from tests.compressors.shipped import compressor_of

every_grid = pytest.mark.parametrize("name", ["pool", "downsample"])


@every_grid
@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 7), columns=st.integers(1, 7))
def test_a_grid_that_fits_as_it_is_stays_as_it_is(name: str, rows: int, columns: int) -> None:
    compressor, image = compressor_of(name), MadeUpImage.drawn(rows, columns, 5)
    kept = compressor.compress(image.features.clone(), rows * columns, **image.context(compressor))
    assert isinstance(kept, Kept)
    assert torch.equal(kept.features, image.features)
    assert kept.positions is not None
    assert kept.positions.tolist() == list(range(rows * columns))


@every_grid
def test_what_keeps_whole_grids_says_that_it_may_keep_fewer(name: str) -> None:
    assert not compressor_of(name).exact
