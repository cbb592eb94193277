"""LLaVA 1.5 and Video-LLaVA: one square tile, class rows left out. And what all families after LLaVA share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers as hf

from pytest_vtc.cells import CaseFailed, Generation
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.llava import LlavaBackend
from pytest_vtc.models.llava_next import LlavaNextBackend
from pytest_vtc.models.llava_onevision import LlavaOnevisionBackend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.models.video_llava import VideoLlavaBackend
from pytest_vtc.models.vision_side import Wants
from pytest_vtc.parity import check_parity
from tests.families.checkpoints import Parts
from tests.families.llava_backends import ALL, FAMILIES, eager_attention, load, sample, stock_calls
from tests.families.pictures import picture


@pytest.fixture(scope="module", params=FAMILIES, ids=lambda family: family.model_type)
def backend(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Any:
    return load(request.param, checkpoint(request.param.model_type))


@pytest.fixture(scope="module", params=[LlavaBackend, VideoLlavaBackend], ids=lambda family: family.model_type)
def one_tile(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Any:
    return load(request.param, checkpoint(request.param.model_type))


# All families after LLaVA


@pytest.mark.parametrize("sizes", [[(96, 64)], [(60, 100)], [(7, 90)], [(96, 64), (60, 100)], [(30, 30)] * 3])
def test_the_stock_reference_is_given_what_the_families_own_processor_makes(
    backend: Any, sizes: list[tuple[int, int]]
) -> None:
    images = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    ours, theirs = stock_calls(backend, "what is it ?", images)
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


def test_answers_end_where_the_model_would_speak_for_the_user(backend: Any) -> None:
    mark = {"llava_onevision": "<|im_end|>", "llava_next": " [INST]"}.get(backend.model_type, "USER:")
    ids = backend.tokenizer(f" a cat {mark} and now", add_special_tokens=False)["input_ids"]
    stop = next((i for i, token in enumerate(ids) if token in backend.stop_ids), len(ids))
    assert backend.answer(Output(ids[:stop], truncated=False)) == "a cat"


@pytest.mark.parametrize("ratio", [0.5, 0.25])
@pytest.mark.parametrize("spec", ["divprune", "pool", "random"])
def test_compressors_keep_within_their_budget(backend: Any, spec: str, ratio: float) -> None:
    compressor = resolve([spec])[0]
    for of_sizes in ([(96, 64)], [(96, 64), (60, 100)]):
        (found,) = Engine(backend).run([Job(sample(*of_sizes), compressor, ratio)], 4)
        assert isinstance(found, Generation), found
        assert 0 < found.n_kept <= found.n_asked <= ratio * found.n_tokens


def test_a_method_that_encodes_images_afresh_is_told_why_it_cannot(backend: Any) -> None:
    (found,) = Engine(backend).run([Job(sample((96, 64)), resolve(["downsample"])[0], 0.5)], 4)
    assert isinstance(found, CaseFailed)
    assert "tower takes" in str(found)


def towers(tower: str, strategy: str) -> Any:
    return SimpleNamespace(
        vision_config=SimpleNamespace(model_type=tower),
        vision_feature_select_strategy=strategy,
        vision_aspect_ratio="anyres_max_9",
    )


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
def test_checkpoints_with_another_tower_are_refused_by_its_name(family: type[LlavaBackend]) -> None:
    assert "'pixtral'" in str(family.refuse(towers("pixtral", "full")))
    assert "'siglip2_vision_model'" in str(family.refuse(towers("siglip2_vision_model", "full")))
    assert family.refuse(towers("clip_vision_model", "default")) is None


@pytest.mark.parametrize(("tower", "strategy"), [("clip_vision_model", "full"), ("siglip_vision_model", "default")])
def test_checkpoints_whose_rows_are_no_grid_are_refused(tower: str, strategy: str) -> None:
    assert f"'{strategy}'" in str(LlavaBackend.refuse(towers(tower, strategy)))


def test_the_tiny_checkpoints_are_not_refused(backend: Any) -> None:
    assert backend.refuse(backend.model.config) is None


def test_a_grid_that_is_not_scaled_as_the_model_does_it_is_refused() -> None:
    config = towers("siglip_vision_model", "full")
    assert LlavaOnevisionBackend.refuse(config) is None
    config.vision_aspect_ratio = "pad"
    assert "'pad'" in str(LlavaOnevisionBackend.refuse(config))
    assert LlavaNextBackend.refuse(config) is None


# One tile


@pytest.mark.parametrize("size", [(96, 64), (60, 100), (300, 20), (5, 5), (1000, 900)])
def test_an_image_of_any_shape_is_one_square(one_tile: Any, size: tuple[int, int]) -> None:
    assert one_tile.tiles(picture(*size)) == (Tile(5, 5),)


def test_the_projector_is_given_one_row_per_token_and_no_class_row(one_tile: Any) -> None:
    tokens = one_tile.encode(picture(96, 64), ALL)
    assert tokens.hidden is not None
    with torch.inference_mode():
        assert torch.equal(one_tile.model.model.multi_modal_projector(tokens.hidden[None])[0], tokens.features)


def test_attention_is_that_of_the_tower_for_images_without_its_class_column(one_tile: Any) -> None:
    image = picture(96, 64)
    found, weights = one_tile.encode(image, ALL).attention[-2], eager_attention(one_tile, image, -2)[0]
    torch.testing.assert_close(found.received, weights.mean(dim=1)[:, 1:], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.cls, weights[:, 0, 1:], rtol=0, atol=1e-5)


def test_keys_are_those_of_the_tower_for_images(one_tile: Any) -> None:
    layer = one_tile.model.model.get_submodule(one_tile._encoder().tower).encoder.layers[-2]
    seen: list[torch.Tensor] = []
    handle = layer.self_attn.k_proj.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    keys = one_tile.encode(picture(96, 64), ALL).keys[-2]
    handle.remove()
    assert torch.equal(keys, seen[0][0, 1:].reshape(25, *keys.shape[::2]).transpose(0, 1))


def test_video_llava_answers_by_its_tower_for_images(checkpoint: Callable[[str], Path]) -> None:
    backend = load(VideoLlavaBackend, checkpoint("video_llava"))
    backend.model.model.video_tower = None
    assert backend.encode(picture(96, 64)).rows.shape == (25, 64)


@pytest.fixture(scope="module")
def siglip(parts: Callable[[str], Parts], checkpoint: Callable[[str], Path]) -> Any:
    """A LLaVA with a tower that has no class row, as llava-interleave checkpoints have it."""
    tokenizer = load(LlavaBackend, checkpoint("llava")).tokenizer
    config = hf.LlavaConfig(**parts("llava").model.config.to_dict())
    side = config.vision_config.image_size
    config.vision_config = hf.SiglipVisionConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, image_size=side, patch_size=4
    )
    config.vision_feature_layer, config.vision_feature_select_strategy = [-2, -1], "full"
    torch.manual_seed(0)
    return LlavaBackend(hf.LlavaForConditionalGeneration(config).eval(), tokenizer, parts("llava").image_processor)


def test_a_tower_without_class_row_gives_all_its_rows_as_tokens(siglip: Any) -> None:
    tokens = siglip.encode(picture(96, 64), ALL)
    assert tokens.rows.shape == (25, 64)
    assert tokens.attention[-2].cls is None
    weights = eager_attention(siglip, picture(96, 64), -2)[0]
    torch.testing.assert_close(tokens.attention[-2].received, weights.mean(dim=1), rtol=0, atol=1e-5)
    assert check_parity(siglip, [sample((96, 64)), sample((60, 60), (20, 40))]).max_logit_difference == 0


def test_the_outputs_of_several_layers_before_the_projector_lie_side_by_side(siglip: Any) -> None:
    hidden = siglip.encode(picture(96, 64), Wants(hidden=True)).hidden
    assert hidden.shape == (25, 2 * 64)


def test_what_a_checkpoint_lacks_is_known_from_its_configuration(siglip: Any, one_tile: Any) -> None:
    assert LlavaBackend.lacked_by(siglip.model.config) == siglip.lacking
    assert {"cls", "class_token"} <= siglip.lacking.keys()
    assert type(one_tile).lacked_by(one_tile.model.config) == one_tile.lacking
    assert "cls" not in one_tile.lacking
