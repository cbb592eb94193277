"""PruMerge's building blocks, against loops that do the same one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.attention_merging import absorb_nearest, attention_of_class_token, n_outliers, nearest

seeds = st.integers(0, 2**32)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_rows(rows: Tensor, keys: Tensor, chosen: list[int], attention: Tensor, n_nearest: int) -> Tensor:
    flat = torch.nn.functional.normalize(keys.transpose(0, 1).flatten(1), dim=1)
    made: list[Tensor] = []
    for token in chosen:
        others = [other for other in range(len(rows)) if other != token]
        others.sort(key=lambda other: -float(flat[token] @ flat[other]))
        made.append(rows[token] + sum(attention[other] * rows[other] for other in others[:n_nearest]))
    rest = [token for token in range(len(rows)) if token not in chosen]
    return torch.stack([*made, (attention[rest, None] * rows[rest]).sum(dim=0)])


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n_tokens=st.integers(1, 14), n_nearest=st.integers(1, 16), data=st.data())
def test_chosen_tokens_take_in_the_nearest_and_one_row_the_rest(
    seed: int, n_tokens: int, n_nearest: int, data: st.DataObject
) -> None:
    n_chosen = data.draw(st.integers(0, n_tokens - 1))
    chosen = torch.randperm(n_tokens, generator=torch.Generator().manual_seed(seed))[:n_chosen]
    rows, keys, attention = drawn(seed, n_tokens, 3), drawn(seed + 1, 2, n_tokens, 4), drawn(seed + 2, n_tokens).abs()
    made = absorb_nearest(keys, chosen, attention, n_nearest)
    torch.testing.assert_close(made.weights @ rows, plain_rows(rows, keys, chosen.tolist(), attention, n_nearest))
    rest = {*range(n_tokens)} - {*chosen.tolist()}
    assert made.positions.tolist() == [*chosen.tolist(), max(rest, key=lambda token: (attention[token], -token))]


def test_of_equally_near_tokens_the_first_are_taken() -> None:
    similarity = torch.tensor([[0.5, 0.9, 0.5, 0.5], [1.0, 1.0, 1.0, 1.0]])
    assert nearest(similarity, 2).tolist() == [[True, True, False, False], [True, True, False, False]]


def test_the_attention_of_the_class_token_is_that_of_all_heads_as_one() -> None:
    query, keys = drawn(0, 2, 1, 4), drawn(1, 2, 6, 4)
    flat = keys.transpose(0, 1).flatten(1) @ query.transpose(0, 1).flatten(1)[0] / 8**0.5
    torch.testing.assert_close(attention_of_class_token(query, keys[:, :1], keys[:, 1:]), flat.softmax(dim=0)[1:])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_attention_of_keys_of_any_scale_is_finite(scale: float) -> None:
    keys = drawn(1, 2, 6, 4) * scale
    assert attention_of_class_token(keys[:, :1], keys[:, :1], keys[:, 1:]).isfinite().all()


@settings(deadline=None, max_examples=30)
@given(seed=seeds, n_tokens=st.integers(1, 40))
def test_outliers_are_those_beyond_the_whisker_of_a_box_plot(seed: int, n_tokens: int) -> None:
    values = drawn(seed, n_tokens) ** 4
    first, third = np.percentile(values.double().numpy(), [25, 75])
    assert n_outliers(values) == int((values.double().numpy() > third + 1.5 * (third - first)).sum())


def test_constant_values_have_no_outliers() -> None:
    assert n_outliers(torch.full((9,), 0.1)) == 0
