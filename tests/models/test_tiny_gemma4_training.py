"""Training of the embedded model: labels and packed conversations say what they should, a run from scratch ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import Gemma4ForConditionalGeneration, PreTrainedTokenizerFast

from pytest_vtc.datasets.detail_scenes.planning import DETAILS, make_scene
from pytest_vtc.datasets.detail_scenes.positions import DIRECTIONS
from pytest_vtc.datasets.detail_scenes.scenes import Thing
from pytest_vtc.datasets.detail_scenes.vocabulary import SHAPES
from pytest_vtc.datasets.palette import COLOURS, SOFT_TOKEN_PX
from pytest_vtc.models.catalogue import CATALOGUE
from pytest_vtc.models.tiny_gemma4.model import build_model, carry_over
from pytest_vtc.models.tiny_gemma4.tokenizer import build_tokenizer
from pytest_vtc.models.tiny_gemma4.train import pack
from pytest_vtc.models.tiny_gemma4.training_data import CONTENTS, UNKNOWN, detail_labels

CHECKPOINT = Path(CATALOGUE["tiny-gemma4"].location)


def test_packed_conversations_look_at_what_they_share_and_at_themselves() -> None:
    packed = pack([[[1, 2, 3, 4], [1, 2, 5, 6]], [[1, 2, 7]]], n_shared=2, pad=0)
    assert packed.ids.tolist() == [[1, 2, 3, 4, 5, 6], [1, 2, 7, 0, 0, 0]]
    assert packed.positions[0].tolist() == [0, 1, 2, 3, 2, 3]
    assert packed.mask[0, 0, 3].tolist() == [True, True, True, True, False, False]
    assert packed.mask[0, 0, 5].tolist() == [True, True, False, False, True, True]
    assert packed.ends.tolist() == [[0, 3], [0, 5], [1, 2]]


def test_a_packed_conversation_is_answered_like_one_alone() -> None:
    model: Any = Gemma4ForConditionalGeneration.from_pretrained(CHECKPOINT, dtype=torch.float32)
    shared, endings = [2, 30, 40, 50], [[60, 70, 80], [90, 100]]
    packed = pack([[shared + ending for ending in endings]], n_shared=4, pad=0)
    with torch.no_grad():
        masks = {"full_attention": packed.mask, "sliding_attention": packed.mask}
        together = model(input_ids=packed.ids, attention_mask=masks, position_ids=packed.positions).logits
        for ending, (row, end) in zip(endings, packed.ends.tolist(), strict=True):
            alone = model(input_ids=torch.tensor([shared + ending])).logits
            torch.testing.assert_close(together[row, end], alone[0, -1])


def test_weights_are_carried_over_by_piece() -> None:
    old: Any = Gemma4ForConditionalGeneration.from_pretrained(CHECKPOINT, dtype=torch.float32)
    pieces: Any = PreTrainedTokenizerFast.from_pretrained(CHECKPOINT)
    # A word that sorts before all others moves every piece to another row.
    tokenizer: Any = build_tokenizer(["aardvark", "red", "circle"])
    model: Any = build_model(tokenizer)
    fresh = model.lm_head.weight[tokenizer.convert_tokens_to_ids("aardvark")].clone()
    assert carry_over(model, tokenizer, CHECKPOINT) == 2
    for piece in ("red", "\u2581circle", "<|turn>", "x"):
        new_id, old_id = tokenizer.convert_tokens_to_ids(piece), pieces.convert_tokens_to_ids(piece)
        assert torch.equal(model.lm_head.weight[new_id], old.lm_head.weight[old_id])
        tables = [m.model.language_model.embed_tokens_per_layer.weight for m in (model, old)]
        assert torch.equal(tables[0][new_id], tables[1][old_id])
    assert torch.equal(model.lm_head.weight[tokenizer.convert_tokens_to_ids("aardvark")], fresh)
    assert torch.equal(
        model.model.language_model.layers[0].mlp.up_proj.weight, old.model.language_model.layers[0].mlp.up_proj.weight
    )


@given(st.integers(0, 100_000))
@example(6144)  # a word of which two others hide both tokens
def test_every_thing_of_a_scene_is_behind_some_token_unless_others_are(index: int) -> None:
    scene = make_scene(DETAILS, "train", index)
    labels = detail_labels(scene)
    found = {CONTENTS[content] for content in labels[:, 0].tolist() if content != UNKNOWN}
    assert labels.shape == (64, 6)
    if scene.chart:
        return
    shown = {f"{thing.kind} {thing.value}": tokens_of(thing) for thing in scene.things}
    assert found - {"nothing"} <= set(shown)
    for name in set(shown) - found:
        assert any(shown[name] & tokens for other, tokens in shown.items() if other != name)


def tokens_of(thing: Thing) -> set[tuple[int, int]]:
    """(row, column) of the tokens that its box touches."""
    box = thing.box
    rows = range(box.top // SOFT_TOKEN_PX, (box.bottom - 1) // SOFT_TOKEN_PX + 1)
    columns = range(box.left // SOFT_TOKEN_PX, (box.right - 1) // SOFT_TOKEN_PX + 1)
    return {(row, column) for row in rows for column in columns}


def test_a_detail_inside_one_token_is_labelled_there_only() -> None:
    scene = make_scene(DETAILS, "train", DETAILS.categories.index(("letter", "0.25")))
    labels = detail_labels(scene)
    assert (labels[:, 0] != 0).sum() == len(scene.things)


def test_the_neighbours_of_a_shape_are_those_that_are_asked_for() -> None:
    scene = make_scene(DETAILS, "train", DETAILS.categories.index(("position", "0.5")))
    labels = detail_labels(scene)
    for question in scene.questions:
        _, _, *direction, _, colour, shape, _ = question.text.split()
        of = torch.tensor([CONTENTS.index(f"shape {shape}"), 1 + list(COLOURS).index(colour)])
        (token,) = (labels[:, :2] == of).all(-1).nonzero()[0]
        place = 2 + list(DIRECTIONS).index(" ".join(direction))
        assert list(SHAPES)[labels[token, place] - 1] == question.answers[0]


@pytest.mark.slow
def test_training_from_scratch_runs_through_all_phases(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest_vtc.models.tiny_gemma4.train", "--output", str(tmp_path), "--threads", "1"]
    subprocess.run([*command, "--scale", "0.001"], check=True, timeout=600)
    assert (tmp_path / "model.safetensors").stat().st_size <= 4_000_000
    log = (tmp_path / "train.log").read_text()
    assert log.splitlines()[-1].startswith("finished in ")
    model: Any = Gemma4ForConditionalGeneration.from_pretrained(tmp_path)
    assert type(model).__name__ == "Gemma4ForConditionalGeneration"
