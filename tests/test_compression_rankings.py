"""The contract of rankings: what run_selection hands over, gives back, accepts and refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc import compressed
from pytest_vtc.compressed import run_compressor, run_selection
from pytest_vtc.compression import CompressionError, Ranking

B, N, D, TARGET = 3, 8, 5, 4


class Fixed(Ranking):
    """Returns what it is told to; raises it if it is an exception."""

    name = "fixed"
    description = "returns what it is told to"

    def __init__(self, result: Any) -> None:
        self.result = result

    def rank(self, *_args: Any, **_ctx: Any) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


class Spy(Ranking):
    """Ranks from the last token to the first; keeps note of what it was given, and writes into it."""

    name = "spy"
    description = "changes what it is given"

    def __init__(self) -> None:
        self.given: list[Tensor] = []
        self.n_targets: list[int] = []
        self.contexts: list[dict[str, Any]] = []
        self.tracks = False

    def rank(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        self.given.append(features.clone())
        self.n_targets.append(n_target)
        self.contexts.append(ctx)
        self.tracks |= torch.is_grad_enabled()
        n_images, n_tokens, _ = features.shape
        features.fill_(9.0)
        return torch.arange(n_tokens - 1, -1, -1)[:n_target].expand(n_images, -1)


def images(dtype: torch.dtype = torch.float32, n_images: int = B) -> list[Tensor]:
    return [torch.full((N, D), float(i), dtype=dtype) for i in range(n_images)]


def run(compressor: Ranking, budgets: Sequence[Any] = ([TARGET],) * B) -> list[dict[int, list[int]]]:
    results = run_selection(compressor, images(), budgets, [{}] * B)
    return [{n: kept.indices.tolist() for n, kept in result.items() if kept.indices is not None} for result in results]


# What comes back


def test_each_image_gets_the_beginning_of_its_order_for_each_of_its_budgets() -> None:
    orders = torch.tensor([[6, 0, 3, 1], [1, 2, 7, 0], [7, 6, 5, 4]])
    assert run(Fixed(orders), [{1, 4}, {3}, {2}]) == [
        {1: [6], 4: [0, 1, 3, 6]},
        {3: [1, 2, 7]},
        {2: [6, 7]},
    ]


def test_an_image_without_a_budget_gets_nothing() -> None:
    assert run(Spy(), [[], [2], []]) == [{}, {2: [6, 7]}, {}]


def test_without_any_budget_nothing_is_ranked() -> None:
    spy = Spy()
    assert run(spy, [[], [], []]) == [{}, {}, {}]
    assert run_selection(spy, [], [], []) == []
    assert spy.n_targets == []


def test_a_result_has_the_indices_as_positions_in_long() -> None:
    (result, *_) = run_selection(Fixed(torch.tensor([[5, 2]] * B, dtype=torch.uint8)), images(), [[2]] * B, [{}] * B)
    assert result[2].rows is None
    assert result[2].indices is not None
    assert result[2].positions is not None
    assert result[2].indices.dtype == torch.long
    assert result[2].indices.tolist() == result[2].positions.tolist() == [2, 5]


# What a ranking is given


def test_all_images_are_ranked_once_to_the_largest_budget() -> None:
    spy = Spy()
    run(spy, [[1, 2], [TARGET], [3]])
    assert spy.n_targets == [TARGET]
    assert torch.equal(spy.given[0], torch.stack(images()))


def test_a_ranking_gets_float32_without_gradients_and_each_part_of_the_context_as_a_list() -> None:
    spy = Spy()
    run_selection(spy, images(torch.float16), [[TARGET]] * B, [{"grid": (2, 4), "number": i} for i in range(B)])
    assert spy.given[0].dtype == torch.float32
    assert spy.contexts == [{"grid": [(2, 4)] * B, "number": [0, 1, 2]}]
    assert not spy.tracks


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_ranking_that_writes_into_its_features_changes_a_copy(dtype: torch.dtype) -> None:
    features = images(dtype)
    run_selection(Spy(), features, [[TARGET]] * B, [{}] * B)
    assert torch.equal(torch.stack(features), torch.stack(images(dtype)))


@pytest.mark.parametrize(("bytes_of", "sizes"), [(2, [2, 2, 1]), (5, [5]), (0.5, [1] * 5)])
def test_more_images_than_fit_together_are_ranked_in_parts(
    bytes_of: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compressed, "_CPU_BYTES", int(bytes_of * 4 * N * (N + D)))
    spy = Spy()
    features = images(n_images=5)
    results = run_selection(spy, features, [[2]] * 5, [{"number": i} for i in range(5)])
    assert [len(part) for part in spy.given] == sizes
    assert torch.equal(torch.cat(spy.given), torch.stack(features))
    assert [number for part in spy.contexts for number in part["number"]] == [0, 1, 2, 3, 4]
    assert len(results) == 5


def test_compress_is_the_batch_of_one_in_the_order_of_choice() -> None:
    spy = Spy()
    assert spy.compress(torch.zeros(N, D), 3, grid=(2, 4)).tolist() == [7, 6, 5]
    assert spy.contexts == [{"grid": [(2, 4)]}]


def test_run_compressor_checks_a_ranking_as_a_batch_of_one() -> None:
    kept = run_compressor(Fixed(torch.tensor([[6, 0, 3, 1]])), torch.zeros(N, D), TARGET, {})
    assert kept.indices is not None
    assert kept.indices.tolist() == [0, 1, 3, 6]
    with pytest.raises(CompressionError, match=r"returned index 8, out of range; asked for exactly 4 of 8 .* width 5$"):
        run_compressor(Fixed(torch.tensor([[6, 0, 3, 8]])), torch.zeros(N, D), TARGET, {})


# What is refused


def orders(*last: int) -> Tensor:
    return torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [*last]])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            orders(0, 1, 2, 3)[:, :3],
            "returned 3 tokens; asked for exactly 4 of 8 tokens of width 5 in each of 3 images",
        ),
        (torch.arange(5).expand(B, -1), "returned 5 tokens"),
        (torch.arange(TARGET), "returned indices of shape [4], not [3, 4]"),
        (orders(0, 1, 2, 3)[:2], "returned indices of shape [2, 4], not [3, 4]"),
        (torch.zeros(B, TARGET, D), "returned indices of shape [3, 4, 5], not [3, 4]"),
        (torch.tensor(3), "returned indices of shape [], not [3, 4]"),
        (orders(0, 1, 2, 8), "returned index 8, out of range"),
        (orders(0, 1, -1, 2), "returned index -1, out of range"),
        (orders(5, 1, 2, 5), "returned index 5 more than once"),
        (orders(0, 1, 2, 3).float(), "returned indices of dtype torch.float32"),
        (torch.tensor([[True, False] * 4] * B), "returned indices of dtype torch.bool"),
        ([[0, 1, 2, 3]] * B, "returned list, not a tensor of indices"),
        (None, "returned NoneType, not a tensor of indices"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_ranking_that_breaks_the_contract_is_refused(result: Any, message: str) -> None:
    with pytest.raises(CompressionError) as caught:
        run(Fixed(result), [[TARGET, 2]] * B)
    assert str(caught.value).startswith(f"compressor fixed {message}")


def test_what_a_ranking_raises_is_named_with_the_ranking_its_input_and_the_line() -> None:
    with pytest.raises(CompressionError) as caught:
        run(Fixed(ZeroDivisionError("division by zero")))
    assert re.fullmatch(
        r"compressor fixed raised ZeroDivisionError: division by zero "
        r"\(.*test_compression_rankings\.py:\d+; features \[3, 8, 5\], n_target 4\)",
        str(caught.value),
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_ranking_that_defines_compress_is_refused() -> None:
    with pytest.raises(TypeError, match="Both is a Ranking: define `rank`, not `compress`"):

        class Both(Spy):
            def compress(self, *_args: Any, **_ctx: Any) -> Any:  # type: ignore[misc]
                return torch.arange(TARGET)
