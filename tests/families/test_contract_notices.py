"""The contract of families notices what it is there for: each of these backends has one fact wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.models.backend import Backend
from pytest_vtc.models.contract import FamilyContract
from pytest_vtc.models.gemma4 import Gemma4Backend
from pytest_vtc.models.sequences import Prefix
from tests.families.checkpoints import load_parts, make_checkpoint

Broken = Callable[[type[Backend]], Backend]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    folder: Path = make_checkpoint("gemma4_bidir", tmp_path_factory.mktemp("gemma4_bidir"))

    def load(family: type[Backend]) -> Backend:
        parts = load_parts("gemma4_bidir", folder)
        return family(parts.model, parts.tokenizer, parts.image_processor)

    return load


def test_a_whole_family_passes(broken: Broken) -> None:
    FamilyContract().test_keeping_all_tokens_is_the_stock_model(broken(Gemma4Backend), "compact")


def test_image_positions_that_are_not_marked(broken: Broken) -> None:
    class Unmarked(Gemma4Backend):
        def _go_on(self, *args: Any) -> Any:
            self.token_type_key = None  # type: ignore[misc]
            try:
                return super()._go_on(*args)
            finally:
                self.token_type_key = Gemma4Backend.token_type_key  # type: ignore[misc]

    with pytest.raises(AssertionError):
        FamilyContract().test_keeping_all_tokens_is_the_stock_model(broken(Unmarked), "compact")


def test_rows_that_are_not_the_models(broken: Broken) -> None:
    class Scaled(Gemma4Backend):
        def _pack(self, features: list[Tensor], deepstack: list[Tensor]) -> Any:
            return super()._pack([rows * 1.001 for rows in features], deepstack)

    with pytest.raises(AssertionError):
        FamilyContract().test_keeping_all_tokens_is_the_stock_model(broken(Scaled), "original")


class Shifted(Gemma4Backend):
    """Dropped tokens leave no gap in what should be original positions."""

    def prefix(self, head: list[int], images: Any, kept: Any, _positions: Any) -> Prefix:
        return super().prefix(head, images, kept, "compact")


def test_positions_that_are_not_those_of_the_whole_prompt(broken: Broken) -> None:
    with pytest.raises(AssertionError):
        FamilyContract().test_dropping_tokens_is_masking_them(broken(Shifted))
    with pytest.raises(AssertionError):
        FamilyContract().test_positions_are_those_of_the_whole_prompt_or_renumbered(broken(Shifted))


def test_padding_that_is_seen(broken: Broken) -> None:
    class SeesPadding(Gemma4Backend):
        def _batch(self, sequences: Any) -> Any:
            batch = super()._batch(sequences)
            batch.mask[:] = 1
            return batch

    with pytest.raises(AssertionError):
        FamilyContract().test_a_padded_batch_of_mixed_lengths_answers_like_each_row_alone(
            broken(SeesPadding), "original"
        )


def test_a_beginning_that_is_another_images(broken: Broken) -> None:
    class Mixed(Gemma4Backend):
        def prefill(self, prefixes: Any, lead: Any = None) -> Any:
            begun = super().prefill(prefixes, lead)
            if begun.places is not None and len(begun.places) > 1:
                for key in begun.places:
                    begun.places[key] = 0
            return begun

    with pytest.raises((AssertionError, IndexError, RuntimeError)):
        FamilyContract().test_rows_that_go_on_from_a_beginning_answer_as_from_scratch(broken(Mixed), "compact")


def test_encoder_rows_that_are_given_to_no_token(broken: Broken) -> None:
    class Lost(Gemma4Backend):
        def _token_of_row(self, pixels: Any) -> Tensor:
            return torch.where(super()._token_of_row(pixels) == 0, 1, super()._token_of_row(pixels))

    with pytest.raises(AssertionError):
        FamilyContract().test_looking_on_changes_no_bit_and_shows_one_entry_per_token(broken(Lost))


def test_bytes_that_are_not_those_of_the_cache(broken: Broken) -> None:
    class Padded(Gemma4Backend):
        def kv_bytes(self, n_tokens: int) -> int:
            return super().kv_bytes(n_tokens + 1)

    with pytest.raises(AssertionError):
        FamilyContract().test_the_bytes_of_keys_and_values_are_those_that_the_model_itself_keeps(broken(Padded))


def test_a_budget_that_is_not_kept(broken: Broken) -> None:
    class Generous(Gemma4Backend):
        def prefix(self, head: list[int], images: Any, kept: Any, positions: Any) -> Prefix:
            return super().prefix(head, images, [None for _ in kept], positions)

    with pytest.raises(AssertionError):
        FamilyContract().test_the_budget_of_each_image_is_kept(broken(Generous))
