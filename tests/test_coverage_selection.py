"""Greedy coverage: looking at few gains gives what looking at all of them gives, and that is the definition's."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc import coverage_selection
from pytest_vtc.array_calls import NumpyCalls, TorchCalls
from pytest_vtc.coverage_selection import Coverage, best_covering, sum_by_halves
from pytest_vtc.greedy_selection import choose_greedily
from pytest_vtc.token_similarity import cosine_similarities
from tests import plain_selection

Combination = Literal["multi", "add"]
combinations = st.sampled_from(["multi", "add"])


@st.composite
def weighed_images(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Similarities [B, N, N] of rows of which some repeat and some are zero, weights [B, N] with many ties."""
    n_images, n, width = draw(st.integers(1, 4)), draw(st.integers(1, 60)), draw(st.integers(1, 16))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    rows = torch.randn(n_images, n, width, generator=generator)
    for i in draw(st.lists(st.integers(0, n - 1), max_size=n)):
        rows[:, i] = rows[:, draw(st.integers(0, n - 1))] * draw(st.sampled_from([0.0, 1.0]))
    levels = draw(st.integers(1, 50))
    return cosine_similarities(rows), torch.randint(0, levels + 1, (n_images, n), generator=generator) / levels


@settings(deadline=None)
@given(images=weighed_images(), combination=combinations)
def test_looking_at_few_gains_chooses_what_looking_at_all_chooses(
    images: tuple[Tensor, Tensor], combination: Combination
) -> None:
    similarities, weights = images
    n = similarities.shape[1]
    lazy = best_covering(similarities, weights, n, combination, lazily=True)
    assert torch.equal(lazy, best_covering(similarities, weights, n, combination, lazily=False))


@settings(deadline=None, max_examples=40)
@given(images=weighed_images(), combination=combinations, data=st.data())
def test_each_image_is_chosen_from_as_the_definition_says(
    images: tuple[Tensor, Tensor], combination: Combination, data: st.DataObject
) -> None:
    similarities, weights = images
    n_target = data.draw(st.integers(1, similarities.shape[1]))
    plain = [
        plain_selection.best_covering(*image, n_target, combination)
        for image in zip(similarities, weights, strict=True)
    ]
    assert best_covering(similarities, weights, n_target, combination).tolist() == plain


@pytest.mark.parametrize("kind", ["noise", "flat", "blank"])
def test_large_images_are_chosen_from_as_by_looking_at_all_gains(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    rows = torch.randn(3, 300, 32, generator=generator)
    if kind != "noise":
        # Tokens that are equal, or but for the last places.
        rows[:, 50:] = rows[:, :1] + (1e-7 * rows[:, 50:] if kind == "blank" else 0.0)
    similarities = cosine_similarities(rows)
    weights = torch.rand(3, 300, generator=generator) if kind == "noise" else torch.ones(3, 300)
    lazy = best_covering(similarities, weights, 120, lazily=True)
    assert torch.equal(lazy, best_covering(similarities, weights, 120, lazily=False))


def test_few_gains_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    look_at = coverage_selection.LazyCoverage._look_at  # pyright: ignore[reportPrivateUsage]

    def counting(rule: coverage_selection.LazyCoverage, places: Tensor) -> Tensor:
        nonlocal looked
        looked += len(places)
        return look_at(rule, places)

    monkeypatch.setattr(coverage_selection.LazyCoverage, "_look_at", counting)
    rows = torch.randn(1, 576, 64, generator=torch.Generator().manual_seed(0))
    best_covering(cosine_similarities(rows), torch.rand(1, 576, generator=torch.Generator().manual_seed(1)), 64)
    assert looked < 0.1 * 64 * 576


@settings(deadline=None, max_examples=25)
@given(images=weighed_images(), combination=combinations)
def test_numpy_and_torch_choose_the_same(images: tuple[Tensor, Tensor], combination: Combination) -> None:
    n = images[0].shape[1]
    by_numpy, by_torch = (
        choose_greedily(Coverage(*images, combination, calls), n) for calls in (NumpyCalls(), TorchCalls())
    )
    assert torch.equal(by_numpy, by_torch)


def test_similarities_and_weights_are_left_unchanged() -> None:
    rows = torch.randn(2, 20, 4, generator=torch.Generator().manual_seed(0))
    similarities, weights = cosine_similarities(rows), torch.linspace(0, 1, 40).view(2, 20)
    before = similarities.clone(), weights.clone()
    for lazily in (False, True):
        best_covering(similarities, weights, 9, lazily=lazily)
        assert torch.equal(similarities, before[0])
        assert torch.equal(weights, before[1])


@settings(deadline=None)
@given(n=st.integers(1, 70), seed=st.integers(0, 1000))
def test_a_sum_by_halves_is_the_sum_of_every_row_by_itself(n: int, seed: int) -> None:
    rows = torch.randn(5, n, generator=torch.Generator().manual_seed(seed))
    together = sum_by_halves(rows.clone(), dim=1)
    torch.testing.assert_close(together, rows.sum(dim=1))
    assert torch.equal(together, torch.cat([sum_by_halves(row[None].clone(), dim=1) for row in rows]))
