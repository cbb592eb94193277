"""`inside`: the towers of LLaVA and Video-LLaVA, run layer by layer while rows are dropped or merged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from torch import Tensor

from pytest_vtc.cells import CaseFailed, Generation
from pytest_vtc.compression import CompressionError, Compressor, EncoderReducer, EncoderStep, Kept, Merge
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.llava import LlavaBackend
from tests.families.checkpoints import VARIANTS, Parts, load_parts
from tests.families.llava_backends import sample
from tests.families.pictures import picture

N_LAYERS = 4
IMAGE = (90, 60)


def with_siglip(parts: Parts, dtype: torch.dtype) -> LlavaBackend:
    config = hf.LlavaConfig(**parts.model.config.to_dict())
    config.vision_config = hf.SiglipVisionConfig(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=N_LAYERS,
        num_attention_heads=4,
        image_size=config.vision_config.image_size,
        patch_size=4,
    )
    config.vision_feature_layer, config.vision_feature_select_strategy = -2, "full"
    torch.manual_seed(0)
    model = hf.LlavaForConditionalGeneration(config).eval().to(dtype)
    return LlavaBackend(model, parts.tokenizer, parts.image_processor)


def backend_of(kind: str, checkpoint: Callable[[str], Path], dtype: torch.dtype) -> Any:
    if kind == "siglip":
        return with_siglip(load_parts("llava", checkpoint("llava"), dtype), dtype)
    parts = load_parts(kind, checkpoint(kind), dtype)
    return BACKENDS[kind](parts.model, parts.tokenizer, parts.image_processor)


KINDS = ["llava", "siglip", "video_llava"]


@pytest.fixture(scope="module", params=KINDS)
def backend(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Any:
    return backend_of(request.param, checkpoint, torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", [-2, -1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_is_reduced_the_features_are_the_models_to_the_bit(
    checkpoint: Callable[[str], Path], kind: str, dtype: torch.dtype, layer: int
) -> None:
    backend = backend_of(kind, checkpoint, dtype)
    backend.model.config.vision_feature_layer = layer
    kept = backend.encode_inside(picture(*IMAGE), EncoderReducer())
    assert torch.equal(kept.features, backend.encode(picture(*IMAGE)).features.float())
    assert kept.positions.tolist() == list(range(25))


class DropsAfter(EncoderReducer):
    """Every third token, after layer 1; `between`: before its MLP."""

    def __init__(self, between: bool) -> None:
        self.between = between

    def kept(self, step: EncoderStep) -> Tensor | None:
        first = int(step.has_cls)
        return torch.cat([torch.arange(first), torch.arange(first, len(step.rows), 3)]) if step.layer == 1 else None

    def after_attention(self, step: EncoderStep) -> Tensor | None:
        return self.kept(step) if self.between else None

    def after_block(self, step: EncoderStep) -> Tensor | None:
        return None if self.between else self.kept(step)


@torch.inference_mode()
def plainly(backend: Any, edit: Callable[[int, str, Tensor], Tensor]) -> Tensor:
    """The features of the image, `edit` applied to the rows [P, C] at the two points of each layer but the last."""
    tower = backend.model.model.get_submodule(backend._encoder().tower)
    x = tower.embeddings(backend.process(picture(*IMAGE))["pixel_values"])
    x = tower.pre_layrnorm(x)[0] if hasattr(tower, "pre_layrnorm") else x[0]
    for number, layer in enumerate(tower.encoder.layers[:-1]):
        heads = [
            projection(layer.layer_norm1(x)).unflatten(-1, (4, 16)).transpose(0, 1)
            for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)
        ]
        weights = (heads[0] @ heads[1].transpose(1, 2) / 4).softmax(dim=-1)
        x = x + layer.self_attn.out_proj((weights @ heads[2]).transpose(0, 1).flatten(1))
        x = edit(number, "attention", x)
        x = x + layer.mlp(layer.layer_norm2(x))
        x = edit(number, "block", x)
    return backend.model.model.multi_modal_projector(x[int(backend._encoder().has_cls) :])


@pytest.mark.parametrize("between", [True, False])
def test_dropped_rows_are_gone_for_what_follows(backend: Any, between: bool) -> None:
    first = int(backend._encoder().has_cls)

    def drop(layer: int, place: str, rows: Tensor) -> Tensor:
        if layer != 1 or place != ("attention" if between else "block"):
            return rows
        return torch.cat([rows[:first], rows[first::3]])

    kept = backend.encode_inside(picture(*IMAGE), DropsAfter(between))
    torch.testing.assert_close(kept.features, plainly(backend, drop), rtol=0, atol=1e-5)
    assert kept.positions.tolist() == list(range(0, 25, 3))


class Pairs(EncoderReducer):
    """The first two tokens of each layer become one, at the place of the second."""

    def after_block(self, step: EncoderStep) -> Merge:
        first, n = int(step.has_cls), len(step.rows)
        group = (torch.arange(n) - (torch.arange(n) > first).long()).clamp(min=0)
        targets = torch.cat([torch.arange(first), torch.arange(first + 1, n)])
        return Merge(group, n - 1, targets)


def test_merged_rows_are_means_weighted_by_what_they_stand_for(backend: Any) -> None:
    first = int(backend._encoder().has_cls)

    def merge(layer: int, place: str, rows: Tensor) -> Tensor:
        if place == "attention":
            return rows
        mean = (rows[first] * (layer + 1) + rows[first + 1]) / (layer + 2)
        return torch.cat([rows[:first], mean[None], rows[first + 2 :]])

    kept = backend.encode_inside(picture(*IMAGE), Pairs())
    torch.testing.assert_close(kept.features, plainly(backend, merge), rtol=0, atol=1e-5)
    assert kept.positions.tolist() == list(range(3, 25))


class Notes(EncoderReducer):
    def __init__(self) -> None:
        self.steps: list[EncoderStep] = []

    def after_block(self, step: EncoderStep) -> None:
        self.steps.append(step)


def test_a_reducer_sees_the_attention_that_the_tower_computes(backend: Any) -> None:
    notes = Notes()
    backend.encode_inside(picture(*IMAGE), notes)
    tower = backend.model.model.get_submodule(backend._encoder().tower)
    before = tower.config._attn_implementation
    tower.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            said = tower(
                backend.process(picture(*IMAGE))["pixel_values"], output_attentions=True, output_hidden_states=True
            )
    finally:
        tower.set_attn_implementation(before)
    assert [step.layer for step in notes.steps] == list(range(N_LAYERS - 1))
    for step in notes.steps:
        assert (step.n_layers, step.grid, step.n_tokens) == (N_LAYERS - 1, (5, 5), 25)
        torch.testing.assert_close(step.rows, said.hidden_states[step.layer + 1][0], rtol=0, atol=1e-5)
        first = step.attention_of(step.queries[:, 0])
        torch.testing.assert_close(first, said.attentions[step.layer][0, :, 0], rtol=0, atol=1e-5)
        if step.has_cls:
            assert torch.equal(step.cls_attention, first)
        else:
            with pytest.raises(ValueError, match="no class row"):
                _ = step.cls_attention


class Doubles(EncoderReducer):
    """After the first layer, its first token stands for three."""

    proportional = True

    def after_block(self, step: EncoderStep) -> Merge | None:
        if step.layer:
            return None
        first, n = int(step.has_cls), len(step.rows)
        group = torch.cat([torch.arange(first), torch.full((3,), first), torch.arange(first + 1, n - 2)])
        return Merge(group, n - 2, torch.cat([torch.arange(first + 1), torch.arange(first + 3, n)]))


def test_proportional_attention_sees_a_merged_row_as_that_many_equal_ones(backend: Any) -> None:
    first = int(backend._encoder().has_cls)

    def average(layer: int, place: str, rows: Tensor) -> Tensor:
        if (layer, place) != (0, "block"):
            return rows
        rows = rows.clone()
        rows[first : first + 3] = rows[first : first + 3].mean(dim=0)
        return rows

    expected = plainly(backend, average)
    kept = backend.encode_inside(picture(*IMAGE), Doubles())
    torch.testing.assert_close(kept.features, torch.cat([expected[:1], expected[3:]]), rtol=0, atol=1e-5)


def test_eager_attention_is_proportional_too(checkpoint: Callable[[str], Path]) -> None:
    backend = backend_of("llava", checkpoint, torch.float32)
    expected = backend.encode_inside(picture(*IMAGE), Doubles()).features
    backend.model.model.vision_tower.set_attn_implementation("eager")
    found = backend.encode_inside(picture(*IMAGE), Doubles()).features
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_kernel_that_takes_no_mask_is_named(checkpoint: Callable[[str], Path]) -> None:
    backend = backend_of("llava", checkpoint, torch.float32)
    for layer in backend.model.model.vision_tower.encoder.layers[1:]:
        layer.self_attn.config = type("Config", (), {"_attn_implementation": "flash_attention_2"})()
    with pytest.raises(CompressionError, match="flash_attention_2 cannot: load the model with --vtc-attention sdpa"):
        backend.encode_inside(picture(*IMAGE), Doubles())


# Through the engine


class Inside(Compressor):
    name = "inside"
    description = "runs what it is told inside the encoder"
    needs = frozenset({"inside"})
    exact = False

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:  # noqa: ARG002
        return ctx["inside"](DropsAfter(between=False))


class Breaks(Inside):
    name = "breaks"

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:  # noqa: ARG002
        class Twice(EncoderReducer):
            def after_block(self, step: EncoderStep) -> Tensor:  # noqa: ARG002
                return torch.tensor([0, 1, 1])

        return ctx["inside"](Twice())


def test_an_error_within_the_encoder_fails_no_other_case_on_the_image(backend: Any) -> None:
    jobs = [Job(sample(IMAGE), compressor, 0.5) for compressor in (None, Breaks(), Inside())]
    stock, broken, kept = Engine(backend).run(jobs, 2)
    assert isinstance(stock, Generation), stock
    assert isinstance(kept, Generation), kept
    assert kept.n_kept == 9
    assert isinstance(broken, CaseFailed)
    assert "keeps a row of the encoder more than once" in str(broken)


@pytest.mark.parametrize("spec", ["tome_encoder", "flowcut", "mustdrop"])
def test_the_shipped_methods_keep_exactly_their_budget(backend: Any, spec: str) -> None:
    jobs = [Job(sample(IMAGE, (60, 90)), resolve([spec])[0], ratio) for ratio in (0.9, 0.5, 0.25, 0.05)]
    for found in Engine(backend).run(jobs, 2):
        assert isinstance(found, Generation), found
        assert found.n_kept == found.n_asked


@pytest.mark.parametrize("name", sorted(set(VARIANTS) - {"llava", "video_llava"}))
def test_the_other_families_say_why_nothing_can_be_dropped_within_their_encoder(
    parts: Callable[[str], Parts], name: str
) -> None:
    loaded = parts(name)
    backend: Backend = BACKENDS[loaded.model.config.model_type](loaded.model, loaded.tokenizer, loaded.image_processor)
    expected = {"gemma4_unified": "no vision encoder", "gemma3n": "convolutional"}.get(name, "grid of its patches")
    assert expected in backend.lacking["inside"]
    with pytest.raises(CompressionError, match=expected):
        backend.encode_inside(picture(*IMAGE), EncoderReducer())


@pytest.mark.parametrize("name", ["gemma3", "llava_next", "qwen2_vl"])
def test_there_mustdrop_merges_windows_of_projected_tokens(parts: Callable[[str], Parts], name: str) -> None:
    loaded = parts(name)
    backend = BACKENDS[loaded.model.config.model_type](loaded.model, loaded.tokenizer, loaded.image_processor)
    (found,) = Engine(backend).run([Job(sample(IMAGE), resolve(["mustdrop"])[0], 0.5)], 2)
    assert isinstance(found, Generation), found
    assert 0 < found.n_kept <= found.n_asked
