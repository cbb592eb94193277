"""InternVL's own ways: tiles one after another and a thumbnail, a class token, pixel shuffle."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from pytest_vtc.cells import CaseFailed, Generation
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.internvl import InternVLBackend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.vision_side import Wants
from tests.families.checkpoints import Parts, load_parts
from tests.families.pictures import picture
from tests.families.stock import stock_inputs
from tests.families.towers import by_token, eager_layer, given_to_stock, heads, tokens_moved_by, tower

WIDE, TALL, SMALL = picture(96, 48), picture(48, 96, seed=1), picture(20, 20, seed=2)
TOKENS = Tile(3, 3)


@pytest.fixture(scope="module")
def backend(checkpoint: Callable[..., Path]) -> InternVLBackend:
    parts = load_parts("internvl", checkpoint("internvl"))
    return InternVLBackend(parts.model, parts.tokenizer, parts.image_processor)


@pytest.mark.parametrize("images", [[WIDE], [SMALL], [TALL, SMALL], [SMALL, SMALL]])
def test_stock_is_given_what_the_familys_processor_makes(backend: InternVLBackend, images: list[Image.Image]) -> None:
    parts = Parts(backend.model, backend.tokenizer, backend.image_processor)
    expected = stock_inputs("internvl", parts, "what ?", images)
    given = given_to_stock(backend, "what ?", images)
    for key in ("input_ids", "attention_mask", "pixel_values"):
        assert torch.equal(given[key], expected[key]), key


@pytest.mark.parametrize(
    ("size", "n_tiles"),
    [
        pytest.param((20, 20), 1, id="one tile, no thumbnail"),
        pytest.param((96, 48), 2 + 1, id="wide"),
        pytest.param((48, 96), 2 + 1, id="tall"),
        pytest.param((1000, 10), 4 + 1, id="extremely wide"),
        pytest.param((600, 600), 4 + 1, id="large"),
        pytest.param((1, 1), 1, id="one pixel"),
    ],
)
def test_an_image_is_cut_into_tiles_and_a_thumbnail(
    backend: InternVLBackend, size: tuple[int, int], n_tiles: int
) -> None:
    tokens = backend.encode(picture(*size))
    assert tokens.tiles == (TOKENS,) * n_tiles
    assert tokens.rows.shape == (9 * n_tiles, 64)


def test_the_thumbnail_is_the_last_tile(backend: InternVLBackend) -> None:
    cut, whole = backend.process(WIDE)["pixel_values"], backend.image_processor(WIDE, return_tensors="pt")
    assert torch.equal(cut[-1:], whole["pixel_values"])


def test_every_token_is_made_of_the_patches_that_the_map_says(backend: InternVLBackend) -> None:
    token_of_row = backend._token_of_row(backend.process(WIDE))
    assert len(token_of_row) == 3 * 36
    for row in (0, 1, 5, 6, 14, 35, 36, 79, 107):
        assert tokens_moved_by(backend, WIDE, row) == [int(token_of_row[row])]


def test_hidden_is_what_the_projector_makes_tokens_of(backend: InternVLBackend) -> None:
    tokens = backend.encode(WIDE, Wants(hidden=True))
    assert tokens.hidden is not None
    assert tokens.hidden.shape == (27, 4 * 64)
    with torch.inference_mode():
        projected = backend.model.model.multi_modal_projector(tokens.hidden)
    torch.testing.assert_close(projected, tokens.rows)


def test_attention_and_keys_are_those_of_the_eager_layer(backend: InternVLBackend) -> None:
    seen = backend.encode(WIDE, Wants(attention=frozenset({-2}), keys=frozenset({-2})))
    weights, given = eager_layer(backend, backend.process(WIDE)["pixel_values"], -2)
    received, of_class = weights.mean(dim=2)[:, :, 1:], weights[:, :, 0, 1:]
    attention = seen.attention[-2]
    assert attention.cls is not None
    torch.testing.assert_close(attention.received, by_token(received.transpose(0, 1), 3, 2), atol=1e-5, rtol=0)
    torch.testing.assert_close(attention.cls, by_token(of_class.transpose(0, 1), 3, 2), atol=1e-5, rtol=0)
    layer = tower(backend).encoder.layer[-2]
    with torch.inference_mode():
        keys = layer.attention.k_norm(layer.attention.k_proj(layer.layernorm_before(given)))
    torch.testing.assert_close(seen.keys[-2], by_token(heads(keys, 4)[:, :, 1:], 3, 2), atol=1e-5, rtol=1e-5)


def test_what_ends_the_image_belongs_to_it(backend: InternVLBackend) -> None:
    ids = backend.prompt_ids("what ?", [(TOKENS,) * 3, (TOKENS,)])
    head, rest = backend.split_prompt(ids)
    text = backend.tokenizer.decode(head)
    assert text == ("<|im_start|>user\n<img><IMG_CONTEXT><IMG_CONTEXT><IMG_CONTEXT></img>\n<img><IMG_CONTEXT></img>")
    assert backend.tokenizer.decode(rest) == "\nwhat ?<|im_end|>\n<|im_start|>assistant\n"


def test_an_answer_is_read_without_its_end(backend: InternVLBackend) -> None:
    ids = backend.tokenizer(" blue<|im_end|>", add_special_tokens=False)["input_ids"]
    assert backend.answer(Output(ids, False)) == "blue"


def test_compressors_run_on_tiles_and_downsample_says_why_not(backend: InternVLBackend, tmp_path: Path) -> None:
    for name, image in (("wide", WIDE), ("small", SMALL)):
        image.save(tmp_path / f"{name}.png")
    wide, small = (ImageFile(tmp_path / f"{name}.png") for name in ("wide", "small"))
    sample = Sample("both", (wide, small), "what ?")
    working = [Job(sample, c, r) for c in resolve(["divprune", "pool", "random"]) for r in (0.5, 0.25)]
    for job, result in zip(working, Engine(backend).run(working, 4), strict=True):
        assert isinstance(result, Generation), result
        assert 0 < result.n_kept <= 36 * job.ratio
    (refused,) = Engine(backend).run([Job(sample, resolve(["downsample"])[0], 0.5)], 4)
    assert isinstance(refused, CaseFailed)
    assert "tiles of one size" in str(refused)


@pytest.mark.parametrize(
    ("part", "setting", "value", "reason"),
    [
        ("vision_config", "model_type", "intern_vit_6b", "only InternVL's own"),
        (None, "vision_feature_select_strategy", "full", "class token"),
        ("vision_config", "image_size", [24, 48], "not squares"),
        ("vision_config", "image_size", [20, 20], "not squares"),
    ],
)
def test_other_checkpoints_are_refused(
    backend: InternVLBackend, part: str | None, setting: str, value: object, reason: str
) -> None:
    config = copy.deepcopy(backend.model.config)
    assert InternVLBackend.refuse(config) is None
    # Some are attributes of the class.
    object.__setattr__(getattr(config, part) if part else config, setting, value)
    assert reason in str(InternVLBackend.refuse(config))
