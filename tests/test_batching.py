"""How much goes into one call, and how a call that fails is taken apart."""

from __future__ import annotations

import gc
import itertools
import warnings
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.batching import Appetite, BatchLimits, chunks, free_memory, is_out_of_memory
from pytest_vtc.cells import CaseFailed

CPU = {torch.device("cpu")}
SMALL = Appetite(token=1_000, slot=1_000, row=1_000)


def size(_items: list[int]) -> tuple[int, int]:
    """Tokens that each item computes and slots that it holds."""
    return 10, 12


@given(st.lists(st.integers(1, 500), max_size=60), st.integers(1, 2_000))
def test_chunks_hold_everything_in_order_within_the_limit(lengths: list[int], tokens: int) -> None:
    lengths.sort()
    cut = list(chunks(lengths, lambda run, longest: (len(run) + 1) * longest <= tokens))
    assert [length for part in cut for length in part] == lengths
    assert all(len(part) * max(part) <= tokens or len(part) == 1 for part in cut)
    # No chunk could have taken the first item of the next.
    assert all((len(a) + 1) * b[0] > tokens for a, b in itertools.pairwise(cut))


def test_a_batch_size_that_was_asked_for_is_kept_to() -> None:
    limits = BatchLimits(5, SMALL, CPU)
    assert limits.fits(5, 10_000, 10_000)
    assert not limits.fits(6, 1, 1)


def test_without_one_longer_rows_make_smaller_batches() -> None:
    limits = BatchLimits(None, SMALL, CPU)
    most_short = max(n for n in range(1, 5_000) if limits.fits(n, 20, 20))
    most_long = max(n for n in range(1, 5_000) if limits.fits(n, 200, 200))
    assert most_short == 10 * most_long + most_short % 10


def test_a_model_too_large_for_two_rows_still_gets_one() -> None:
    limits = BatchLimits(None, Appetite(token=2**50, slot=2**50, row=2**50), CPU)
    assert [len(part) for part in chunks([1, 2, 3], lambda run, n: limits.fits(len(run) + 1, n, n))] == [1, 1, 1]


def test_windows_follow_what_rows_were_like() -> None:
    limits = BatchLimits(None, SMALL, CPU)
    before = limits.window()
    limits.learn(n_cases=100, n_tokens=100 * 40, seconds=0.1, image_bytes=10 * 50_000, n_images=10)
    short = limits.window()
    limits.learn(n_cases=100, n_tokens=100 * 400, seconds=0.1, image_bytes=10 * 50_000, n_images=10)
    long = limits.window()
    limits.learn(n_cases=100, n_tokens=100 * 40, seconds=20.0, image_bytes=10 * 2**33, n_images=10)
    slow = limits.window()
    assert before == (512, 16)
    assert short[0] > long[0] >= 64
    assert slow == (100, 1)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.sets(st.integers(0, 40), max_size=4))
def test_halving_fails_the_bad_items_and_only_those(items: list[int], bad: set[int]) -> None:
    def call(part: list[int]) -> list[int]:
        if bad & set(part):
            raise ValueError("no")
        return [2 * item for item in part]

    results = BatchLimits(None, SMALL, CPU).halving(items, call, "this case", size)
    for item, result in zip(items, results, strict=True):
        if item in bad:
            assert isinstance(result, CaseFailed)
            assert str(result) == "the model failed on this case: ValueError: no"
        else:
            assert result == 2 * item


def test_out_of_memory_makes_later_batches_smaller() -> None:
    limits = BatchLimits(8, SMALL, CPU)

    def call(part: list[int]) -> list[int]:
        if len(part) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    with pytest.warns(UserWarning, match="out of memory with 8 rows in a batch: going on with half"):
        assert limits.halving(list(range(8)), call, "this case", size) == list(range(8))
    assert limits.rows == 2


def test_after_out_of_memory_a_call_is_half_of_the_smallest_that_failed() -> None:
    limits = BatchLimits(None, SMALL, CPU)

    def call(part: list[int]) -> list[int]:
        if len(part) > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    with pytest.warns(UserWarning, match="out of memory with 77 rows") as said:
        assert limits.halving(list(range(77)), call, "this case", size) == list(range(77))
    assert len(said) == 1
    # 77, 38 and 19 rows fail, 9 and 10 as well: half of 9 are 4.
    assert limits.fits(4, 10, 12)
    assert not limits.fits(5, 10, 12)


def test_the_warning_as_an_error_loses_nothing() -> None:
    def call(part: list[int]) -> list[int]:
        if len(part) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return part

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert BatchLimits(None, SMALL, CPU).halving([1, 2], call, "this case", size) == [1, 2]


def test_a_failed_item_does_not_keep_the_tensors_of_its_call() -> None:
    seen: list[weakref.ref[torch.Tensor]] = []

    def call(part: list[int]) -> list[int]:
        tensor = torch.zeros(3)
        seen.append(weakref.ref(tensor))
        raise RuntimeError(f"no {len(part)}")

    results = BatchLimits(None, SMALL, CPU).halving([1, 2, 3], call, "this case", size)
    assert len(results) == 3
    assert len(seen) == 5
    gc.collect()
    assert not [tensor for tensor in seen if tensor() is not None]


def test_only_the_gpus_of_the_model_are_asked_for_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def free(gpu: torch.device) -> tuple[int, int]:
        return {1: 70 * 2**30, 2: 60 * 2**30}[gpu.index], 80 * 2**30

    monkeypatch.setattr(torch.cuda, "mem_get_info", free)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _gpu: 5 * 2**30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _gpu: 2 * 2**30)
    assert free_memory({torch.device("cuda", 1)}) == 73 * 2**30
    assert free_memory({torch.device("cuda", 1), torch.device("cuda", 2), torch.device("cpu")}) == 63 * 2**30


def test_out_of_memory_with_one_case_is_that_cases_error() -> None:
    def call(_part: list[int]) -> list[int]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    (result,) = BatchLimits(None, SMALL, CPU).halving([1], call, "this case", size)
    assert "out of memory with this case alone in a batch" in str(result)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes."), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (ValueError("not enough memory of the past"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
