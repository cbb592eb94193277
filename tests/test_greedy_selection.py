"""The farthest-first loop against its definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.greedy_selection import cosine_distances, farthest_first, nearest_neighbour_distances


def random_rows(n: int, width: int, seed: int) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed))


def test_distance_is_one_minus_cosine() -> None:
    distances = cosine_distances(torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]]))
    half = 1 - 0.5**0.5
    expected = [[0, 1, 2, half], [1, 0, 1, half], [2, 1, 0, 2 - half], [half, half, 2 - half, 0]]
    torch.testing.assert_close(distances, torch.tensor(expected))


def test_a_zero_row_is_at_distance_one_from_every_row() -> None:
    distances = cosine_distances(torch.tensor([[0.0, 0.0], [5.0, 1.0], [0.0, 0.0]]))
    assert distances[0].tolist() == [1.0, 1.0, 1.0]


@settings(deadline=None)
@given(width=st.integers(1, 64), seed=st.integers(0, 10**6))
def test_no_rounding_makes_a_distance_negative(width: int, seed: int) -> None:
    assert cosine_distances(random_rows(4, width, seed).repeat(4, 1)).min() >= 0


def test_half_precision_rows_are_compared_in_float32() -> None:
    assert cosine_distances(random_rows(4, 8, 0).half()).dtype == torch.float32


def test_the_nearest_neighbour_of_a_row_is_another_row() -> None:
    distances = torch.tensor([[0.0, 0.25, 0.75], [0.25, 0.0, 0.5], [0.75, 0.5, 0.0]])
    assert nearest_neighbour_distances(distances).tolist() == [0.25, 0.25, 0.5]


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 40), width=st.integers(1, 8), seed=st.integers(0, 10**6), data=st.data())
def test_each_choice_is_a_row_farthest_from_those_chosen_before(
    n: int, width: int, seed: int, data: st.DataObject
) -> None:
    distances = cosine_distances(random_rows(n, width, seed))
    order = farthest_first(distances, torch.tensor([data.draw(st.integers(0, n - 1))]), n).tolist()
    assert sorted(order) == list(range(n))
    for step in range(1, n):
        to_chosen = distances[order[:step]].amin(dim=0)
        assert to_chosen[order[step]] == to_chosen[order[step:]].max()


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 30), seed=st.integers(0, 10**6), alpha=st.floats(0, 1))
def test_with_importance_each_choice_has_the_best_mixed_score(n: int, seed: int, alpha: float) -> None:
    distances = cosine_distances(random_rows(n, 4, seed))
    importance = torch.rand(n, generator=torch.Generator().manual_seed(seed))
    order = farthest_first(distances, torch.tensor([0]), n, importance, alpha).tolist()
    assert sorted(order) == list(range(n))
    for step in range(1, n):
        to_chosen = distances[order[:step]].amin(dim=0)
        score = alpha * importance + (1 - alpha) * to_chosen / to_chosen.max().clamp(min=1e-30)
        assert score[order[step]] >= score[order[step:]].max() - 1e-5


def test_the_lowest_index_wins_a_tie() -> None:
    distances = 1 - torch.eye(5)
    assert farthest_first(distances, torch.tensor([3]), 5).tolist() == [3, 0, 1, 2, 4]


def test_seeds_beyond_the_budget_are_left_out() -> None:
    assert farthest_first(1 - torch.eye(3), torch.tensor([2, 0]), 1).tolist() == [2]


def test_importance_alone_decides_among_copies_of_chosen_rows() -> None:
    importance = torch.tensor([1.0, 0.2, 0.9, 0.4])
    order = farthest_first(torch.zeros(4, 4), torch.tensor([0]), 4, importance, 0.5)
    assert order.tolist() == [0, 2, 3, 1]


@pytest.mark.parametrize("alpha", [None, 0.5])
def test_distances_and_importance_are_left_unchanged(alpha: float | None) -> None:
    distances, importance = cosine_distances(random_rows(12, 4, 1)), torch.linspace(0, 1, 12)
    before = distances.clone(), importance.clone()
    farthest_first(distances, torch.tensor([4]), 7, None if alpha is None else importance, alpha or 0.0)
    assert torch.equal(distances, before[0])
    assert torch.equal(importance, before[1])
