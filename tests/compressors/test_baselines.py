"""Uniform stride, random choice, pooling and the smaller image."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import CompressionError, Kept
from pytest_vtc.compressors.downsample import Downsample
from pytest_vtc.compressors.identity import Identity
from pytest_vtc.compressors.pool import Pool
from pytest_vtc.compressors.random import Random


def draw(compressor: Random, n: int, n_target: int, image: int = 1) -> list[int]:
    generator = torch.Generator().manual_seed(image)
    return compressor.compress(torch.zeros(n, 1), n_target, generator=generator).tolist()


def test_identity_spans_the_raster_in_equal_steps() -> None:
    assert Identity().compress(torch.zeros(9, 1), 5).tolist() == [0, 2, 4, 6, 8]


@settings(deadline=None)
@given(n=st.integers(2, 3000), data=st.data())
def test_identity_takes_the_tokens_nearest_to_equal_steps_and_the_even_one_half_way(
    n: int, data: st.DataObject
) -> None:
    n_target = data.draw(st.integers(2, n))
    exact = [round(Fraction(i * (n - 1), n_target - 1)) for i in range(n_target)]
    assert Identity().compress(torch.zeros(n, 1), n_target).tolist() == exact


def test_identity_keeps_the_first_token_when_one_is_asked_for() -> None:
    assert Identity().compress(torch.zeros(6, 1), 1).tolist() == [0]


@settings(deadline=None)
@example(n=9788, n_target=9781)
@given(n=st.integers(1, 20_000), n_target=st.integers(1, 20_000))
def test_identity_chooses_no_token_twice(n: int, n_target: int) -> None:
    n_target = min(n, n_target)
    chosen = Identity().compress(torch.zeros(n, 1), n_target)
    assert (chosen.diff() > 0).all()
    assert chosen[0] == 0


def test_random_draws_anew_for_every_image() -> None:
    assert draw(Random(), 64, 16, image=1) != draw(Random(), 64, 16, image=2)


def test_random_draws_anew_for_every_seed() -> None:
    draws = {tuple(draw(Random(seed=seed), 64, 16)) for seed in range(-2, 20)}
    assert len(draws) == 22


def test_random_does_not_depend_on_what_else_was_drawn_from_the_generator() -> None:
    generator = torch.Generator().manual_seed(1)
    torch.rand(5, generator=generator)
    assert Random().compress(torch.zeros(64, 1), 16, generator=generator).tolist() == draw(Random(), 64, 16)


@given(n_target=st.integers(1, 64), seed=st.integers(0, 100))
def test_a_smaller_random_draw_is_the_beginning_of_a_larger_one(n_target: int, seed: int) -> None:
    assert draw(Random(seed=seed), 64, 64)[:n_target] == draw(Random(seed=seed), 64, n_target)


def test_random_gives_every_token_the_same_chance() -> None:
    counts = torch.zeros(8)
    for image in range(2000):
        counts[draw(Random(), 8, 2, image)] += 1
    # 500 expected; the standard deviation is 19.
    assert counts.min() > 400
    assert counts.max() < 600


def test_a_random_seed_that_is_no_whole_number_is_refused() -> None:
    with pytest.raises(TypeError, match=r"seed is 1\.5"):
        Random(seed=1.5)  # pyright: ignore[reportArgumentType]


def raster(rows: int, columns: int) -> Tensor:
    """Features whose two channels are the token's row and column."""
    index = torch.arange(rows * columns)
    return torch.stack([index // columns, index % columns], dim=1).float()


def test_pool_averages_the_tokens_of_each_cell() -> None:
    kept = Pool().compress(raster(4, 8), 8, grid=(4, 8))
    assert kept.features.tolist() == [[r, c] for r in (0.5, 2.5) for c in (0.5, 2.5, 4.5, 6.5)]


def test_max_pooling_takes_the_largest_value_of_each_channel() -> None:
    kept = Pool(mode="max").compress(raster(4, 8), 8, grid=(4, 8))
    assert kept.features.tolist() == [[r, c] for r in (1, 3) for c in (1, 3, 5, 7)]


def test_average_pooling_pools_other_rows_likewise_and_max_pooling_cannot() -> None:
    average, largest = (Pool(mode=mode).compress(raster(4, 8), 8, grid=(4, 8)) for mode in ("avg", "max"))
    assert average.merge is not None
    assert torch.equal(average.merge(-raster(4, 8)), -average.features)
    assert largest.merge is None


def test_pooling_refuses_a_mode_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="mode is 'sum'; choose one of 'avg', 'max'"):
        Pool(mode="sum")  # type: ignore[arg-type]


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), data=st.data())
def test_a_pooled_token_stands_where_a_token_nearest_its_centre_stood(
    rows: int, columns: int, data: st.DataObject
) -> None:
    n_target = data.draw(st.integers(1, rows * columns))
    features = raster(rows, columns)
    kept = Pool().compress(features, n_target, grid=(rows, columns))
    assert kept.positions is not None
    assert len(set(kept.positions.tolist())) == len(kept.positions)
    # The mean of the places of the pooled tokens is the centre of the cell.
    assert (features[kept.positions] - kept.features).abs().max() <= 0.5


class Vision:
    """Stands in for the model's vision side; remembers what it was asked for."""

    def __init__(self, width: int = 2) -> None:
        self.width = width
        self.asked: list[tuple[int, int]] = []

    def __call__(self, rows: int, columns: int) -> Kept:
        self.asked.append((rows, columns))
        return Kept(torch.full((rows * columns, self.width), 0.25))


def downsampled(n_target: int, vision: Vision, grid: tuple[int, int] = (8, 8)) -> Any:
    return run_compressor(Downsample(), raster(*grid), n_target, {"grid": grid, "encode": vision})


@pytest.mark.parametrize(("n_target", "grid"), [(32, (5, 6)), (16, (4, 4)), (8, (2, 3)), (1, (1, 1))])
def test_downsample_encodes_the_image_at_the_largest_grid_that_fits(n_target: int, grid: tuple[int, int]) -> None:
    vision = Vision()
    compressed = downsampled(n_target, vision)
    assert vision.asked == [grid]
    assert compressed.n_kept == grid[0] * grid[1]
    assert compressed.rows.unique().tolist() == [0.25]


def test_downsampled_tokens_stand_at_the_centres_of_what_they_show() -> None:
    assert downsampled(4, Vision()).positions.tolist() == [2 * 8 + 2, 2 * 8 + 6, 6 * 8 + 2, 6 * 8 + 6]


def test_downsample_encodes_nothing_when_everything_fits() -> None:
    vision = Vision()
    downsampled(64, vision)
    assert vision.asked == []


def test_a_vision_side_that_gives_other_rows_is_a_clear_error() -> None:
    with pytest.raises(CompressionError, match=r"downsample returned rows of shape \[16, 3\]"):
        downsampled(16, Vision(width=3))


def test_downsample_declares_that_it_encodes() -> None:
    assert Downsample.needs == {"encode"}
