"""Gemma 3's own ways: tokens of an image see each other, pan and scan, 4 x 4 patches to a token."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import torch
from PIL import Image
from transformers import Gemma3Processor

from pytest_vtc.compressed import Compressed
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.gemma3 import Gemma3Backend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.text_side import PromptError
from pytest_vtc.models.vision_side import VISION_BATCH, Wants
from tests.families.checkpoints import Parts, load_parts
from tests.families.pictures import picture
from tests.families.runs import assert_compressors_keep_their_budgets, assert_same_together_and_alone, refusal
from tests.families.stock import stock_inputs
from tests.families.towers import by_token, eager_layer, given_to_stock, heads, tokens_moved_by, tower

WIDE, TALL, SQUARE = picture(96, 40), picture(40, 96, seed=1), picture(30, 30, seed=2)
SIDE, N_TOKENS = 4, 25  # patches along a token, tokens of an image
SCAN = {
    "do_pan_and_scan": True,
    "pan_and_scan_min_crop_size": 16,
    "pan_and_scan_max_num_crops": 4,
    "pan_and_scan_min_ratio_to_activate": 1.2,
}
BLOCK = "\n\n<start_of_image><image_soft_token><end_of_image>\n\n"


def load(folder: Path) -> Gemma3Backend:
    parts = load_parts("gemma3", folder)
    return Gemma3Backend(parts.model, parts.tokenizer, parts.image_processor)


@pytest.fixture(scope="module")
def backend(checkpoint: Callable[..., Path]) -> Gemma3Backend:
    return load(checkpoint("gemma3"))


@pytest.fixture(scope="module")
def scanning(checkpoint: Callable[..., Path]) -> Gemma3Backend:
    """One that shows crops of long images."""
    backend = load(checkpoint("gemma3"))
    for name, value in SCAN.items():
        setattr(backend.image_processor, name, value)
    return backend


def assert_stock_is_given_the_processors_inputs(backend: Gemma3Backend, images: list[Image.Image]) -> None:
    parts = Parts(backend.model, backend.tokenizer, backend.image_processor)
    expected = stock_inputs("gemma3", parts, "what ?", images)
    given = given_to_stock(backend, "what ?", images)
    for key in ("input_ids", "attention_mask", "token_type_ids", "pixel_values"):
        assert torch.equal(given[key], expected[key]), key


def assert_keep_all_is_stock(backend: Gemma3Backend, images: list[Image.Image]) -> None:
    tokens = backend.encode_prompt(images)
    prompt = backend.prompt_ids("what ?", [of_image.tiles for of_image in tokens])
    every = [Compressed(i := torch.arange(len(of_image)), None, i) for of_image in tokens]
    (ours,) = backend.generate([backend.row(prompt, tokens, every, "compact")], 4, with_logits=True)
    stock = backend.generate_stock(prompt, images, 4, with_logits=True)
    assert ours.token_ids == stock.token_ids
    assert ours.logits is not None
    assert stock.logits is not None
    assert torch.equal(ours.logits, stock.logits)


# Prompts and images


@pytest.mark.parametrize("images", [[WIDE], [TALL], [WIDE, TALL]])
def test_stock_is_given_what_the_familys_processor_makes(backend: Gemma3Backend, images: list[Image.Image]) -> None:
    assert_stock_is_given_the_processors_inputs(backend, images)


@pytest.mark.parametrize("size", [(96, 40), (3, 300), (1, 1), (500, 400)])
def test_an_image_of_any_size_is_one_square_of_tokens(backend: Gemma3Backend, size: tuple[int, int]) -> None:
    tokens = backend.encode(picture(*size))
    assert tokens.tiles == (Tile(5, 5),)
    assert tokens.rows.shape == (N_TOKENS, 64)


def test_what_ends_the_image_belongs_to_it_and_the_newlines_after_it_do_not(backend: Gemma3Backend) -> None:
    head, rest = backend.split_prompt(backend.prompt_ids("what ?", [(Tile(5, 5),)] * 2))
    assert backend.tokenizer.decode(head) == f"<bos><start_of_turn>user\n{BLOCK * 2}".rstrip("\n")
    assert backend.tokenizer.decode(rest) == "\n\nwhat ?<end_of_turn>\n<start_of_turn>model\n"


@pytest.mark.parametrize("text", ["is <start_of_image> a token ?", "is <image_soft_token> a token ?"])
def test_a_question_that_holds_placeholders_is_refused(backend: Gemma3Backend, text: str) -> None:
    with pytest.raises(PromptError, match="must not contain"):
        backend.prompt_ids(text, [(Tile(5, 5),)])


def test_an_answer_is_read_without_its_end(backend: Gemma3Backend) -> None:
    ids = backend.tokenizer(" blue<end_of_turn>\n", add_special_tokens=False)["input_ids"]
    assert backend.answer(Output(ids, False)) == "blue"


# Pan and scan


@pytest.mark.parametrize(
    ("image", "n_crops"),
    [
        pytest.param(WIDE, 2, id="wide"),
        pytest.param(TALL, 2, id="tall"),
        pytest.param(picture(300, 40), 4, id="very wide"),
        pytest.param(SQUARE, 0, id="square"),
        pytest.param(picture(40, 12), 0, id="too small to cut"),
    ],
)
def test_long_images_are_shown_with_their_crops(scanning: Gemma3Backend, image: Image.Image, n_crops: int) -> None:
    tokens = scanning.encode(image)
    assert tokens.tiles == (Tile(5, 5),) * (1 + n_crops)
    assert len(tokens.rows) == N_TOKENS * (1 + n_crops)


@pytest.mark.parametrize("images", [[WIDE], [SQUARE], [TALL, SQUARE, WIDE]])
def test_crops_stand_in_the_prompt_as_the_processor_writes_them(
    scanning: Gemma3Backend, images: list[Image.Image]
) -> None:
    # The processor overrules what its image processor says with values of its own.
    with mock.patch.dict(Gemma3Processor.images_kwargs, SCAN):
        assert_stock_is_given_the_processors_inputs(scanning, images)
    assert_keep_all_is_stock(scanning, images)


def test_measures_that_the_checkpoint_leaves_open_are_the_processors(checkpoint: Callable[..., Path]) -> None:
    backend = load(checkpoint("gemma3"))
    long = picture(800, 300)
    assert len(backend.tiles(long)) == 1
    backend.image_processor.do_pan_and_scan = True
    assert backend.image_processor.pan_and_scan_min_crop_size is None
    assert len(backend.tiles(long)) == 1 + 3
    assert len(backend.tiles(picture(400, 300))) == 1, "crops of less than 256 px"


def test_a_crop_without_tokens_keeps_its_frame(scanning: Gemma3Backend) -> None:
    tokens = scanning.encode(WIDE)
    prompt = scanning.prompt_ids("what ?", [tokens.tiles])
    indices = torch.tensor([3, 30])  # of the whole and of the first crop
    row = scanning.row(prompt, [tokens], [Compressed(indices, None, indices)], "original")
    text = scanning.tokenizer.decode(row.ids)
    empty = BLOCK.replace("<image_soft_token>", "")
    assert f"image {BLOCK} and here are some crops to help you see better {BLOCK} {empty}what ?" in text
    whole = scanning.row(prompt, [tokens], [None], "original")
    assert row.positions[-1] == whole.positions[-1] == len(whole) - 1
    (output,) = scanning.generate([row], 2)
    assert output.token_ids


def test_compressors_run_on_crops(scanning: Gemma3Backend, tmp_path: Path) -> None:
    assert_compressors_keep_their_budgets(scanning, tmp_path, "divprune", "pool", "random")


# The vision side


def test_every_token_is_made_of_the_patches_that_the_map_says(scanning: Gemma3Backend) -> None:
    token_of_row = scanning._token_of_row(scanning.process(WIDE))
    n_patches = N_TOKENS * SIDE**2
    assert len(token_of_row) == 3 * n_patches
    for row in (0, 3, 4, 79, 80, 85, n_patches - 1, n_patches, 2 * n_patches + 37, 3 * n_patches - 1):
        assert tokens_moved_by(scanning, WIDE, row) == [int(token_of_row[row])]


def test_hidden_is_what_the_projection_makes_tokens_of(scanning: Gemma3Backend) -> None:
    tokens = scanning.encode(WIDE, Wants(hidden=True))
    assert tokens.hidden is not None
    projector = scanning.model.model.multi_modal_projector
    with torch.inference_mode():
        projected = projector.mm_soft_emb_norm(tokens.hidden) @ projector.mm_input_projection_weight
    torch.testing.assert_close(projected, tokens.rows)


def test_attention_and_keys_are_those_of_the_eager_layer(scanning: Gemma3Backend) -> None:
    seen = scanning.encode(WIDE, Wants(attention=frozenset({-2}), keys=frozenset({-2})))
    weights, given = eager_layer(scanning, scanning.process(WIDE)["pixel_values"], -2)
    received = by_token(weights.mean(dim=2).transpose(0, 1), 5, SIDE)
    torch.testing.assert_close(seen.attention[-2].received, received, atol=1e-5, rtol=0)
    assert seen.attention[-2].cls is None
    layer = tower(scanning).encoder.layers[-2]
    with torch.inference_mode():
        keys = heads(layer.self_attn.k_proj(layer.layer_norm1(given)), 4)
    torch.testing.assert_close(seen.keys[-2], by_token(keys, 5, SIDE), atol=1e-5, rtol=1e-5)


def test_images_with_and_without_crops_do_not_share_a_call(scanning: Gemma3Backend) -> None:
    processed = [scanning.process(image) for image in (WIDE, SQUARE, TALL, SQUARE)]
    assert len(processed) == VISION_BATCH
    together = scanning.encode_many(processed)
    assert [len(tokens) for tokens in together] == [75, 25, 75, 25]
    for tokens, alone in zip(together, map(scanning.encode_processed, processed), strict=True):
        assert torch.equal(tokens.rows, alone.rows)


def test_downsample_says_why_it_cannot_be_run(backend: Gemma3Backend, tmp_path: Path) -> None:
    assert "images of one size only" in refusal(backend, tmp_path, "downsample")


# The language model


def test_without_token_types_the_model_would_answer_differently(backend: Gemma3Backend) -> None:
    tokens = backend.encode(WIDE)
    row = backend.row(backend.prompt_ids("what ?", [tokens.tiles]), [tokens], [None], "compact")
    (seeing,) = backend.generate([row], 1, with_logits=True)
    with mock.patch.object(Gemma3Backend, "token_type_key", None):
        (causal,) = backend.generate([row], 1, with_logits=True)
    assert seeing.logits is not None
    assert causal.logits is not None
    assert float((seeing.logits - causal.logits).abs().max()) > 0.1


@pytest.mark.parametrize("window", [12, 40])
def test_answers_do_not_depend_on_the_batch_where_the_window_is_short(
    checkpoint: Callable[..., Path], tmp_path: Path, window: int
) -> None:
    backend = load(checkpoint("gemma3", window))
    assert backend.sliding_window == window
    assert_same_together_and_alone(backend, tmp_path)


# Checkpoints


def test_a_checkpoint_with_another_vision_tower_is_refused(backend: Gemma3Backend) -> None:
    config = copy.deepcopy(backend.model.config)
    assert Gemma3Backend.refuse(config) is None
    config.vision_config.model_type = "clip_vision_model"
    assert "'clip_vision_model'; only SigLIP" in str(Gemma3Backend.refuse(config))
