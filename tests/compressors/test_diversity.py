"""DivPrune, its hybrid and FPS: how they begin, and what sets them apart."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressors.divprune import DivPrune
from pytest_vtc.compressors.divprune_hybrid import DivPruneHybrid
from pytest_vtc.compressors.fps import Fps

DIVERSE = [DivPrune(), DivPrune(start="farthest_pair"), Fps(), DivPruneHybrid(alpha=0.0)]


def directions(*degrees: float) -> Tensor:
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_divprune_begins_with_the_token_whose_nearest_neighbour_is_farthest() -> None:
    # 0 and 170 are farthest apart, but both have a neighbour at 10 degrees; 90 has none nearer than 70.
    assert DivPrune().compress(directions(0, 10, 90, 160, 170), 1).tolist() == [2]


def test_farthest_pair_begins_with_the_two_tokens_farthest_apart() -> None:
    compressor = DivPrune(start="farthest_pair")
    assert compressor.compress(directions(10, 0, 90, 160, 170), 3).tolist() == [1, 4, 2]


def test_farthest_pair_keeps_the_first_of_the_pair_when_one_token_is_asked_for() -> None:
    assert DivPrune(start="farthest_pair").compress(directions(10, 0, 90, 160, 170), 1).tolist() == [1]


def test_fps_begins_with_the_token_of_largest_norm() -> None:
    features = directions(0, 10, 90, 170) * torch.tensor([[1.0], [4.0], [2.0], [3.0]])
    assert Fps().compress(features, 2).tolist() == [1, 3]


def test_hybrid_with_alpha_one_keeps_the_largest_norms() -> None:
    features = directions(0, 1, 2, 170) * torch.tensor([[2.0], [4.0], [3.0], [1.0]])
    assert DivPruneHybrid(alpha=1.0).compress(features, 3).tolist() == [1, 2, 0]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_norms_whose_squares_leave_float32_are_still_told_apart(scale: float) -> None:
    features = directions(0, 1, 2, 170) * torch.tensor([[2.0], [4.0], [3.0], [1.0]]) * scale
    assert DivPruneHybrid(alpha=1.0).compress(features, 3).tolist() == [1, 2, 0]
    assert Fps().compress(features, 1).tolist() == [1]


def test_hybrid_with_equal_norms_chooses_by_diversity_alone() -> None:
    assert DivPruneHybrid(alpha=0.5).compress(torch.eye(4).repeat(2, 1), 4).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("compressor", DIVERSE, ids=lambda c: c.spec)
@settings(deadline=None, max_examples=25)
@given(distinct=st.integers(2, 8), copies=st.integers(2, 4), seed=st.integers(0, 10**6))
def test_no_copy_is_kept_before_every_different_token(
    compressor: DivPrune, distinct: int, copies: int, seed: int
) -> None:
    shuffled = torch.randperm(distinct * copies, generator=torch.Generator().manual_seed(seed))
    kept = shuffled[compressor.compress(torch.eye(distinct).repeat(copies, 1)[shuffled], distinct)] % distinct
    assert sorted(kept.tolist()) == list(range(distinct))


@pytest.mark.parametrize("compressor", [*DIVERSE, DivPruneHybrid()], ids=lambda c: c.spec)
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), exponent=st.integers(-20, 20))
def test_the_scale_of_the_features_plays_no_part(compressor: DivPrune, seed: int, exponent: int) -> None:
    features = torch.randn(24, 6, generator=torch.Generator().manual_seed(seed))
    # A power of two: scaling is exact.
    scaled = features * 2.0**exponent
    assert compressor.compress(scaled, 9).tolist() == compressor.compress(features, 9).tolist()


def test_an_unknown_start_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'middle'.*'nearest', 'farthest_pair'"):
        DivPrune(start="middle")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_an_alpha_outside_0_to_1_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"alpha is .*0\.\.1"):
        DivPruneHybrid(alpha=alpha)
