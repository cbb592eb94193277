"""The farthest-first loop against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.array_calls import NumpyCalls, TorchCalls
from pytest_vtc.greedy_selection import (
    ConditionalDiversity,
    FarthestFirst,
    WeighedFarthestFirst,
    choose_greedily,
    conditionally_diverse,
    farthest_first,
)
from pytest_vtc.token_similarity import cosine_distances, cosine_similarities
from tests import plain_selection


def random_rows(n: int, width: int, seed: int) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=60)
@given(
    n_images=st.integers(1, 4),
    n=st.integers(1, 30),
    levels=st.integers(1, 1000),
    alpha=st.none() | st.floats(0, 1),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_each_image_is_chosen_from_as_the_definition_says(
    n_images: int, n: int, levels: int, alpha: float | None, seed: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Few levels: many ties.
    distances = torch.randint(0, levels, (n_images, n, n), generator=generator) / levels
    importance = torch.randint(0, levels, (n_images, n), generator=generator) / levels
    seeds = torch.stack([torch.randperm(n, generator=generator) for _ in range(n_images)])
    seeds = seeds[:, : data.draw(st.integers(1, min(3, n)))]
    n_target = data.draw(st.integers(1, n))
    mixed = () if alpha is None else (importance, alpha)
    order = farthest_first(distances, seeds, n_target, *mixed)
    plain = [
        plain_selection.farthest_first(d, s.tolist(), n_target, *(() if alpha is None else (i, alpha)))
        for d, s, i in zip(distances, seeds, importance, strict=True)
    ]
    assert order.tolist() == plain


def test_the_lowest_index_wins_a_tie() -> None:
    distances = (1 - torch.eye(5)).expand(2, 5, 5)
    assert farthest_first(distances, torch.tensor([[3], [0]]), 5).tolist() == [[3, 0, 1, 2, 4], [0, 1, 2, 3, 4]]


def test_seeds_beyond_the_budget_are_left_out() -> None:
    assert farthest_first(1 - torch.eye(3)[None], torch.tensor([[2, 0]]), 1).tolist() == [[2]]


def test_importance_alone_decides_among_copies_of_chosen_rows() -> None:
    importance = torch.tensor([[1.0, 0.2, 0.9, 0.4]])
    order = farthest_first(torch.zeros(1, 4, 4), torch.tensor([[0]]), 4, importance, 0.5)
    assert order.tolist() == [[0, 2, 3, 1]]


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_distances_and_importance_are_left_unchanged(alpha: float | None) -> None:
    distances, importance = cosine_distances(random_rows(12, 4, 1))[None], torch.linspace(0, 1, 12)[None]
    before = distances.clone(), importance.clone()
    farthest_first(distances, torch.tensor([[4]]), 7, None if alpha is None else importance, alpha or 0.0)
    assert torch.equal(distances, before[0])
    assert torch.equal(importance, before[1])


@st.composite
def images_of_any_rank(draw: st.DrawFn) -> Tensor:
    """[B, N, D]: rows that repeat, that are zero, that nearly repeat, more of them than dimensions."""
    n_images, n, width = draw(st.integers(1, 3)), draw(st.integers(1, 40)), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    rows = torch.randn(n_images, n, width, generator=generator)
    rows[:, torch.randint(0, n, (n // 2,), generator=generator)] *= draw(st.sampled_from([0.0, 1.0, -2.0]))
    near = draw(st.sampled_from([0.0, 1e-7, 1e-4, 1e-2, 1.0]))
    return rows[:, :1] + near * rows if draw(st.booleans()) else rows


@settings(deadline=None)
@given(rows=images_of_any_rank(), power=st.sampled_from([0.0, 1.0, 40.0]), data=st.data())
def test_conditional_diversity_goes_on_beyond_the_rank(rows: Tensor, power: float, data: st.DataObject) -> None:
    n_target = data.draw(st.integers(1, rows.shape[1]))
    relevance = torch.rand(rows.shape[:2], generator=torch.Generator().manual_seed(n_target)) ** power
    order = conditionally_diverse(cosine_similarities(rows), relevance, n_target)
    assert all(len(set(chosen)) == n_target for chosen in order.tolist())


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 20))
def test_conditional_diversity_is_what_the_definition_says(seed: int, n: int) -> None:
    rows = random_rows(n, 24, seed)
    relevance = torch.rand(n, generator=torch.Generator().manual_seed(seed))
    plain = plain_selection.conditionally_diverse(cosine_similarities(rows), relevance, n)
    assert conditionally_diverse(cosine_similarities(rows[None]), relevance[None], n).tolist() == [plain]


def test_of_equal_tokens_the_most_relevant_come_first() -> None:
    relevance = torch.tensor([[0.2, 1.0, 0.4, 0.0]])
    assert conditionally_diverse(torch.ones(1, 4, 4), relevance, 4).tolist() == [[1, 2, 0, 3]]


def test_tokens_of_no_relevance_are_taken_in_their_order() -> None:
    assert conditionally_diverse(torch.eye(4)[None], torch.zeros(1, 4), 4).tolist() == [[0, 1, 2, 3]]


@settings(deadline=None)
@given(rows=images_of_any_rank())
def test_numpy_and_torch_choose_the_same(rows: Tensor) -> None:
    n_images, n, _ = rows.shape
    similarities, distances, seeds = cosine_similarities(rows), cosine_distances(rows), torch.zeros(n_images, 1).long()
    importance = torch.rand(n_images, n, generator=torch.Generator().manual_seed(n))

    def orders(calls: NumpyCalls | TorchCalls) -> list[list[list[int]]]:
        weighed = [WeighedFarthestFirst(distances, importance, alpha, calls) for alpha in (0.0, 0.3, 1.0)]
        by_distance = [choose_greedily(rule, n, seeds) for rule in (FarthestFirst(distances, calls), *weighed)]
        diverse = choose_greedily(ConditionalDiversity(similarities, importance, n, calls), n)
        return [order.tolist() for order in (*by_distance, diverse)]

    assert orders(NumpyCalls()) == orders(TorchCalls())
