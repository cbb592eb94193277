"""How alike tokens are: cosines, distances, norms, of one image and of many."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.token_similarity import cosine_distances, cosine_similarities, nearest_neighbour_distances, norms


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


@settings(deadline=None)
@given(n_images=st.integers(1, 5), n=st.integers(1, 20), width=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_distances_and_norms_of_an_image_do_not_depend_on_the_batch(
    n_images: int, n: int, width: int, seed: int
) -> None:
    batch = random_rows(n_images * n, width, seed).reshape(n_images, n, width)
    each = [image.clone() for image in batch]
    assert torch.equal(cosine_similarities(batch), torch.stack([cosine_similarities(image) for image in each]))
    assert torch.equal(cosine_distances(batch), torch.stack([cosine_distances(image) for image in each]))
    assert torch.equal(norms(batch), torch.cat([norms(image[None]) for image in each]))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_norms_whose_squares_leave_float32_are_measured(scale: float) -> None:
    rows = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]]) * scale
    torch.testing.assert_close(norms(rows), torch.tensor([[5.0, 0.0]], dtype=torch.float64) * scale, rtol=1e-6, atol=0)


def test_the_nearest_neighbour_of_a_row_is_another_row() -> None:
    distances = torch.tensor(
        [[[0.0, 0.25, 0.75], [0.25, 0.0, 0.5], [0.75, 0.5, 0.0]], [[0.0, 1, 1], [1, 0, 2], [1, 2, 0]]]
    )
    assert nearest_neighbour_distances(distances).tolist() == [[0.25, 0.25, 0.5], [1.0, 1.0, 1.0]]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_cosines_do_not_depend_on_the_scale(scale: float) -> None:
    rows = torch.tensor([[[3.0, 4.0], [4.0, -3.0], [6.0, 8.0], [0.0, 0.0]]])
    expected = torch.tensor([[[1.0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]])
    torch.testing.assert_close(cosine_similarities(rows * scale), expected)
