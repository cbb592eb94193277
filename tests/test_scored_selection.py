"""The building blocks of the methods that score tokens and pick the best."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.compression import best, distinct, rank_in_group

scores = st.lists(st.sampled_from([0.0, 0.5, 1.0, float("inf"), float("-inf"), float("nan")]), min_size=1, max_size=30)


def test_the_best_come_first_and_the_lowest_index_of_equal_ones() -> None:
    assert best(torch.tensor([[1.0, 3.0, 2.0, 3.0]]), 3).tolist() == [[1, 3, 2]]


def test_nan_is_the_lowest_score() -> None:
    assert best(torch.tensor([[float("nan"), -1.0, float("-inf"), 2.0]]), 4).tolist() == [[3, 1, 0, 2]]


def test_a_choice_is_filled_up_with_the_best_outside_of_it() -> None:
    chosen = torch.tensor([[False, True, False, False]])
    assert best(torch.tensor([[3.0, 1.0, 2.0, 4.0]]), 3, chosen).tolist() == [[1, 3, 0]]


def test_of_a_choice_that_is_too_large_the_best_stay() -> None:
    chosen = torch.tensor([[True, True, True, False]])
    assert best(torch.tensor([[3.0, 1.0, 2.0, 4.0]]), 2, chosen).tolist() == [[0, 2]]


@given(values=scores, data=st.data())
def test_ranks_count_the_better_tokens_of_the_group(values: list[float], data: st.DataObject) -> None:
    n = len(values)
    drawn = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    names = sorted({*drawn})
    groups = torch.tensor([names.index(group) for group in drawn])
    batch = torch.tensor([values, values[::-1]])
    ranks = rank_in_group(batch, groups)
    for image, of_image in zip(batch, ranks.tolist(), strict=True):
        order = best(image[None], n)[0].tolist()
        for i in range(n):
            before = order[: order.index(i)]
            assert of_image[i] == sum(bool(groups[j] == groups[i]) for j in before)


def test_the_first_of_a_similar_pair_is_dropped() -> None:
    similarity = torch.eye(4)
    similarity[2, 1] = similarity[1, 2] = 0.9
    # Compared are 0 and 2 with 1 and 3.
    assert distinct(similarity[None], torch.arange(4)[None], 3, 8).tolist() == [[0, 1, 3]]


def test_a_round_drops_no_more_than_it_may() -> None:
    similarity = torch.zeros(8, 8)
    similarity[[0, 2, 4, 6], [1, 3, 5, 7]] = torch.tensor([0.1, 0.4, 0.3, 0.2])
    # First 2 and 4 go, which leaves 6, 0, 1, 3, 5, 7; then of 6, 1 and 5 the one most like 0, 3 or 7.
    similarity[5, 3] = 0.5
    assert distinct(similarity[None], torch.arange(8)[None], 5, 2).tolist() == [[6, 1, 0, 3, 7]]


@settings(deadline=None)
@given(n=st.integers(1, 40), n_images=st.integers(1, 4), per_round=st.integers(1, 9), data=st.data())
def test_as_many_distinct_candidates_as_asked_are_left(
    n: int, n_images: int, per_round: int, data: st.DataObject
) -> None:
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    candidates = torch.stack([torch.randperm(50, generator=generator)[:n] for _ in range(n_images)])
    n_target = data.draw(st.integers(1, n))
    similarity = torch.randn(n_images, 50, 50, generator=generator).round()
    left = distinct(similarity, candidates, n_target, per_round)
    for some, all_of_them in zip(left.tolist(), candidates.tolist(), strict=True):
        assert len(some) == len({*some}) == n_target
        assert {*some} <= {*all_of_them}
