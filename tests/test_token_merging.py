"""Building blocks of merging compressors, against loops that do the same one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.token_merging import (
    Merge,
    all_but,
    bipartite_matching,
    group_sums,
    linear,
    matching_rounds,
    merge_weighted,
    most_similar,
    unit_rows,
)

seeds = st.integers(0, 2**32)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_matching(metric: Tensor, r: int) -> list[set[int]]:
    """The groups of one round without a class token, pair by pair."""
    unit = torch.nn.functional.normalize(metric, dim=1)
    odds = range(1, len(metric), 2)
    pairs = [max((float(unit[a] @ unit[b]), -a, -b) for b in odds) for a in range(0, len(metric), 2)]
    groups = {i: {i} for i in range(len(metric))}
    for _, a, b in sorted(pairs, reverse=True)[:r]:
        groups[-b] |= groups.pop(-a)
    return sorted(groups.values(), key=min)


def groups_of(merge: Merge) -> list[set[int]]:
    groups = [{i for i, row in enumerate(merge.group.tolist()) if row == wanted} for wanted in range(merge.n_rows)]
    return sorted(groups, key=min)


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n_rows=st.integers(2, 20), data=st.data())
def test_a_round_merges_the_most_similar_pairs(seed: int, n_rows: int, data: st.DataObject) -> None:
    metric, r = drawn(seed, n_rows, 4), data.draw(st.integers(1, n_rows // 2))
    assert groups_of(bipartite_matching(metric, r)) == plain_matching(metric, r)


def test_equal_pairs_are_merged_from_the_first_on_and_into_the_first() -> None:
    merge = bipartite_matching(torch.ones(6, 2), 2)
    assert groups_of(merge) == [{0, 1, 2}, {3}, {4}, {5}]
    assert merge.group.tolist() == [1, 1, 1, 2, 0, 3]
    assert merge.targets.tolist() == [4, 1, 3, 5]


def test_zero_rows_are_merged_last() -> None:
    metric = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.1], [0.0, 1.0]])
    assert groups_of(bipartite_matching(metric, 1)) == [{0}, {1, 2}, {3}]


@given(seed=seeds, n_rows=st.integers(1, 12), r=st.integers(0, 20))
@settings(deadline=None, max_examples=40)
def test_the_class_token_stays_alone_and_first(seed: int, n_rows: int, r: int) -> None:
    merge = bipartite_matching(drawn(seed, n_rows, 3), r, class_token=True)
    assert merge.n_rows == n_rows - min(r, (n_rows - 1) // 2)
    assert merge.targets[0] == 0
    assert merge.group.tolist().count(int(merge.group[0])) == 1
    n_even = merge.n_rows - n_rows // 2
    assert merge.targets[:n_even].tolist() == sorted(merge.targets[:n_even].tolist())


def test_nothing_is_merged_where_nothing_is_to_go() -> None:
    merge = bipartite_matching(drawn(0, 5, 3), 0)
    assert merge.group.tolist() == merge.targets.tolist() == [0, 1, 2, 3, 4]


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n_rows=st.integers(1, 30), data=st.data())
def test_rounds_leave_as_many_rows_as_wanted_each_the_mean_of_its_group(
    seed: int, n_rows: int, data: st.DataObject
) -> None:
    rows, n_target = drawn(seed, n_rows, 4), data.draw(st.integers(1, n_rows))
    merge = matching_rounds(rows, n_target)
    assert merge.n_rows == n_target
    means = merge.means(rows)
    for row in range(n_target):
        torch.testing.assert_close(means[row], rows[merge.group == row].mean(dim=0))
        assert merge.group[merge.targets[row]] == row


def test_a_second_round_measures_what_the_first_one_made() -> None:
    rows = drawn(3, 16, 4)
    first = bipartite_matching(rows, 8)
    means, sizes = merge_weighted(rows, torch.ones(16), first)
    second = bipartite_matching(means, 3)
    both = matching_rounds(rows, 5)
    assert both.group.tolist() == second.group[first.group].tolist()
    torch.testing.assert_close(merge_weighted(means, sizes, second)[0], both.means(rows))


def test_larger_rows_weigh_more_and_sizes_add_up() -> None:
    merge = Merge(torch.tensor([0, 0, 1]), 2, torch.tensor([0, 2]))
    rows, sizes = merge_weighted(torch.tensor([[1.0], [4.0], [7.0]]), torch.tensor([2.0, 1.0, 3.0]), merge)
    assert rows.tolist() == [[2.0], [7.0]]
    assert sizes.tolist() == [3.0, 3.0]


def test_the_rows_keep_their_dtype() -> None:
    merge = Merge(torch.tensor([0, 0, 1]), 2, torch.tensor([0, 2]))
    rows, sizes = merge_weighted(torch.ones(3, 2, dtype=torch.bfloat16), torch.ones(3), merge)
    assert (rows.dtype, sizes.dtype) == (torch.bfloat16, torch.float32)


def test_rows_that_are_merged_with_none_are_not_changed() -> None:
    rows = drawn(1, 8, 5) * 1e30
    assert torch.equal(Merge.nothing(8).means(rows), rows)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_mean_of_rows_of_any_scale_is_finite(scale: float) -> None:
    rows = drawn(2, 64, 8) * scale
    means = matching_rounds(rows, 3).means(rows)
    assert means.isfinite().all()
    torch.testing.assert_close(means / scale, matching_rounds(rows / scale, 3).means(rows / scale))


def test_groups_in_raster_order_are_the_same_groups() -> None:
    merge = matching_rounds(drawn(4, 20, 4), 7)
    ordered = merge.in_raster_order()
    assert ordered.targets.tolist() == sorted(merge.targets.tolist())
    assert groups_of(ordered) == groups_of(merge)
    assert all(ordered.group[target] == row for row, target in enumerate(ordered.targets.tolist()))


@settings(deadline=None, max_examples=40)
@given(seed=seeds, n_rows=st.integers(1, 20), n_groups=st.integers(1, 8))
def test_sums_are_of_each_group_and_zero_where_a_group_is_empty(seed: int, n_rows: int, n_groups: int) -> None:
    rows, weights = drawn(seed, n_rows, 3), drawn(seed + 1, n_rows)
    group = torch.randint(n_groups, (n_rows,), generator=torch.Generator().manual_seed(seed))
    sums = group_sums(rows, group, n_groups, weights)
    for i in range(n_groups):
        torch.testing.assert_close(sums[i], (rows * weights[:, None])[group == i].sum(dim=0))


def test_of_equally_similar_targets_the_first_is_joined() -> None:
    targets = torch.tensor([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0]])
    assert most_similar(torch.tensor([[3.0, 0.0], [0.0, 0.0], [1.0, 9.0]]), targets).tolist() == [1, 0, 0]


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_rows_of_any_scale_get_length_one_and_zero_rows_stay(scale: float) -> None:
    unit = unit_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]]) * scale)
    torch.testing.assert_close(unit, torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_what_is_not_chosen_is_in_rising_order() -> None:
    assert all_but(torch.tensor([4, 0, 2]), 6).tolist() == [1, 3, 5]
    assert all_but(torch.tensor([], dtype=torch.long), 3).tolist() == [0, 1, 2]


def test_a_linear_merge_takes_rows_of_another_dtype() -> None:
    merged = linear(torch.tensor([[1.0, 1.0, 0.0]]))(torch.ones(3, 2, dtype=torch.bfloat16))
    assert merged.dtype == torch.bfloat16
    assert merged.tolist() == [[2.0, 2.0]]
