"""`class_token`: the row that LLaVA's families leave out, with its queries and keys, tile by tile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.cells import Generation
from pytest_vtc.compression import ClassToken, CompressionError, Compressor, Tiles, Tower
from pytest_vtc.engine import Engine, Job
from pytest_vtc.image_compression import check_supported
from pytest_vtc.models.llava import LlavaBackend
from pytest_vtc.models.llava_next import LlavaNextBackend
from pytest_vtc.models.video_llava import VideoLlavaBackend
from pytest_vtc.models.vision_side import VISION_BATCH, Wants
from tests.families.llava_backends import load, sample
from tests.families.pictures import picture

CLASS = Wants(class_token=frozenset({-2, 0}))


@pytest.fixture(
    scope="module", params=[LlavaBackend, LlavaNextBackend, VideoLlavaBackend], ids=lambda family: family.model_type
)
def backend(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Any:
    return load(request.param, checkpoint(request.param.model_type))


@pytest.fixture(scope="module")
def tiled(checkpoint: Callable[[str], Path]) -> Any:
    return load(LlavaNextBackend, checkpoint("llava_next"))


@torch.inference_mode()
def tower_says(backend: Any, image: Any) -> tuple[Tensor, Any]:
    """The hidden state of the chosen layer [tiles, P, C], and the input of the layer before the last."""
    tower = backend.model.model.get_submodule(backend._encoder().tower)
    pixels = backend.process(image)["pixel_values"]
    states = tower(pixels.reshape(-1, *pixels.shape[-3:]), output_hidden_states=True).hidden_states
    return states[backend.model.config.vision_feature_layer], (states[-3], tower.encoder.layers[-2])


def of_all_tiles(tokens: Any) -> Tensor:
    return torch.cat([of_tile.hidden for of_tile in tokens.class_tokens])


def test_it_is_row_0_of_the_layer_that_the_tokens_are_taken_from(backend: Any) -> None:
    image = picture(90, 60)
    assert torch.equal(of_all_tiles(backend.encode(image, CLASS)), tower_says(backend, image)[0][:, 0])


def test_it_is_that_of_another_layer_if_the_tokens_are(checkpoint: Callable[[str], Path]) -> None:
    backend = load(LlavaBackend, checkpoint("llava"))
    for layer in (-1, 1):
        backend.model.config.vision_feature_layer = layer
        image = picture(90, 60)
        assert torch.equal(of_all_tiles(backend.encode(image, CLASS)), tower_says(backend, image)[0][:, 0]), layer


def test_its_queries_and_keys_are_those_it_attended_with(backend: Any) -> None:
    image = picture(90, 60)
    tokens = backend.encode(image, CLASS).class_tokens
    _, (rows, layer) = tower_says(backend, image)
    with torch.inference_mode():
        normed = layer.layer_norm1(rows)[:, 0]
        for found, projection in (("queries", layer.self_attn.q_proj), ("keys", layer.self_attn.k_proj)):
            of_layer = torch.cat([getattr(of_tile, found)[-2] for of_tile in tokens], dim=1)
            expected = projection(normed).unflatten(-1, (4, -1)).transpose(0, 1)
            torch.testing.assert_close(of_layer, expected, rtol=0, atol=1e-5)


def test_looking_at_it_changes_no_bit_of_the_tokens(backend: Any) -> None:
    image = picture(90, 60)
    assert torch.equal(backend.encode(image, CLASS).rows, backend.encode(image).rows)


def test_images_that_share_a_call_get_their_own(backend: Any) -> None:
    images = [picture(90, 60, seed=i) for i in range(VISION_BATCH)]
    processed = [backend.process(image) for image in images]
    alone = [backend.encode(image, CLASS) for image in images]
    for _ in range(2):  # the first call tries whether they may share one
        for found, expected in zip(backend.encode_many(processed, CLASS), alone, strict=True):
            assert len(found.class_tokens) == len(expected.class_tokens)
            for one, other in zip(found.class_tokens, expected.class_tokens, strict=True):
                assert torch.equal(one.hidden, other.hidden)
                assert torch.equal(one.keys[-2], other.keys[-2])
                assert torch.equal(one.queries[0], other.queries[0])


def test_the_whole_image_has_one_and_the_finer_grid_those_of_its_crops(tiled: Any) -> None:
    image = picture(90, 60)
    whole, fine = tiled.encode(image, CLASS).class_tokens
    states = tower_says(tiled, image)[0][:, 0]
    assert torch.equal(whole.hidden, states[:1])
    assert torch.equal(fine.hidden, states[1:])
    assert fine.queries[-2].shape == fine.keys[0].shape == (4, 4, 16)


def test_a_finer_grid_of_which_nothing_is_left_has_none(tiled: Any) -> None:
    tokens = tiled.encode(picture(3, 500), CLASS)
    assert len(tokens.class_tokens) == len(tokens.tiles)
    assert tokens.class_tokens[0].hidden.shape == (1, 64)


class Counts(Compressor):
    """Keeps as many as there are class tokens; writes into them."""

    name = "counts"
    description = "counts class tokens"
    needs = frozenset({"class_token"})
    exact = False

    def encoder_layers(self, tower: Tower) -> tuple[int, ...]:  # noqa: ARG002
        return (-2,)

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:  # noqa: ARG002
        token: ClassToken = ctx["class_token"]
        n = int((token.hidden != 0).any(dim=1).sum())
        assert token.keys[-2].shape == token.queries[-2].shape == (4, n, 16)
        for tensor in (token.hidden, token.keys[-2], token.queries[-2]):
            tensor.zero_()
        return torch.arange(n)


class CountsApart(Counts):
    name = "counts_apart"
    tiles: Tiles = "apart"  # type: ignore[misc]


@pytest.mark.parametrize(("compressor", "n_kept"), [(Counts(), 5), (CountsApart(), 1 + 4)])
def test_a_compressor_gets_those_of_the_tiles_it_is_given(tiled: Any, compressor: Compressor, n_kept: int) -> None:
    jobs = [Job(sample((90, 60)), compressor, ratio) for ratio in (0.9, 0.5)]
    for found in Engine(tiled).run(jobs, 2):
        assert isinstance(found, Generation), found
        assert found.n_kept == n_kept


def test_their_memory_is_counted(backend: Any) -> None:
    image = picture(90, 60)
    with_class, without = backend.encode(image, CLASS), backend.encode(image)
    n = len(of_all_tiles(with_class))
    assert with_class.n_bytes - without.n_bytes == n * 4 * (64 + 2 * 2 * 64)


def test_what_several_layers_give_side_by_side_has_no_class_token(checkpoint: Callable[[str], Path]) -> None:
    backend = load(LlavaBackend, checkpoint("llava"))
    backend.model.config.vision_feature_layer = [-2, -1]
    with pytest.raises(CompressionError, match="several layers of its vision encoder side by side"):
        check_supported(Counts(), backend)
