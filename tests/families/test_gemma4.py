"""What is particular to Gemma 4's checkpoints: empty thoughts, both directions, and 12B, which has no tower."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from PIL import Image

from pytest_vtc.models.decoding import Output
from pytest_vtc.models.gemma4 import Gemma4Backend
from pytest_vtc.models.gemma4_base import Gemma4Base
from pytest_vtc.models.gemma4_unified import Gemma4UnifiedBackend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.vision_side import VISION_BATCH, Wants
from tests.families.checkpoints import Parts, load_parts
from tests.families.pictures import picture
from tests.families.runs import assert_compressors_keep_their_budgets, assert_same_together_and_alone, reason_against
from tests.families.stock import stock_inputs
from tests.families.towers import given_to_stock, tower

WITH_TOWER = ("gemma4_causal", "gemma4_bidir", "gemma4_moe")
BIDIRECTIONAL = ("gemma4_bidir", "gemma4_moe", "gemma4_unified")
WIDE, TALL = picture(96, 40), picture(40, 96, seed=1)
THOUGHT = "<|channel>thought\n<channel|>"


def load(name: str, folder: Path) -> Gemma4Base:
    parts = load_parts(name, folder)
    family = Gemma4Backend if name in WITH_TOWER else Gemma4UnifiedBackend
    return family(parts.model, parts.tokenizer, parts.image_processor)


@pytest.fixture(scope="module", params=["gemma4_causal", *BIDIRECTIONAL])
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def each(variant: str, checkpoint: Callable[..., Path]) -> Gemma4Base:
    return load(variant, checkpoint(variant))


@pytest.fixture(scope="module")
def bidirectional(checkpoint: Callable[..., Path]) -> Gemma4Base:
    return load("gemma4_bidir", checkpoint("gemma4_bidir"))


@pytest.fixture(scope="module")
def unified(checkpoint: Callable[..., Path]) -> Gemma4Base:
    return load("gemma4_unified", checkpoint("gemma4_unified"))


# Prompts


@pytest.mark.parametrize("images", [[WIDE], [TALL], [WIDE, TALL]])
def test_stock_is_given_what_the_familys_processor_makes(
    each: Gemma4Base, variant: str, images: list[Image.Image]
) -> None:
    parts = Parts(each.model, each.tokenizer, each.image_processor)
    expected = stock_inputs(variant, parts, "what ?", images)
    given = given_to_stock(each, "what ?", images)
    for key in ("input_ids", "attention_mask", "mm_token_type_ids", "pixel_values", "image_position_ids"):
        assert torch.equal(given[key], expected[key]), key


def test_what_ends_the_image_belongs_to_it(each: Gemma4Base, variant: str) -> None:
    head, rest = each.split_prompt(each.prompt_ids("what ?", [(Tile(2, 3),)] * 2))
    assert each.tokenizer.decode(head).endswith("<|image><|image|><image|>")
    around = "" if variant == "gemma4_moe" else "\n\n"
    assert each.tokenizer.decode(rest).startswith(f"{around}what ?<turn|>\n<|turn>model\n")


@pytest.mark.parametrize("name", ["gemma4_causal", *BIDIRECTIONAL])
@pytest.mark.parametrize("written", [False, True], ids=["not in the template", "in the template"])
def test_letters_are_asked_for_after_the_empty_thought_of_a_larger_checkpoint(
    checkpoint: Callable[..., Path], name: str, written: bool
) -> None:
    backend = load(name, checkpoint(name))
    template = backend.tokenizer.chat_template.replace(r"<|channel>thought\n<channel|>", "")
    if written:
        template = template.replace(r"<|turn>model\n", r"<|turn>model\n<|channel>thought\n<channel|>")
    backend.tokenizer.chat_template = template
    ends = [
        backend.tokenizer.decode(backend.prompt_ids("what ?", [(Tile(2, 3),)], by_letter=by_letter)).partition("?")[2]
        for by_letter in (False, True)
    ]
    prompt = "<turn|>\n<|turn>model\n"
    thinks = name != "gemma4_causal"
    assert ends[0] == prompt + (THOUGHT if written else "")
    assert ends[1] == prompt + (THOUGHT if written or thinks else "")


@pytest.mark.parametrize(
    ("said", "visible"),
    [
        pytest.param(f"{THOUGHT}blue", "blue", id="empty thought"),
        pytest.param("<|channel>thought\nIs it red ?<channel|>blue", "blue", id="a thought"),
        pytest.param("<|channel>thought\nIs it red ?", "", id="a thought that met the limit"),
        pytest.param(f"{THOUGHT}dark <|channel>thought\nor<channel|>blue", "dark blue", id="two thoughts"),
        pytest.param(" blue<turn|>\n", "blue", id="no thought"),
    ],
)
def test_an_answer_is_read_without_thoughts_and_ends(bidirectional: Gemma4Base, said: str, visible: str) -> None:
    ids = bidirectional.tokenizer(said, add_special_tokens=False)["input_ids"]
    assert bidirectional.answer(Output(ids, False)) == visible


# The vision side


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        pytest.param((96, 64), 6, 10, id="wide"),
        pytest.param((300, 20), 2, 32, id="very wide"),
        pytest.param((1, 90), 70, 1, id="a line"),
        pytest.param((1, 1), 8, 8, id="a pixel"),
        pytest.param((700, 500), 7, 9, id="large"),
    ],
)
def test_an_image_keeps_its_proportions_within_the_budget(
    each: Any, size: tuple[int, int], rows: int, columns: int
) -> None:
    tokens = each.encode(picture(*size))
    assert tokens.tiles == (Tile(rows, columns),)
    assert len(tokens.rows) == rows * columns


@torch.inference_mode()
def test_every_token_is_made_of_the_patches_that_the_map_says(bidirectional: Gemma4Base) -> None:
    token_of_row = bidirectional._token_of_row(bidirectional.process(WIDE))
    before = bidirectional.encode(WIDE).rows
    (tile,) = bidirectional.tiles(WIDE)
    rows = [0, 2, 3, 3 * tile.columns - 1, 3 * tile.columns, 10 * tile.columns + 7, 9 * tile.n_tokens - 1]
    for row in rows:

        def change(_module: Any, _inputs: Any, output: Any, row: int = row) -> None:
            output.last_hidden_state[0, row] += torch.linspace(0, 1, output.last_hidden_state.shape[-1])

        handle = tower(bidirectional).encoder.register_forward_hook(change)
        after = bidirectional.encode(WIDE).rows
        handle.remove()
        assert (before != after).any(dim=-1).nonzero()[:, 0].tolist() == [int(token_of_row[row])]
    assert (token_of_row[9 * tile.n_tokens :] == -1).all(), "padding goes into no token"
    assert len(token_of_row) > 9 * tile.n_tokens


@torch.inference_mode()
def test_attention_is_that_of_the_eager_layer(bidirectional: Gemma4Base) -> None:
    seen = bidirectional.encode(WIDE, Wants(attention=frozenset({-2})))
    of_tower, pixels = tower(bidirectional), bidirectional._pixels(bidirectional.process(WIDE))
    before = of_tower.config._attn_implementation
    of_tower.set_attn_implementation("eager")
    weights = of_tower(pixels["pixel_values"], pixels["image_position_ids"], output_attentions=True).attentions[-2][0]
    of_tower.set_attn_implementation(before)
    (tile,) = seen.tiles
    present = 9 * tile.n_tokens
    received = weights[:, :present, :present].mean(dim=1)
    blocks = received.reshape(len(received), tile.rows, 3, tile.columns, 3)
    torch.testing.assert_close(seen.attention[-2].received, blocks.mean(dim=(2, 4)).flatten(1), atol=1e-5, rtol=0)


def test_hidden_is_what_the_projection_makes_tokens_of(each: Gemma4Base) -> None:
    tokens = each.encode(WIDE, Wants(hidden=True))
    assert tokens.hidden is not None
    with torch.inference_mode():
        projected = each.model.model.get_submodule(each.projector)(tokens.hidden)
    torch.testing.assert_close(projected, tokens.rows)


def test_compressors_keep_their_budgets_and_images_are_encoded_at_other_sizes(each: Gemma4Base, tmp_path: Path) -> None:
    assert each.encode_resized(WIDE, 3, 5).features.shape == (15, 64)
    assert_compressors_keep_their_budgets(each, tmp_path, "divprune", "pool", "random", "downsample")


# 12B


@torch.inference_mode()
def test_a_patch_is_a_token_and_moves_no_other(unified: Gemma4Base) -> None:
    processed = unified.process(WIDE)
    before = unified.encode_processed(processed).rows
    for row in (0, 9, len(before) - 1):
        changed = {key: processed[key].clone() for key in unified.pixel_keys}
        changed["pixel_values"][0, row, ::2] += 0.5
        after = unified.encode_processed(changed).rows
        assert (before != after).any(dim=-1).nonzero()[:, 0].tolist() == [row]
        assert int(unified._token_of_row(processed)[row]) == row


def test_images_of_other_proportions_share_a_call_only_if_no_bit_changes(unified: Gemma4Base) -> None:
    sizes = [(96, 64), (64, 96), (300, 20), (50, 50)]
    assert len(sizes) == VISION_BATCH
    processed = [unified.process(picture(*size, seed=i)) for i, size in enumerate(sizes)]
    alone = [unified.encode_processed(p, Wants(hidden=True)) for p in processed]
    for _ in range(2):  # the first time is the trial
        for one, other in zip(alone, unified.encode_many(processed, Wants(hidden=True)), strict=True):
            assert one.tiles == other.tiles
            assert torch.equal(one.rows, other.rows)
            assert one.hidden is not None
            assert other.hidden is not None
            assert torch.equal(one.hidden, other.hidden)


@pytest.mark.parametrize("context", ["attention", "keys"])
def test_compressors_that_look_at_an_encoder_are_told_that_there_is_none(unified: Gemma4Base, context: str) -> None:
    assert "has no vision encoder" in reason_against(unified, context)


# The language model


def test_token_types_matter_to_checkpoints_that_look_in_both_directions(each: Gemma4Base, variant: str) -> None:
    tokens = each.encode(WIDE)
    row = each.row(each.prompt_ids("what ?", [tokens.tiles]), [tokens], [None], "compact")
    (seeing,) = each.generate([row], 1, with_logits=True)
    with mock.patch.object(type(each), "token_type_key", None):
        (causal,) = each.generate([row], 1, with_logits=True)
    assert seeing.logits is not None
    assert causal.logits is not None
    assert torch.equal(seeing.logits, causal.logits) == (variant not in BIDIRECTIONAL)


@pytest.mark.parametrize("name", ["gemma4_causal", "gemma4_bidir", "gemma4_unified"])
@pytest.mark.parametrize("window", [12, 60])
def test_answers_do_not_depend_on_the_batch_where_the_window_is_short(
    checkpoint: Callable[..., Path], tmp_path: Path, name: str, window: int
) -> None:
    backend = load(name, checkpoint(name, window))
    assert backend.sliding_window == window
    assert_same_together_and_alone(backend, tmp_path)


# Checkpoints


def test_a_checkpoint_without_its_vision_side_is_refused(each: Gemma4Base) -> None:
    config = copy.deepcopy(each.model.config)
    assert type(each).refuse(config) is None
    config.vision_config = None
    assert "without its vision side" in str(type(each).refuse(config))


def test_pixels_are_rounded_where_the_model_rounds_them(checkpoint: Callable[..., Path]) -> None:
    parts = load_parts("gemma4_causal", checkpoint("gemma4_causal"), torch.bfloat16)
    backend = Gemma4Backend(parts.model, parts.tokenizer, parts.image_processor)
    image = picture(96, 64, seed=3)
    # As a user calls it who moves the processor's output to the device and leaves its precision alone.
    plain = parts.image_processor(images=[image], return_tensors="pt")
    with torch.inference_mode():
        features = parts.model.model.get_image_features(
            plain["pixel_values"], plain["image_position_ids"], return_dict=True
        ).pooler_output
    assert torch.equal(backend.encode(image).features, torch.cat([*features]))
