"""`project`: rows of the encoder through a family's own projector, and why that is not to be had of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pytest_vtc.compression import CompressionError
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.vision_side import Wants
from tests.families.checkpoints import VARIANTS, Parts, load_parts
from tests.families.pictures import picture

HIDDEN = Wants(hidden=True)
OFFERING = [
    "gemma4_causal",
    "gemma4_bidir",
    "gemma4_moe",
    "gemma4_unified",
    "gemma3n",
    "llava",
    "llava_next",
    "video_llava",
    "internvl",
    "smolvlm",
    "idefics3",
]
LACKING = sorted(set(VARIANTS) - set(OFFERING))


def backend_of(parts: Parts) -> Backend:
    return BACKENDS[parts.model.config.model_type](parts.model, parts.tokenizer, parts.image_processor)


@pytest.fixture
def backend(request: pytest.FixtureRequest, parts: Callable[[str], Parts]) -> Backend:
    return backend_of(parts(request.param))


@pytest.mark.parametrize("backend", OFFERING, indirect=True)
def test_the_hidden_rows_of_an_image_are_projected_to_its_tokens(backend: Backend) -> None:
    tokens = backend.encode(picture(90, 60), HIDDEN)
    assert tokens.hidden is not None
    torch.testing.assert_close(backend.project(tokens.hidden), tokens.features, rtol=0, atol=1e-5)


@pytest.mark.parametrize("backend", OFFERING, indirect=True)
def test_rows_are_projected_one_by_one(backend: Backend) -> None:
    tokens = backend.encode(picture(90, 60), HIDDEN)
    assert tokens.hidden is not None
    some = torch.tensor([7, 0, 3])
    torch.testing.assert_close(backend.project(tokens.hidden[some]), tokens.features[some], rtol=0, atol=1e-5)


def test_a_model_in_half_precision_projects_in_it_and_gives_float32(checkpoint: Callable[[str], Path]) -> None:
    backend = backend_of(load_parts("llava", checkpoint("llava"), torch.bfloat16))
    tokens = backend.encode(picture(90, 60), HIDDEN)
    assert tokens.hidden is not None
    projected = backend.project(tokens.hidden.float())
    assert projected.dtype == torch.float32
    assert torch.equal(projected, tokens.features.float())


@pytest.mark.parametrize("backend", LACKING, indirect=True)
def test_the_others_say_that_tokens_are_no_single_rows(backend: Backend) -> None:
    why = backend.lacking["project"]
    assert why in backend.lacked_by_all().values()
    with pytest.raises(CompressionError, match="rows cannot be projected: "):
        backend.project(torch.zeros(1, 64))


@pytest.mark.parametrize("backend", sorted(set(LACKING) - {"llava_onevision"}), indirect=True)
def test_their_projector_makes_one_token_of_several_rows(backend: Backend) -> None:
    tokens = backend.encode(picture(90, 60), HIDDEN)
    with backend._projected() as given:
        backend.encode(picture(90, 60))
    assert sum(rows.numel() // rows.shape[-1] for rows in given) > len(tokens)


def test_llava_onevision_scales_down_what_it_has_projected_of_a_large_image(parts: Callable[[str], Parts]) -> None:
    backend = backend_of(parts("llava_onevision"))
    with backend._projected() as given:
        tokens = backend.encode(picture(500, 480))
    projected = sum(rows.numel() // rows.shape[-1] for rows in given)
    assert projected > len(tokens.rows)
    assert "scaled down" in backend.lacking["project"]
