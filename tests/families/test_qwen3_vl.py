"""What is particular to Qwen3-VL: rows for the first layers of the language model, and thoughts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pytest_vtc.compressed import Compressed, run_compressor
from pytest_vtc.compression import CompressionError
from pytest_vtc.discovery import resolve
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.qwen3_vl import Qwen3VLBackend
from tests.families.checkpoints import load_parts
from tests.families.pictures import picture

WIDE = picture(96, 64)


@pytest.fixture(scope="module")
def backend(checkpoint: Callable[[str], Path]) -> Backend:
    parts = load_parts("qwen3_vl", checkpoint("qwen3_vl"))
    return Qwen3VLBackend(parts.model, parts.tokenizer, parts.image_processor)


def test_deepstack_rows_are_those_of_each_layer_side_by_side(backend: Backend) -> None:
    pixels = backend.process(WIDE)
    with torch.inference_mode():
        seen = backend.model.model.get_image_features(**{key: pixels[key] for key in backend.pixel_keys})
    tokens = backend.encode_processed(pixels)
    assert tokens.deepstack is not None
    assert tokens.deepstack.shape == (40, 3 * 64)
    for found, expected in zip(tokens.deepstack.split(64, dim=1), seen.deepstack_features, strict=True):
        assert torch.equal(found, *expected)


def test_deepstack_rows_reach_the_layers_they_are_for(backend: Backend) -> None:
    features = [torch.rand(2, 64), torch.rand(3, 64)]
    layers = [torch.arange(5.0)[:, None].expand(-1, 64) + 10 * layer for layer in range(3)]
    packed = backend._pack(features, [*torch.cat(layers, dim=1).split([2, 3])])["image"]
    assert [torch.equal(a, b) for a, b in zip(packed.pooler_output, features, strict=True)] == [True, True]
    for of_layer, expected in zip(packed.deepstack_features, layers, strict=True):
        assert torch.equal(torch.cat(of_layer), expected)


def test_pooled_tokens_have_pooled_deepstack_rows(backend: Backend) -> None:
    tokens = backend.encode(WIDE)
    assert tokens.deepstack is not None
    (pool,) = resolve(["pool"])
    pooled = run_compressor(pool, tokens.features, 10, {"grid": tokens.grid})
    row = backend.row(backend.prompt_ids("?", [tokens.tiles]), [tokens], [pooled], "original")
    (deepstack,) = row.prefix.deepstack
    for found, of_layer in zip(deepstack.split(64, dim=1), tokens.deepstack.split(64, dim=1), strict=True):
        assert torch.equal(found, run_compressor(pool, of_layer, 10, {"grid": tokens.grid}).rows)


def test_an_image_encoded_afresh_has_deepstack_rows_of_its_own(backend: Backend) -> None:
    tokens = backend.encode(WIDE)
    kept = backend.encode_resized(WIDE, *tokens.grid)
    assert kept.merge is not None
    assert tokens.deepstack is not None
    assert torch.equal(kept.merge(torch.zeros_like(tokens.deepstack)), tokens.deepstack)


def test_deepstack_rows_matter_to_the_answer(backend: Backend) -> None:
    tokens = backend.encode(WIDE)
    ids, kept = backend.prompt_ids("?", [tokens.tiles]), Compressed(torch.arange(9), None, torch.arange(9))
    row = backend.row(ids, [tokens], [kept], "original")
    (answer,) = backend.generate([row], 4, with_logits=True)
    row.prefix.deepstack[0].zero_()
    (without,) = backend.generate([row], 4, with_logits=True)
    assert answer.logits is not None
    assert without.logits is not None
    assert not torch.allclose(answer.logits[0], without.logits[0], atol=0.1)


def test_rows_from_nowhere_are_refused_because_their_deepstack_rows_are_unknown(backend: Backend) -> None:
    tokens = backend.encode(WIDE)
    ids, rows = backend.prompt_ids("?", [tokens.tiles]), Compressed(None, torch.zeros(3, 64), None)
    with pytest.raises(CompressionError, match="deepstack"):
        backend.row(ids, [tokens], [rows], "compact")


@pytest.fixture(scope="module")
def thinking(checkpoint: Callable[[str], Path]) -> Backend:
    parts = load_parts("qwen3_vl", checkpoint("qwen3_vl"))
    parts.tokenizer.add_tokens(["<think>", "</think>"])
    parts.tokenizer.chat_template = parts.tokenizer.chat_template.replace(r"assistant\n", r"assistant\n<think>\n")
    return Qwen3VLBackend(parts.model, parts.tokenizer, parts.image_processor)


class TestAThinkingCheckpoint:
    def test_has_begun_a_thought_in_its_prompt(self, thinking: Backend) -> None:
        assert thinking.tokenizer.decode(thinking.prompt_ids("?", [])).endswith("assistant\n<think>\n")

    def test_has_ended_it_where_a_letter_is_next(self, thinking: Backend) -> None:
        ids = thinking.prompt_ids("?", [], by_letter=True)
        assert thinking.tokenizer.decode(ids).endswith("assistant\n<think>\n\n</think>\n\n")

    @pytest.mark.parametrize(
        ("said", "truncated", "answer"),
        [
            ("It is red.</think>\n\nRed", False, "Red"),
            ("It is red.</think>\n\nRed an", True, "Red an"),
            ("It is", True, ""),
            ("B", False, "B"),
        ],
        ids=["whole", "answer cut off", "thought cut off", "letter"],
    )
    def test_says_only_its_answer(self, thinking: Backend, said: str, truncated: bool, answer: str) -> None:
        ids = thinking.tokenizer(said, add_special_tokens=False)["input_ids"]
        assert thinking.answer(Output(ids, truncated)) == answer


def test_a_cut_off_answer_of_other_checkpoints_is_shown(backend: Backend) -> None:
    ids = backend.tokenizer("It is", add_special_tokens=False)["input_ids"]
    assert backend.answer(Output(ids, truncated=True)) == "It is"
