"""What every shipped compressor promises, whatever the features look like and whatever the model has."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.compressed import Compressed, run_compressor
from pytest_vtc.compression import Compressor
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.conformance.trial import without
from tests.compressors.shipped import SPECS, compressor_of

every_spec = pytest.mark.parametrize("spec", SPECS)


@st.composite
def images(draw: st.DrawFn, longest: int = 7) -> MadeUpImage:
    """Up to `longest` rows and columns of any scale, some rows repeated, in direction or wholly, some zero."""
    rows, columns, width = draw(st.integers(1, longest)), draw(st.integers(1, longest)), draw(st.integers(1, 10))
    n = rows * columns
    image = MadeUpImage.drawn(rows, columns, width, seed=draw(st.integers(0, 2**32)), has_cls=draw(st.booleans()))
    features = image.features * 10.0 ** draw(st.integers(-30, 30))
    indices = st.lists(st.integers(0, n - 1), max_size=n)
    for i in draw(indices):
        features[i] = features[draw(st.integers(0, n - 1))] * draw(st.sampled_from([1.0, 1.0, 2.0]))
    features[draw(indices)] = 0.0
    return replace(image, features=features)


def seen_by_a_model(data: st.DataObject, image: MadeUpImage, compressor: Compressor) -> MadeUpImage:
    """The image without some of the parts that the compressor can do without; with a class token if it needs it."""
    missing = data.draw(st.sets(st.sampled_from(sorted(compressor.substitutes)))) if compressor.substitutes else set()
    if "class_token" in compressor.needs:
        image = replace(image, has_cls=True)
    return without(image, frozenset(missing))


def kept_of(spec: str, image: MadeUpImage, n_target: int) -> Compressed:
    """By a new compressor, of copies. Checks that tokens are distinct and in range, and rows finite."""
    compressor = compressor_of(spec)
    return run_compressor(compressor, image.features, n_target, image.context(compressor))


def check_count(spec: str, image: MadeUpImage, data: st.DataObject) -> None:
    compressor = compressor_of(spec)
    image = seen_by_a_model(data, image, compressor)
    n_target = data.draw(st.integers(1, len(image.features)))
    n_kept = kept_of(spec, image, n_target).n_kept
    assert n_kept == n_target or (not compressor.exact and 1 <= n_kept < n_target)


@every_spec
@settings(deadline=None, max_examples=30)
@given(image=images(), data=st.data())
def test_keeps_the_tokens_asked_for(spec: str, image: MadeUpImage, data: st.DataObject) -> None:
    check_count(spec, image, data)


@pytest.mark.slow
@every_spec
@settings(deadline=None, max_examples=400)
@given(image=images(longest=16), data=st.data())
def test_keeps_the_tokens_asked_for_of_many_images(spec: str, image: MadeUpImage, data: st.DataObject) -> None:
    check_count(spec, image, data)


@every_spec
@settings(deadline=None, max_examples=12)
@given(image=images(), data=st.data())
def test_the_same_image_gives_the_same_tokens(spec: str, image: MadeUpImage, data: st.DataObject) -> None:
    image = seen_by_a_model(data, image, compressor_of(spec))
    n_target = data.draw(st.integers(1, len(image.features)))
    first, second = kept_of(spec, image, n_target), kept_of(spec, image, n_target)
    assert torch.equal(first.gather(image.features), second.gather(image.features))
    assert first.positions is not None
    assert second.positions is not None
    assert torch.equal(first.positions, second.positions)


@every_spec
@settings(deadline=None, max_examples=8)
@given(image=images(), data=st.data())
def test_the_features_are_left_unchanged(spec: str, image: MadeUpImage, data: st.DataObject) -> None:
    compressor = compressor_of(spec)
    image = seen_by_a_model(data, image, compressor)
    given_ones = image.features.clone()
    compressor.compress(given_ones, (len(given_ones) + 1) // 2, **image.context(compressor))
    assert torch.equal(given_ones, image.features)


@every_spec
@settings(deadline=None, max_examples=8)
@given(image=images(), data=st.data())
def test_to_keep_all_is_no_reason_to_fail(spec: str, image: MadeUpImage, data: st.DataObject) -> None:
    compressor = compressor_of(spec)
    image = seen_by_a_model(data, image, compressor)
    kept = compressor.compress(image.features.clone(), len(image.features), **image.context(compressor))
    if compressor.exact and isinstance(kept, torch.Tensor):
        assert sorted(kept.tolist()) == list(range(len(image.features)))
