"""Idefics3's and SmolVLM2's own ways: crops with tags between them, the whole image last, pixel shuffle."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from pytest_vtc.cells import CaseFailed, Generation
from pytest_vtc.compressed import Compressed
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.idefics3 import Idefics3Backend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.smolvlm import SmolVLMBackend
from pytest_vtc.models.text_side import PromptError
from pytest_vtc.models.vision_side import VISION_BATCH, Wants
from tests.families.checkpoints import Parts, load_parts
from tests.families.pictures import picture
from tests.families.stock import stock_inputs
from tests.families.towers import by_token, eager_layer, given_to_stock, heads, tokens_moved_by, tower

WIDE, TALL, SQUARE = picture(96, 40), picture(40, 96, seed=1), picture(30, 30, seed=2)
FAMILIES = {"idefics3": Idefics3Backend, "smolvlm": SmolVLMBackend}
AROUND, TOKEN = "<fake_token_around_image>", "<image>"


def load(name: str, folder: Path) -> Idefics3Backend:
    parts = load_parts(name, folder)
    return FAMILIES[name](parts.model, parts.tokenizer, parts.image_processor)


@pytest.fixture(scope="module", params=FAMILIES)
def backend(request: pytest.FixtureRequest, checkpoint: Callable[..., Path]) -> Idefics3Backend:
    return load(request.param, checkpoint(request.param))


@pytest.fixture
def own(checkpoint: Callable[..., Path]) -> Idefics3Backend:
    """One that a test may change."""
    return load("idefics3", checkpoint("idefics3"))


def tiles(rows: int, columns: int) -> tuple[Tile, ...]:
    crops = (Tile(3, 3, place=(row, column)) for row in range(rows) for column in range(columns))
    return (*crops, Tile(3, 3))


@pytest.mark.parametrize("images", [[WIDE], [TALL], [SQUARE], [WIDE, TALL], [SQUARE, WIDE]])
def test_stock_is_given_what_the_familys_processor_makes(backend: Idefics3Backend, images: list[Image.Image]) -> None:
    parts = Parts(backend.model, backend.tokenizer, backend.image_processor)
    expected = stock_inputs(backend.model_type, parts, "what ?", images)
    given = given_to_stock(backend, "what ?", images)
    for key in ("input_ids", "attention_mask", "pixel_values", "pixel_attention_mask"):
        assert torch.equal(given[key], expected[key]), key


def test_an_image_that_is_not_split_has_one_tile_and_no_tags(own: Idefics3Backend) -> None:
    own.image_processor.do_image_splitting = False
    assert own.tiles(WIDE) == (Tile(3, 3),)
    parts = Parts(own.model, own.tokenizer, own.image_processor)
    expected = stock_inputs("idefics3", parts, "what ?", [WIDE])
    assert torch.equal(given_to_stock(own, "what ?", [WIDE])["input_ids"], expected["input_ids"])
    text = own.tokenizer.decode(own.prompt_ids("what ?", [own.tiles(WIDE)]))
    assert text.startswith(f"<|begin_of_text|>User:{AROUND}<global-img>{TOKEN}{AROUND}what ?")


@pytest.mark.parametrize(
    ("size", "rows", "columns"),
    [
        pytest.param((96, 40), 1, 2, id="wide"),
        pytest.param((40, 96), 2, 1, id="tall"),
        pytest.param((500, 500), 2, 2, id="large"),
        pytest.param((1000, 1), 1, 2, id="a line"),
        pytest.param((1, 1), 2, 2, id="one pixel, enlarged"),
    ],
)
def test_an_image_is_cut_into_crops_and_shown_as_a_whole(
    backend: Idefics3Backend, size: tuple[int, int], rows: int, columns: int
) -> None:
    tokens = backend.encode(picture(*size))
    assert tokens.tiles == tiles(rows, columns)
    assert tokens.rows.shape == (9 * (rows * columns + 1), 64)


def test_crops_in_a_row_are_not_crops_in_a_column(backend: Idefics3Backend) -> None:
    wide, tall = (backend.prompt_ids("what ?", [backend.tiles(image)]) for image in (WIDE, TALL))
    names = [backend.tokenizer.decode(prompt) for prompt in (wide, tall)]
    assert f"<row_1_col_1>{TOKEN}{AROUND}<row_1_col_2>{TOKEN}\n\n{AROUND}<global-img>{TOKEN}{AROUND}" in names[0]
    assert f"<row_1_col_1>{TOKEN}\n{AROUND}<row_2_col_1>{TOKEN}\n\n{AROUND}<global-img>{TOKEN}{AROUND}" in names[1]


def test_a_tile_without_tokens_keeps_its_tag(backend: Idefics3Backend) -> None:
    tokens = backend.encode(WIDE)
    indices = torch.tensor([4, 20, 21])  # of the first crop and of the whole image
    prompt = backend.prompt_ids("what ?", [tokens.tiles])
    row = backend.row(prompt, [tokens], [Compressed(indices, None, indices)], "compact")
    text = backend.tokenizer.decode(row.ids)
    assert f"<row_1_col_1>{TOKEN}{AROUND}<row_1_col_2>\n\n{AROUND}<global-img>{TOKEN * 2}{AROUND}what ?" in text
    (output,) = backend.generate([row], 2)
    assert output.token_ids


def test_what_ends_the_image_belongs_to_it(backend: Idefics3Backend) -> None:
    head, rest = backend.split_prompt(backend.prompt_ids("what ?", [tiles(1, 2), tiles(2, 1)]))
    assert backend.tokenizer.decode(head).endswith(f"<global-img>{TOKEN}{AROUND}")
    assert backend.tokenizer.decode(rest) == "what ?<end_of_utterance>\nAssistant:"


def test_every_token_is_made_of_the_patches_that_the_map_says(backend: Idefics3Backend) -> None:
    token_of_row = backend._token_of_row(backend.process(WIDE))
    n_patches = 9 * backend.model.config.scale_factor**2
    assert len(token_of_row) == 3 * n_patches
    for row in (0, 1, 7, 13, n_patches - 1, n_patches, 2 * n_patches + 20, 3 * n_patches - 1):
        assert tokens_moved_by(backend, WIDE, row) == [int(token_of_row[row])]


def test_hidden_is_what_the_projection_makes_tokens_of(backend: Idefics3Backend) -> None:
    tokens = backend.encode(WIDE, Wants(hidden=True))
    assert tokens.hidden is not None
    assert tokens.hidden.shape == (27, 64 * backend.model.config.scale_factor**2)
    with torch.inference_mode():
        projected = backend.model.model.connector.modality_projection(tokens.hidden)
    torch.testing.assert_close(projected, tokens.rows)


def test_attention_and_keys_are_those_of_the_eager_layer(backend: Idefics3Backend) -> None:
    side = backend.model.config.scale_factor
    seen = backend.encode(WIDE, Wants(attention=frozenset({-2}), keys=frozenset({-2})))
    weights, given = eager_layer(backend, backend.process(WIDE)["pixel_values"][0], -2)
    received = by_token(weights.mean(dim=2).transpose(0, 1), 3, side)
    torch.testing.assert_close(seen.attention[-2].received, received, atol=1e-5, rtol=0)
    assert seen.attention[-2].cls is None
    layer = tower(backend).encoder.layers[-2]
    with torch.inference_mode():
        keys = heads(layer.self_attn.k_proj(layer.layer_norm1(given)), 4)
    torch.testing.assert_close(seen.keys[-2], by_token(keys, 3, side), atol=1e-5, rtol=1e-5)


def test_images_of_one_shape_share_a_call_and_others_do_not(own: Idefics3Backend) -> None:
    calls: list[torch.Size] = []
    tower(own).register_forward_pre_hook(
        lambda _module, _args, kwargs: calls.append(kwargs["pixel_values"].shape), with_kwargs=True
    )
    same = [own.process(picture(96, 40, seed)) for seed in range(VISION_BATCH)]
    own.encode_many(same)  # the trial
    calls.clear()
    exact = [*own._exact_together.values()] == [True]
    own.encode_many(same)
    assert [shape[0] for shape in calls] == ([3 * VISION_BATCH] if exact else [3] * VISION_BATCH)
    calls.clear()
    own.encode_many([*same[:3], own.process(SQUARE)])
    assert [shape[0] for shape in calls] == [3, 3, 3, 5]


@pytest.mark.parametrize("colour", ["black", "white", (127, 127, 127), (128, 128, 128)])
def test_an_image_of_one_colour_keeps_its_tiles(backend: Idefics3Backend, colour: str) -> None:
    image = Image.new("RGB", (96, 96), colour)
    assert len(backend.encode(image)) == 5 * 9
    prompt = backend.prompt_ids("what ?", [backend.tiles(image)])
    assert backend.generate_stock(prompt, [image], 1).token_ids


def test_a_tile_that_the_model_would_drop_is_refused(own: Idefics3Backend, tmp_path: Path) -> None:
    own.image_processor.do_normalize = False
    half_black = Image.new("RGB", (96, 96), "black")
    half_black.paste(picture(96, 36), (0, 60))
    processed = own.image_processor(images=[[half_black]], return_tensors="pt")
    assert len(own._see(own._pixels(processed)).pooler_output[0]) == 3 * 9  # of 5
    with pytest.raises(PromptError, match="takes such a tile for padding"):
        own.encode(half_black)
    half_black.save(tmp_path / "black.png")
    WIDE.save(tmp_path / "wide.png")
    jobs = [Job(Sample(name, (ImageFile(tmp_path / f"{name}.png"),), "?"), None, 1.0) for name in ("black", "wide")]
    failed, answered = Engine(own).run(jobs, 2)
    assert isinstance(failed, CaseFailed)
    assert "padding" in str(failed)
    assert isinstance(answered, Generation)


def test_an_answer_ends_where_the_turn_does_even_if_the_checkpoint_does_not_say_so(
    checkpoint: Callable[..., Path],
) -> None:
    parts = load_parts("idefics3", checkpoint("idefics3"))
    end, own_end = parts.tokenizer.convert_tokens_to_ids(["<end_of_utterance>", "<|end_of_text|>"])
    parts.model.generation_config.eos_token_id = own_end
    backend = Idefics3Backend(parts.model, parts.tokenizer, parts.image_processor)
    assert backend.stop_ids == (own_end, end)
    assert backend.model.generation_config.eos_token_id == [own_end, end]
    assert backend.overridden["eos_token_id"] == own_end


def test_ends_that_a_checkpoint_names_itself_are_left_as_they_are(backend: Idefics3Backend) -> None:
    assert "eos_token_id" not in backend.overridden
    assert len(set(backend.stop_ids)) == len(backend.stop_ids) == 2


def test_an_answer_is_read_without_its_end(backend: Idefics3Backend) -> None:
    ids = backend.tokenizer(" blue<end_of_utterance>", add_special_tokens=False)["input_ids"]
    assert backend.answer(Output(ids, False)) == "blue"


def test_compressors_run_on_tiles_and_downsample_says_why_not(backend: Idefics3Backend, tmp_path: Path) -> None:
    for name, image in (("wide", WIDE), ("square", SQUARE)):
        image.save(tmp_path / f"{name}.png")
    wide, square = (ImageFile(tmp_path / f"{name}.png") for name in ("wide", "square"))
    sample = Sample("both", (wide, square), "what ?")
    working = [Job(sample, c, r) for c in resolve(["divprune", "pool", "random"]) for r in (0.5, 0.25)]
    for job, result in zip(working, Engine(backend).run(working, 4), strict=True):
        assert isinstance(result, Generation), result
        assert 0 < result.n_kept <= 72 * job.ratio
    (refused,) = Engine(backend).run([Job(sample, resolve(["downsample"])[0], 0.5)], 4)
    assert isinstance(refused, CaseFailed)
    assert "tiles of one size" in str(refused)


def test_tiles_that_do_not_divide_into_tokens_are_refused(backend: Idefics3Backend) -> None:
    config = copy.deepcopy(backend.model.config)
    assert type(backend).refuse(config) is None
    config.vision_config.image_size += config.vision_config.patch_size
    assert "do not divide into tokens" in str(type(backend).refuse(config))
