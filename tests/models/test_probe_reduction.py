"""The reduction of the attention of one image, against the whole matrix of weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pytest_vtc.models.probe import reduce_attention

HEADS, KEY_HEADS, ROWS, WIDTH = 4, 2, 37, 8


@pytest.fixture
def tensors() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(HEADS, ROWS, WIDTH, generator=generator)
    return query, torch.randn(KEY_HEADS, ROWS, WIDTH, generator=generator)


def weights(query: Tensor, key: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    scores = query @ key.repeat_interleave(2, 0).transpose(1, 2) * WIDTH**-0.5
    return (scores + bias).softmax(-1)


def test_serves_several_query_heads_by_one_key_head(tensors: tuple[Tensor, Tensor]) -> None:
    received, cls = reduce_attention(*tensors, class_row=True)
    expected = weights(*tensors)
    torch.testing.assert_close(received, expected.mean(1), atol=1e-6, rtol=0)
    torch.testing.assert_close(cls, expected[:, 0], atol=1e-6, rtol=0)


@pytest.mark.parametrize("queries_at_once", [1, 5, 36, 37])
def test_in_chunks_gives_the_same(tensors: tuple[Tensor, Tensor], queries_at_once: int) -> None:
    n_bytes = 2 * 4 * HEADS * ROWS * queries_at_once
    whole = reduce_attention(*tensors, class_row=True)
    for a, b in zip(reduce_attention(*tensors, class_row=True, score_bytes=n_bytes), whole, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=0)


def test_holds_no_more_scores_than_allowed(tensors: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    bmm = torch.bmm

    def measured(a: Tensor, b: Tensor) -> Tensor:
        sizes.append(4 * bmm(a, b).numel())
        return bmm(a, b)

    monkeypatch.setattr(torch, "bmm", measured)
    reduce_attention(*tensors, score_bytes=10_000)
    assert len(sizes) > 1
    assert max(sizes) <= 10_000 / 2


def test_reads_a_mask_that_is_added_as_one_of_booleans(tensors: tuple[Tensor, Tensor]) -> None:
    allowed = (torch.arange(ROWS) % 3 > 0).expand(1, ROWS, ROWS)
    added = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    by_rows, _ = reduce_attention(*tensors, mask=allowed[0, 0])
    for mask in (allowed, added):
        assert torch.equal(reduce_attention(*tensors, mask=mask)[0], by_rows)


def test_keeps_to_a_mask_that_is_more_than_padding(tensors: tuple[Tensor, Tensor]) -> None:
    block = torch.arange(ROWS) // 10
    mask = (block[:, None] == block)[None]
    bias = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    received, _ = reduce_attention(*tensors, mask=mask)
    torch.testing.assert_close(received, weights(*tensors, bias).mean(1), atol=1e-6, rtol=0)


def test_of_an_image_that_is_all_padding_is_nothing(tensors: tuple[Tensor, Tensor]) -> None:
    received, _ = reduce_attention(*tensors, mask=torch.zeros(1, ROWS, ROWS, dtype=torch.bool))
    assert not received.any()


def test_padding_adds_nothing(tensors: tuple[Tensor, Tensor]) -> None:
    query, key = tensors
    padded, _ = reduce_attention(query, key, mask=(torch.arange(ROWS) < 20).expand(1, ROWS, ROWS))
    alone, _ = reduce_attention(query[:, :20], key[:, :20])
    assert torch.equal(padded[:, :20], alone)
    assert not padded[:, 20:].any()


def test_other_images_of_the_batch_add_nothing(tensors: tuple[Tensor, Tensor]) -> None:
    def as_in_a_model(per_head: Tensor, n_images: int) -> Tensor:
        """[H, P, d] of the last of so many images, in the memory layout of a projection's output."""
        rows = per_head.transpose(0, 1).flatten(1).expand(n_images, -1, -1).contiguous()
        return rows.unflatten(-1, (-1, WIDTH)).transpose(1, 2)[-1]

    alone, beside_others = ([as_in_a_model(t, n_images) for t in tensors] for n_images in (1, 5))
    assert torch.equal(reduce_attention(*alone)[0], reduce_attention(*beside_others)[0])
