"""Running an encoder's layers with a reducer: what it is shown and handed, and how wrong answers are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pytest_vtc.compression import CompressionError, EncoderReducer, EncoderStep, Merge, Reduction
from pytest_vtc.conformance.made_up_tower import run_made_up_tower
from pytest_vtc.models.inside import EncoderRows

GRID = (3, 4)


def rows(has_cls: bool) -> Tensor:
    return torch.randn(12 + has_cls, 16, generator=torch.Generator().manual_seed(0))


def run(reducer: EncoderReducer, has_cls: bool = True) -> EncoderRows:
    return run_made_up_tower(rows(has_cls), reducer, GRID, has_cls=has_cls, n_layers=4, n_heads=2, seed=1)


class Answers(EncoderReducer):
    """The same answer at one place of one layer. places: where it was asked."""

    def __init__(self, answer: Callable[[EncoderStep], Reduction | None], at: tuple[int, str] = (1, "block")) -> None:
        self.answer, self.at = answer, at
        self.places: list[tuple[int, str]] = []

    def asked(self, step: EncoderStep, place: str) -> Reduction | None:
        self.places.append((step.layer, place))
        return self.answer(step) if (step.layer, place) == self.at else None

    def after_attention(self, step: EncoderStep) -> Reduction | None:
        return self.asked(step, "attention")

    def after_block(self, step: EncoderStep) -> Reduction | None:
        return self.asked(step, "block")


def keep(*indices: int) -> Answers:
    return Answers(lambda _step: torch.tensor(indices))


def group(*numbers: int, n_rows: int, targets: tuple[int, ...]) -> Answers:
    return Answers(lambda _step: Merge(torch.tensor(numbers), n_rows, torch.tensor(targets)))


def test_it_is_asked_twice_in_every_layer() -> None:
    run(reducer := Answers(lambda _step: None))
    assert reducer.places == [(layer, place) for layer in range(4) for place in ("attention", "block")]


def test_rows_are_kept_in_the_order_that_is_asked_for() -> None:
    assert run(keep(0, 7, 2, 5)).sources.tolist() == [-1, 6, 1, 4]
    assert run(keep(7, 2, 5), has_cls=False).sources.tolist() == [7, 2, 5]


def test_sizes_and_sources_go_with_the_rows_they_are_of() -> None:
    state = run(group(0, 1, 2, 1, 2, 2, *range(3, 10), n_rows=10, targets=(0, 3, 2, *range(6, 13))))
    assert state.sizes.tolist() == [1, 2, 3] + [1] * 7
    assert state.sources.tolist() == [-1, 2, 1, *range(5, 12)]


class Chain(EncoderReducer):
    """Two rows become one in the first layer, and that and another in the second; notes the sizes it then sees."""

    def after_block(self, step: EncoderStep) -> Merge | None:
        n = len(step.rows)
        self.sizes = step.sizes.tolist()
        if step.layer > 1:
            return None
        return Merge(torch.tensor([0, 1, 1, *range(2, n - 1)]), n - 1, torch.tensor([0, 1, *range(3, n)]))


def test_a_later_step_sees_what_an_earlier_one_left() -> None:
    run(chain := Chain())
    assert chain.sizes == [1, 3] + [1] * 9


class WritesInto(EncoderReducer):
    def after_attention(self, step: EncoderStep) -> None:
        for tensor in (step.rows, step.sizes, step.sources, step.queries, step.keys, step.values):
            tensor.zero_()


def test_what_it_is_shown_may_be_written_into() -> None:
    assert torch.equal(run(WritesInto()).rows, run(EncoderReducer()).rows)


def test_attention_is_gone_once_rows_were_reduced_after_it() -> None:
    class Late(EncoderReducer):
        def after_attention(self, step: EncoderStep) -> Tensor:  # noqa: ARG002
            return torch.arange(5)

        def after_block(self, step: EncoderStep) -> None:
            _ = step.keys

    with pytest.raises(ValueError, match="the keys of this layer were of more rows"):
        run(Late())


@pytest.mark.parametrize(
    ("reducer", "why"),
    [
        (keep(0, 3, 3), "more than once"),
        (keep(0, 13), r"rows to keep outside 0\.\.12"),
        (keep(3, 0), "drops or moves the class row"),
        (keep(0), "keeps no row of the image"),
        (Answers(lambda step: step.rows[:, 0]), r"rows to keep of shape \[13\] and dtype torch.float32"),
        (Answers(lambda _step: torch.tensor([[0, 1]])), r"of shape \[1, 2\]"),
        (group(0, 1, n_rows=2, targets=(0, 1)), "groups to 2 of 13 rows"),
        (group(0, *range(13, 1, -1), n_rows=13, targets=tuple(range(13))), r"groups outside 0\.\.12"),
        (group(0, 1, 1, *range(3, 13), n_rows=13, targets=tuple(range(13))), "group 2 of 13 without a row"),
        (group(0, 0, *range(1, 12), n_rows=12, targets=tuple(range(12))), "merges or moves the class row"),
        (group(0, 1, 1, *range(2, 12), n_rows=12, targets=(0, 1)), "2 targets of 12 merged rows"),
    ],
)
def test_an_answer_that_is_none_is_refused(reducer: EncoderReducer, why: str) -> None:
    with pytest.raises(CompressionError, match=why):
        run(reducer)


def test_without_a_class_row_the_first_may_be_dropped_but_not_all() -> None:
    assert run(keep(4), has_cls=False).sources.tolist() == [4]
    with pytest.raises(CompressionError, match="keeps no row"):
        run(Answers(lambda _step: torch.zeros(0, dtype=torch.long)), has_cls=False)


def test_a_row_that_is_merged_with_none_keeps_every_bit_in_half_precision() -> None:
    before = EncoderRows.of_patches(rows(has_cls=True).to(torch.bfloat16), has_cls=True)
    after = before.reduced(Merge(torch.tensor([0, 1, 1, *range(2, 12)]), 12, torch.tensor([0, 1, *range(3, 13)])))
    assert after.rows.dtype == torch.bfloat16
    assert torch.equal(after.rows[2:], before.rows[3:])
    assert torch.equal(after.rows[1], before.rows[1:3].float().mean(dim=0).to(torch.bfloat16))
