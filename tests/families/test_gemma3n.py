"""Gemma 3n's own ways: a tower without attention, and a map of it that is the grid of tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from pytest_vtc.models.decoding import Output
from pytest_vtc.models.gemma3n import Gemma3nBackend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.text_side import PromptError
from pytest_vtc.models.vision_side import Wants
from tests.families.checkpoints import Parts, load_parts
from tests.families.pictures import picture
from tests.families.runs import (
    assert_compressors_keep_their_budgets,
    assert_same_together_and_alone,
    reason_against,
    refusal,
)
from tests.families.stock import stock_inputs
from tests.families.towers import given_to_stock

WIDE, TALL = picture(96, 40), picture(40, 96, seed=1)
BLOCK = "\n\n<start_of_image><image_soft_token><end_of_image>\n\n"


def load(folder: Path) -> Gemma3nBackend:
    parts = load_parts("gemma3n", folder)
    return Gemma3nBackend(parts.model, parts.tokenizer, parts.image_processor)


@pytest.fixture(scope="module")
def backend(checkpoint: Callable[..., Path]) -> Gemma3nBackend:
    return load(checkpoint("gemma3n"))


@pytest.mark.parametrize("images", [[WIDE], [TALL], [WIDE, TALL]])
def test_stock_is_given_what_the_familys_processor_makes(backend: Gemma3nBackend, images: list[Image.Image]) -> None:
    parts = Parts(backend.model, backend.tokenizer, backend.image_processor)
    expected = stock_inputs("gemma3n", parts, "what ?", images)
    given = given_to_stock(backend, "what ?", images)
    for key in ("input_ids", "attention_mask", "pixel_values"):
        assert torch.equal(given[key], expected[key]), key


def test_token_types_which_the_processor_gives_as_well_change_nothing(backend: Gemma3nBackend) -> None:
    parts = Parts(backend.model, backend.tokenizer, backend.image_processor)
    inputs = stock_inputs("gemma3n", parts, "what ?", [WIDE])
    with torch.inference_mode():
        logits = [
            backend.model(**{**inputs, "token_type_ids": types}).logits for types in (inputs["token_type_ids"], None)
        ]
    assert torch.equal(*logits)


@pytest.mark.parametrize("size", [(96, 40), (3, 300), (1, 1), (500, 400)])
def test_an_image_of_any_size_is_one_square_of_tokens(backend: Gemma3nBackend, size: tuple[int, int]) -> None:
    tokens = backend.encode(picture(*size))
    assert tokens.tiles == (Tile(5, 5),)
    assert tokens.rows.shape == (25, 64)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 4), (2, 1), (4, 0)])
def test_the_towers_map_becomes_tokens_row_by_row(backend: Gemma3nBackend, row: int, column: int) -> None:
    def change(_module: Any, _inputs: Any, output: Any) -> None:
        output.last_hidden_state[0, :, row, column] += torch.linspace(0, 1, output.last_hidden_state.shape[1])

    before = backend.encode(WIDE).rows
    handle = backend.model.model.vision_tower.register_forward_hook(change)
    after = backend.encode(WIDE).rows
    handle.remove()
    assert (before != after).any(dim=-1).nonzero()[:, 0].tolist() == [5 * row + column]


def test_hidden_is_what_the_projection_makes_tokens_of(backend: Gemma3nBackend) -> None:
    tokens = backend.encode(WIDE, Wants(hidden=True))
    assert tokens.hidden is not None
    with torch.inference_mode():
        projected = backend.model.model.embed_vision(inputs_embeds=tokens.hidden[None])[0]
    torch.testing.assert_close(projected, tokens.rows)


@pytest.mark.parametrize("context", ["attention", "keys"])
def test_compressors_that_look_at_an_encoder_are_told_that_there_is_none(backend: Gemma3nBackend, context: str) -> None:
    assert "convolutional network" in reason_against(backend, context)


def test_downsample_says_why_it_cannot_be_run(backend: Gemma3nBackend, tmp_path: Path) -> None:
    assert "the same number of tokens of every image" in refusal(backend, tmp_path, "downsample")


def test_compressors_keep_their_budgets(backend: Gemma3nBackend, tmp_path: Path) -> None:
    assert_compressors_keep_their_budgets(backend, tmp_path, "divprune", "pool", "random")


@pytest.mark.parametrize("window", [12, 40])
def test_answers_do_not_depend_on_the_batch_where_the_window_is_short(
    checkpoint: Callable[..., Path], tmp_path: Path, window: int
) -> None:
    backend = load(checkpoint("gemma3n", window))
    assert backend.sliding_window == window
    assert_same_together_and_alone(backend, tmp_path)


def test_what_ends_the_image_belongs_to_it_and_the_newlines_after_it_do_not(backend: Gemma3nBackend) -> None:
    head, rest = backend.split_prompt(backend.prompt_ids("what ?", [(Tile(5, 5),)] * 2))
    assert backend.tokenizer.decode(head) == f"<bos><start_of_turn>user\n{BLOCK * 2}".rstrip("\n")
    assert backend.tokenizer.decode(rest) == "\n\nwhat ?<end_of_turn>\n<start_of_turn>model\n"


def test_a_question_that_holds_placeholders_is_refused(backend: Gemma3nBackend) -> None:
    with pytest.raises(PromptError, match="must not contain"):
        backend.prompt_ids("is <image_soft_token> a token ?", [(Tile(5, 5),)])


def test_an_answer_is_read_without_its_end(backend: Gemma3nBackend) -> None:
    ids = backend.tokenizer(" blue<end_of_turn>\n", add_special_tokens=False)["input_ids"]
    assert backend.answer(Output(ids, False)) == "blue"
