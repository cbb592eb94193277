"""LLaVA-NeXT and LLaVA-OneVision: the whole image and a finer grid of it, newlines, and several images in a prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.compressed import Compressed
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.llava_next import LlavaNextBackend
from pytest_vtc.models.llava_onevision import LlavaOnevisionBackend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.vision_side import VISION_BATCH
from pytest_vtc.parity import check_parity
from tests.families.llava_backends import ALL, eager_attention, load, sample
from tests.families.pictures import picture

SIZES = [(96, 64), (60, 100), (40, 40), (33, 31), (200, 30), (25, 140), (9, 7), (160, 96), (500, 480)]
NOTHING_LEFT = [(600, 3), (3, 500)]
"""So flat or so high that the finer grid has no token, or no row at all, that is not padding."""


@pytest.fixture(scope="module", params=[LlavaNextBackend, LlavaOnevisionBackend], ids=lambda family: family.model_type)
def backend(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Any:
    return load(request.param, checkpoint(request.param.model_type))


@pytest.fixture(scope="module")
def onevision(checkpoint: Callable[[str], Path]) -> Any:
    return load(LlavaOnevisionBackend, checkpoint("llava_onevision"))


# Tiles


@pytest.mark.parametrize("size", [*SIZES, *NOTHING_LEFT])
def test_newlines_are_where_the_tiles_say(backend: Any, size: tuple[int, int]) -> None:
    tokens = backend.encode(picture(*size))
    is_newline = (tokens.rows == backend.model.model.image_newline).all(dim=1)
    token_rows = torch.arange(len(tokens.rows)) if tokens.token_rows is None else tokens.token_rows
    assert torch.equal((~is_newline).nonzero()[:, 0], token_rows)
    whole, *fine = tokens.tiles
    assert whole == Tile(backend._side, backend._side)
    for tile in fine:
        assert is_newline[whole.n_rows :].reshape(tile.rows, tile.columns + 1)[:, -1].all()


@pytest.mark.parametrize(
    ("name", "size", "fine"),
    [
        ("llava_next", (40, 40), (10, 10)),
        ("llava_next", (96, 64), (6, 10)),  # of 2 x 2 tiles, which hold more of the image than 1 x 2
        ("llava_next", (500, 480), (10, 10)),
        ("llava_onevision", (96, 64), (8, 12)),
        ("llava_onevision", (160, 96), (9, 15)),  # 12 x 20 is scaled down to about 9 tiles of 16
        ("llava_onevision", (500, 480), (12, 12)),  # 24 x 24, likewise
    ],
)
def test_the_finer_grid_has_the_images_shape(
    checkpoint: Callable[[str], Path], name: str, size: tuple[int, int], fine: tuple[int, int]
) -> None:
    family = {"llava_next": LlavaNextBackend, "llava_onevision": LlavaOnevisionBackend}[name]
    assert load(family, checkpoint(name)).tiles(picture(*size))[1] == Tile(*fine, newlines="rows")


@pytest.mark.parametrize("size", NOTHING_LEFT)
def test_an_image_with_nothing_left_of_its_finer_grid_is_stock_too(backend: Any, size: tuple[int, int]) -> None:
    assert check_parity(backend, [sample(size)]).max_logit_difference == 0


# Which row of the tower goes into which token


@pytest.mark.parametrize("size", SIZES)
def test_a_row_of_the_tower_changes_the_token_it_is_mapped_to(backend: Any, size: tuple[int, int]) -> None:
    """And no other, or where the grid is scaled down none more than that."""
    pixels = backend.process(picture(*size))
    token_of = backend._token_of_row(pixels)
    weights = shares_of_rows(backend, pixels)
    assert weights.shape == (len(token_of), sum(tile.n_tokens for tile in backend._tiles(pixels)))
    kept = token_of >= 0
    assert not weights[~kept].any()
    assert torch.equal(weights[kept].max(dim=1).values, weights[kept, token_of[kept]])
    assert set(token_of[kept].tolist()) == set(range(weights.shape[1]))


@torch.inference_mode()
def shares_of_rows(backend: Any, pixels: Any) -> Tensor:
    """How much of each row that leaves the projector is in each token: [R, N], by running the model on marked rows."""
    projector = backend.model.model.multi_modal_projector
    parts: list[Tensor] = []
    n_rows = n_channels = 0
    while not parts or len(parts) * n_channels < n_rows:

        def marked(_module: Any, _inputs: Any, output: Tensor) -> Tensor:
            nonlocal n_rows, n_channels
            n_rows, n_channels = output.shape[:-1].numel(), output.shape[-1]
            rows = torch.zeros(n_rows, n_channels)
            chosen = torch.arange(len(parts) * n_channels, min((len(parts) + 1) * n_channels, n_rows))
            rows[chosen, chosen % n_channels] = 1
            return rows.reshape(output.shape)

        handle = projector.register_forward_hook(marked)
        try:
            parts.append(backend.encode_processed(pixels).features.T)
        finally:
            handle.remove()
    return torch.cat(parts)[:n_rows]


@pytest.mark.parametrize("size", [*SIZES, *NOTHING_LEFT])
def test_what_compressors_see_belongs_to_the_token_it_is_shown_for(backend: Any, size: tuple[int, int]) -> None:
    image = picture(*size)
    tokens = backend.encode(image, ALL)
    token_of = backend._token_of_row(backend.process(image))
    encoder, weights = backend._encoder(), eager_attention(backend, image, -2)
    received = weights.mean(dim=2)[..., int(encoder.has_cls) :].transpose(0, 1).flatten(1)
    means = [received[:, token_of == token].mean(dim=1) for token in range(len(tokens))]
    torch.testing.assert_close(tokens.attention[-2].received, torch.stack(means, dim=1), rtol=0, atol=1e-5)
    assert (tokens.attention[-2].cls is not None) == encoder.has_cls
    assert tokens.keys[-2].shape[1] == len(tokens)
    if token_of.unique(return_counts=True)[1][token_of.unique() >= 0].max() == 1:  # one row each: not scaled down
        assert tokens.hidden is not None
        with torch.inference_mode():
            projected = backend.model.model.multi_modal_projector(tokens.hidden)
        torch.testing.assert_close(projected, tokens.features, rtol=1e-5, atol=1e-5)


# Newlines


def kept(*indices: Tensor) -> Compressed:
    joined = torch.cat(indices).sort().values
    return Compressed(joined, None, joined)


def test_a_newline_stays_with_its_line_and_no_other_does(backend: Any) -> None:
    tokens = backend.encode(picture(96, 64))
    whole, fine = tokens.tiles
    in_fine = whole.n_tokens + torch.arange(fine.n_tokens).reshape(fine.rows, fine.columns)
    lines, broken = in_fine[1:3], in_fine[3, 1:]
    chosen = kept(torch.arange(whole.n_tokens), lines.flatten(), broken)
    prompt = backend.prompt_ids("what ?", [tokens.tiles])
    (rows,) = backend.prefix(backend.split_prompt(prompt)[0], [tokens], [chosen], "original").features
    is_newline = (rows == backend.model.model.image_newline).all(dim=1)
    after = whole.n_tokens + fine.columns
    assert is_newline.nonzero()[:, 0].tolist() == [after, after + fine.columns + 1]


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.9, 1.0])
def test_whole_lines_do_not_take_a_selection_over_its_ratio_of_all_rows(backend: Any, ratio: float) -> None:
    tokens = backend.encode(picture(96, 64))
    n_kept = int(ratio * len(tokens))
    last = kept(torch.arange(len(tokens))[len(tokens) - n_kept :])
    prompt = backend.prompt_ids("what ?", [tokens.tiles])
    (rows,) = backend.prefix(backend.split_prompt(prompt)[0], [tokens], [last], "compact").features
    assert n_kept < len(rows) <= ratio * len(tokens.rows)


def test_keeping_everything_keeps_every_newline_in_its_place(backend: Any) -> None:
    tokens = backend.encode(picture(96, 64))
    prompt = backend.prompt_ids("what ?", [tokens.tiles])
    prefix = backend.prefix(backend.split_prompt(prompt)[0], [tokens], [kept(torch.arange(len(tokens)))], "original")
    assert torch.equal(prefix.features[0], tokens.rows)
    assert [*prefix.positions] == [*range(len(prefix))]


# Several images


def test_images_of_different_numbers_of_tiles_share_a_prompt(checkpoint: Callable[[str], Path]) -> None:
    backend = load(LlavaNextBackend, checkpoint("llava_next"))
    sizes = [(20, 40), (90, 90), (60, 20)]
    pixels = [backend.process(picture(*size))["pixel_values"] for size in sizes]
    assert len({of_image.shape[1] for of_image in pixels}) > 1
    assert check_parity(backend, [sample(*sizes), sample(*sizes[::-1])]).max_logit_difference == 0


def test_images_of_one_number_of_tiles_but_other_grids_share_a_call(backend: Any) -> None:
    processed = [backend.process(picture(90 - 8 * i, 88)) for i in range(VISION_BATCH)]
    assert len({len(p["pixel_values"][0]) for p in processed}) == 1
    assert len({backend._tiles(p) for p in processed}) > 1
    alone = [backend.encode_processed(p, ALL) for p in processed]
    for _ in range(2):  # the first time is the trial
        for one, other in zip(alone, backend.encode_many(processed, ALL), strict=True):
            assert torch.equal(one.rows, other.rows)
            assert torch.equal(one.attention[-2].received, other.attention[-2].received)


def test_of_several_images_each_is_one_tile_that_a_newline_ends(onevision: Any) -> None:
    images = [picture(96, 64), picture(60, 100)]
    for image, tokens in zip(images, onevision.encode_prompt(images), strict=True):
        assert tokens.tiles == (Tile(4, 4, newlines="end"),) == onevision.tiles(image, beside=True)
        assert torch.equal(tokens.rows[-1], onevision.model.model.image_newline)
        assert not (tokens.rows[:-1] == tokens.rows[-1]).all(dim=1).any()


def test_one_of_several_images_is_prepared_alone_as_it_is_with_the_others(onevision: Any) -> None:
    images = [picture(96, 64), picture(60, 100), picture(50, 50)]
    together = onevision.image_processor(images=[images], return_tensors="pt")
    alone = [onevision.process(image, beside=True) for image in images]
    for name in ("pixel_values", "image_sizes"):
        assert torch.equal(torch.cat([of_image[name] for of_image in alone]), together[name])


def test_several_images_that_share_a_call_keep_every_bit(onevision: Any) -> None:
    processed = [onevision.process(picture(96 - i, 64), beside=True) for i in range(VISION_BATCH)]
    alone = [onevision.encode_processed(p, ALL) for p in processed]
    for _ in range(2):
        for one, other in zip(alone, onevision.encode_many(processed, ALL), strict=True):
            assert torch.equal(one.rows, other.rows)
            assert torch.equal(one.hidden, other.hidden)


def test_the_same_image_has_other_tokens_beside_another(onevision: Any) -> None:
    jobs = [Job(sample(*sizes), resolve(["identity"])[0], 1.0) for sizes in ([(96, 64)], [(96, 64), (96, 64)])]
    alone, beside = Engine(onevision).run(jobs, 4)
    assert alone.n_tokens == 16 + 8 * 13
    assert beside.n_tokens == 2 * 17
