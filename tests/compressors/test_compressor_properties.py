"""What every shipped compressor promises, whatever the features look like."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressed import Compressed, run_compressor
from pytest_vtc.compression import Compressor, Kept
from pytest_vtc.discovery import known_compressors, resolve, shipped_names

SPECS = [
    *shipped_names(),
    "divprune(start='farthest_pair')",
    "divprune_hybrid(alpha=0.0)",
    "divprune_hybrid(alpha=1.0)",
    "random(seed=7)",
]
SELECTIONS = [spec for spec in SPECS if known_compressors()[spec.partition("(")[0]].cls.exact]


def compressor_of(spec: str) -> Compressor:
    (compressor,) = resolve([spec])
    return compressor


def context(rows: int, columns: int, width: int) -> dict[str, Any]:
    """A context with everything a shipped compressor reads; a fresh generator, as the engine gives one."""

    def encode(rows: int, columns: int) -> Kept:
        return Kept(torch.full((rows * columns, width), 0.5))

    return {"grid": (rows, columns), "generator": torch.Generator().manual_seed(3), "encode": encode}


@st.composite
def images(draw: st.DrawFn) -> tuple[Tensor, int, int]:
    """Features [rows * columns, D] of any scale, some rows repeated, some zero; with rows and columns."""
    rows, columns, width = draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.integers(1, 10))
    n = rows * columns
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    features = torch.randn(n, width, generator=generator) * 10.0 ** draw(st.integers(-30, 30))
    indices = st.lists(st.integers(0, n - 1), max_size=n)
    for i in draw(indices):
        features[i] = features[draw(st.integers(0, n - 1))]
    features[draw(indices)] = 0.0
    return features, rows, columns


@pytest.mark.parametrize("spec", SPECS)
@settings(deadline=None, max_examples=40)
@given(image=images(), data=st.data())
def test_keeps_the_tokens_asked_for(spec: str, image: tuple[Tensor, int, int], data: st.DataObject) -> None:
    features, rows, columns = image
    n_target = data.draw(st.integers(1, len(features)))
    compressor = compressor_of(spec)
    # Checks distinct, in range and finite as well.
    compressed = run_compressor(compressor, features, n_target, context(rows, columns, features.shape[1]))
    if compressor.exact:
        assert compressed.n_kept == n_target
    else:
        assert 1 <= compressed.n_kept <= n_target


@pytest.mark.parametrize("spec", SPECS)
@settings(deadline=None, max_examples=20)
@given(image=images(), data=st.data())
def test_the_same_image_gives_the_same_tokens(spec: str, image: tuple[Tensor, int, int], data: st.DataObject) -> None:
    features, rows, columns = image
    n_target = data.draw(st.integers(1, len(features)))

    def kept() -> Compressed:
        return run_compressor(compressor_of(spec), features, n_target, context(rows, columns, features.shape[1]))

    first, second = kept(), kept()
    assert torch.equal(first.gather(features), second.gather(features))
    assert first.positions is not None
    assert second.positions is not None
    assert torch.equal(first.positions, second.positions)


@pytest.mark.parametrize("spec", SPECS)
@settings(deadline=None, max_examples=15)
@given(image=images())
def test_the_features_are_left_unchanged(spec: str, image: tuple[Tensor, int, int]) -> None:
    features, rows, columns = image
    given_ones = features.clone()
    compressor_of(spec).compress(given_ones, (len(features) + 1) // 2, **context(rows, columns, features.shape[1]))
    assert torch.equal(given_ones, features)


@pytest.mark.parametrize("spec", SELECTIONS)
@settings(deadline=None, max_examples=15)
@given(image=images())
def test_a_selection_of_everything_is_everything(spec: str, image: tuple[Tensor, int, int]) -> None:
    features, rows, columns = image
    compressed = run_compressor(compressor_of(spec), features, len(features), context(rows, columns, features.shape[1]))
    assert compressed.indices is not None
    assert compressed.indices.tolist() == list(range(len(features)))


@pytest.mark.parametrize("spec", ["pool", "downsample"])
@settings(deadline=None, max_examples=15)
@given(image=images())
def test_a_grid_that_fits_as_it_is_stays_as_it_is(spec: str, image: tuple[Tensor, int, int]) -> None:
    features, rows, columns = image
    kept = compressor_of(spec).compress(features, len(features), **context(rows, columns, features.shape[1]))
    assert isinstance(kept, Kept)
    assert torch.equal(kept.features, features)
    assert kept.positions is not None
    assert kept.positions.tolist() == list(range(len(features)))


@pytest.mark.parametrize("name", ["pool", "downsample"])
def test_what_keeps_whole_grids_says_that_it_may_keep_fewer(name: str) -> None:
    assert not known_compressors()[name].cls.exact
