"""The compressor contract: what a budget is, which grid fits, and what run_compressor accepts and refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressed import Compressed, run_compressor
from pytest_vtc.compression import CompressionError, Compressor, Kept, budget, largest_grid

N, D, TARGET = 8, 3, 4


class Fixed(Compressor):
    """Returns what it is told to; raises it if it is an exception."""

    name = "fixed"
    description = "returns what it is told to"

    def __init__(self, result: Any) -> None:
        self.result = result

    def compress(self, *_args: Any, **_ctx: Any) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class FixedGrid(Fixed):
    exact = False


@dataclass(frozen=True)
class Tuned(Compressor):
    """Has parameters."""

    name: ClassVar[str] = "tuned"
    description: ClassVar[str] = "has parameters"

    alpha: float = 0.5
    mode: str = "mean"

    def compress(self, *_args: Any, **_ctx: Any) -> Tensor:
        return torch.tensor([0])


def run(result: Any, compressor: type[Fixed] = Fixed, features: Tensor | None = None) -> Compressed:
    return run_compressor(compressor(result), torch.zeros(N, D) if features is None else features, TARGET, {})


# Selections


def test_a_selection_comes_back_in_raster_order() -> None:
    compressed = run(torch.tensor([6, 0, 3, 1]))
    assert compressed.rows is None
    assert compressed.indices is not None
    assert compressed.positions is not None
    assert compressed.indices.tolist() == compressed.positions.tolist() == [0, 1, 3, 6]
    assert compressed.n_kept == TARGET


def test_indices_of_any_integer_type_are_accepted() -> None:
    compressed = run(torch.tensor([6, 0, 3, 1], dtype=torch.uint8))
    assert compressed.indices is not None
    assert compressed.indices.dtype == torch.long


def test_selected_rows_are_gathered_from_the_original_tokens_in_their_dtype() -> None:
    features = torch.randn(N, D).bfloat16()
    gathered = run(torch.tensor([6, 0, 3, 1]), features=features).gather(features)
    assert gathered.dtype == torch.bfloat16
    assert torch.equal(gathered, features[[0, 1, 3, 6]])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (torch.tensor([0, 1, 2]), "returned 3 tokens; asked for exactly 4 of 8 tokens of width 3"),
        (torch.tensor([0, 1, 2, 3, 4]), "returned 5 tokens"),
        (torch.tensor([], dtype=torch.long), "returned 0 tokens"),
        (torch.tensor([0, 1, 2, 8]), "returned index 8, out of range"),
        (torch.tensor([0, 1, 2, -1]), "returned index -1, out of range"),
        (torch.tensor([5, 1, 2, 5]), "returned index 5 more than once"),
        (torch.tensor([0.0, 1.0, 2.0, 3.0]), "returned indices of dtype torch.float32"),
        (torch.tensor([True, False] * 4), "returned indices of dtype torch.bool"),
        (torch.tensor(3), "returned a single number"),
        ([0, 1, 2, 3], "returned list, not a tensor"),
        (None, "returned NoneType, not a tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_selection_that_breaks_the_contract_is_refused(result: Any, message: str) -> None:
    with pytest.raises(CompressionError) as caught:
        run(result)
    assert str(caught.value).startswith(f"compressor fixed {message}")


# Rows


def test_plain_rows_are_used_in_the_order_given_and_have_no_positions() -> None:
    rows = torch.randn(TARGET, D)
    compressed = run(rows)
    assert compressed.indices is None
    assert compressed.positions is None
    assert compressed.rows is not None
    assert torch.equal(compressed.rows, rows)


def test_merged_rows_keep_their_positions() -> None:
    compressed = run(Kept(torch.zeros(TARGET, D), torch.tensor([7, 0, 0, 2], dtype=torch.int32)))
    assert compressed.positions is not None
    assert compressed.positions.dtype == torch.long
    assert compressed.positions.tolist() == [7, 0, 0, 2]


def test_merged_rows_go_to_the_model_in_the_dtype_of_its_tokens() -> None:
    features = torch.zeros(N, D).half()
    assert run(torch.full((TARGET, D), 0.5), features=features).gather(features).dtype == torch.half


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (torch.zeros(3, D), "returned 3 tokens"),
        (torch.zeros(TARGET, D + 1), "returned rows of shape [4, 4]"),
        (torch.zeros(TARGET, D, 1), "returned rows of shape [4, 3, 1]"),
        (torch.zeros(TARGET, D).long(), "returned rows of dtype torch.int64"),
        (torch.full((TARGET, D), torch.nan), "returned rows with NaN or infinity"),
        (torch.full((TARGET, D), torch.inf), "returned rows with NaN or infinity"),
        (Kept(torch.tensor([0, 1, 2, 3])), "returned rows of shape [4]"),
        (Kept([0, 1, 2, 3]), "returned list, not a tensor"),  # type: ignore[arg-type]
        (Kept(torch.zeros(TARGET, D), torch.arange(3)), "returned positions of shape [3] and dtype torch.int64"),
        (Kept(torch.zeros(TARGET, D), torch.zeros(TARGET, 2).long()), "returned positions of shape [4, 2]"),
        (Kept(torch.zeros(TARGET, D), torch.zeros(TARGET)), "returned positions of shape [4] and dtype torch.float32"),
        (Kept(torch.zeros(TARGET, D), torch.ones(TARGET) > 0), "returned positions of shape [4] and dtype torch.bool"),
        (Kept(torch.zeros(TARGET, D), torch.tensor([0, 1, 2, 8])), "returned a position outside 0..7"),
        (Kept(torch.zeros(TARGET, D), torch.tensor([0, 1, 2, -1])), "returned a position outside 0..7"),
        (Kept(torch.zeros(TARGET, D), [0, 1, 2, 3]), "returned positions as list, not as a tensor"),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_that_break_the_contract_are_refused(result: Any, message: str) -> None:
    with pytest.raises(CompressionError) as caught:
        run(result)
    assert str(caught.value).startswith(f"compressor fixed {message}")


def test_an_inexact_compressor_may_keep_fewer() -> None:
    assert run(torch.tensor([2, 0]), FixedGrid).n_kept == 2
    assert run(torch.zeros(1, D), FixedGrid).n_kept == 1


@pytest.mark.parametrize("count", [0, TARGET + 1])
def test_an_inexact_compressor_may_not_keep_none_or_more(count: int) -> None:
    with pytest.raises(CompressionError, match=f"returned {count} tokens; asked for at most 4"):
        run(torch.zeros(count, D), FixedGrid)


def test_what_a_compressor_raises_is_named_with_the_compressor_and_its_input() -> None:
    with pytest.raises(CompressionError) as caught:
        run(ZeroDivisionError("division by zero"))
    assert re.fullmatch(
        r"compressor fixed raised ZeroDivisionError: division by zero "
        r"\(.*test_compression\.py:\d+; features \[8, 3\], n_target 4\)",
        str(caught.value),
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# What a compressor is given


class Spy(Compressor):
    name = "spy"
    description = "changes what it is given"

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        self.dtype, self.context, self.tracks = features.dtype, ctx, torch.is_grad_enabled()
        features.fill_(9.0)
        return torch.arange(n_target)


def test_a_compressor_gets_float32_without_gradients_and_the_whole_context() -> None:
    spy = Spy()
    run_compressor(spy, torch.zeros(N, D).half(), TARGET, {"grid": (2, 4)})
    assert (spy.dtype, spy.context, spy.tracks) == (torch.float32, {"grid": (2, 4)}, False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compressor_that_writes_into_its_features_changes_a_copy(dtype: torch.dtype) -> None:
    features = torch.zeros(N, D, dtype=dtype)
    run_compressor(Spy(), features, TARGET, {})
    assert features.eq(0).all()


# Names and parameters


def test_the_spec_names_the_parameters_that_differ_from_their_defaults() -> None:
    assert Tuned().spec == "tuned"
    assert Tuned(alpha=0.3).spec == "tuned(alpha=0.3)"
    assert Tuned(alpha=0.3, mode="max").spec == "tuned(alpha=0.3, mode='max')"


def test_parameters_hold_the_defaults_too() -> None:
    assert Tuned(alpha=0.3).parameters == {"alpha": 0.3, "mode": "mean"}


def test_a_compressor_without_parameters_needs_no_dataclass() -> None:
    assert Spy().spec == "spy"
    assert Spy().parameters == {}


# Budgets and grids


@pytest.mark.parametrize(
    ("n_tokens", "ratio", "kept"),
    [(64, 0.5, 32), (64, 0.25, 16), (100, 0.29, 29), (9, 0.5, 4), (64, 1.0, 64), (64, 0.001, 1), (1, 0.5, 1)],
)
def test_a_budget_is_rounded_down_to_at_least_one(n_tokens: int, ratio: float, kept: int) -> None:
    assert budget(n_tokens, ratio) == kept


@given(n_tokens=st.integers(1, 10_000), kept=st.integers(1, 10_000))
def test_a_ratio_of_whole_tokens_is_a_budget_of_that_many(n_tokens: int, kept: int) -> None:
    assume(kept <= n_tokens)
    assert budget(n_tokens, kept / n_tokens) == kept


@pytest.mark.parametrize("ratio", [0.0, -0.5, 1.0001, float("nan"), float("inf")])
def test_a_ratio_outside_0_to_1_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        budget(64, ratio)


grids = st.tuples(st.integers(1, 80), st.integers(1, 80))


@given(grid=grids, n_target=st.integers(1, 7000))
def test_the_largest_grid_fits_and_is_not_empty(grid: tuple[int, int], n_target: int) -> None:
    rows, columns = largest_grid(*grid, n_target)
    assert 1 <= rows <= grid[0]
    assert 1 <= columns <= grid[1]
    assert rows * columns <= n_target


@given(side=st.integers(1, 96), coarse=st.integers(1, 96))
def test_a_square_grid_meets_a_square_budget_exactly(side: int, coarse: int) -> None:
    assume(coarse <= side)
    assert largest_grid(side, side, coarse * coarse) == (coarse, coarse)


@given(grid=grids, factor=st.integers(1, 6))
def test_a_grid_is_divided_evenly_where_the_budget_allows_it(grid: tuple[int, int], factor: int) -> None:
    rows, columns = grid
    assert largest_grid(rows * factor, columns * factor, rows * columns) == grid


@given(grid=grids, extra=st.integers(0, 100))
def test_a_grid_that_fits_is_left_as_it_is(grid: tuple[int, int], extra: int) -> None:
    assert largest_grid(*grid, grid[0] * grid[1] + extra) == grid


@given(grid=grids, n_target=st.integers(1, 7000))
def test_no_side_of_the_largest_grid_can_grow_towards_its_ideal(grid: tuple[int, int], n_target: int) -> None:
    rows, columns = largest_grid(*grid, n_target)
    scale = min(1.0, (n_target / (grid[0] * grid[1])) ** 0.5)
    grown = [
        (r, c)
        for r, c in ((rows + 1, columns), (rows, columns + 1))
        if r - grid[0] * scale < 1 - 1e-6 and c - grid[1] * scale < 1 - 1e-6
    ]
    assert all(r * c > n_target for r, c in grown if r <= grid[0] and c <= grid[1])


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 0 tokens is empty"):
        largest_grid(8, 8, 0)
