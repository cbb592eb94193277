"""A made-up image offers `inside` as real towers do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.compression import Compressor, EncoderReducer, EncoderStep, Kept
from pytest_vtc.conformance.made_up import MadeUpImage


class Inside(Compressor):
    name = "inside"
    description = "needs what is tested here"
    needs = frozenset({"inside"})

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:  # noqa: ARG002
        raise AssertionError("it is not called")


class Counts(EncoderReducer):
    def __init__(self) -> None:
        self.steps: list[EncoderStep] = []

    def after_block(self, step: EncoderStep) -> None:
        self.steps.append(step)


def inside(image: MadeUpImage, reducer: EncoderReducer) -> Kept:
    return image.context(Inside())["inside"](reducer)


@pytest.mark.parametrize("has_cls", [True, False])
def test_a_reducer_that_does_nothing_leaves_a_row_for_every_token(has_cls: bool) -> None:
    image = MadeUpImage.drawn(3, 4, 6, has_cls=has_cls)
    kept = inside(image, counts := Counts())
    assert kept.features.shape == image.features.shape
    assert kept.positions is not None
    assert kept.positions.tolist() == list(range(12))
    assert [step.layer for step in counts.steps] == list(range(24 - has_cls))
    assert {(step.grid, step.n_layers, step.has_cls) for step in counts.steps} == {((3, 4), 24 - has_cls, has_cls)}


def test_it_is_the_same_at_every_call_and_of_the_seed() -> None:
    one, same, other = (MadeUpImage(torch.ones(12, 6), (3, 4), seed=seed) for seed in (0, 0, 1))
    assert torch.equal(inside(one, EncoderReducer()).features, inside(same, EncoderReducer()).features)
    assert not torch.equal(inside(one, EncoderReducer()).features, inside(other, EncoderReducer()).features)


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    inside(MadeUpImage.drawn(3, 4, 6, seed=12345), EncoderReducer())
    assert torch.equal(torch.rand(1), expected)


def test_tokens_that_repeat_stay_alike() -> None:
    features = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))[torch.arange(12) // 2]
    left = inside(MadeUpImage(features, (3, 4)), EncoderReducer()).features
    torch.testing.assert_close(left[::2], left[1::2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e30, 0.0])
def test_no_scale_of_the_tokens_is_too_much(scale: float) -> None:
    image = MadeUpImage.drawn(3, 4, 6)
    assert torch.isfinite(inside(MadeUpImage(image.features * scale, (3, 4)), EncoderReducer()).features).all()


def test_the_class_token_looks_at_some_tokens_more_than_at_others() -> None:
    inside(MadeUpImage.drawn(6, 6, 6), counts := Counts())
    for step in counts.steps:
        paid = step.cls_attention.mean(dim=0)
        assert float(paid.max()) > 1.3 / len(paid)
