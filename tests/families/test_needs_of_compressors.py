"""What a compressor needs and a model cannot give is that compressor's failure alone; what it is given is its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.cells import CaseFailed, Generation
from pytest_vtc.compression import Compressor, Tower
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.families import BACKENDS
from tests.families.checkpoints import Parts, load_parts
from tests.families.pictures import picture


class Looks(Compressor):
    name = "looks"
    description = "keeps what is looked at most"
    needs = frozenset({"attention"})
    layer = -2

    def encoder_layers(self, tower: Tower) -> tuple[int, ...]:  # noqa: ARG002
        return (self.layer,)

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        assert len(features) >= n_target
        return ctx["attention"][self.layer].received.sum(dim=0).topk(n_target).indices


class LooksTooDeep(Looks):
    name = "looks_too_deep"
    layer = 30


class WritesIntoAll(Compressor):
    """What it keeps depends on what an earlier call has left in its context."""

    name = "writes_into_all"
    description = "changes everything it is given"
    needs = frozenset({"hidden", "attention", "keys", "text"})

    def encoder_layers(self, tower: Tower) -> tuple[int, ...]:  # noqa: ARG002
        return (-2,)

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        features += 1
        attention = ctx["attention"][-2].received
        for tensor in (ctx["hidden"], ctx["positions"], ctx["text"], ctx["keys"][-2], attention):
            tensor *= tensor
        seen = ctx["hidden"].sum(dim=1) + ctx["positions"].sum(dim=1) + ctx["keys"][-2].sum(dim=(0, 2))
        return (seen + 1e3 * attention.sum(dim=0) + ctx["text"].sum()).argsort()[:n_target]


@pytest.fixture
def sample(tmp_path: Path) -> Sample:
    image = ImageFile(tmp_path / "image.png")
    picture(90, 60).save(image.path)
    return Sample("sample", (image,), "what ?")


def backend_of(parts: Parts) -> Backend:
    return BACKENDS[parts.model.config.model_type](parts.model, parts.tokenizer, parts.image_processor)


@pytest.mark.parametrize(
    ("variant", "compressor", "why"),
    [
        ("gemma3n", Looks(), "convolutional"),
        ("gemma4_unified", Looks(), "no vision encoder"),
        ("llava", LooksTooDeep(), "no encoder layer 30"),
    ],
)
def test_other_cases_on_the_image_go_on_without_it(
    parts: Callable[[str], Parts], sample: Sample, variant: str, compressor: Compressor, why: str
) -> None:
    engine = Engine(backend_of(parts(variant)))
    stock, failed = engine.run([Job(sample, None, 1.0), Job(sample, compressor, 0.5)], 3)
    assert isinstance(stock, Generation), stock
    assert isinstance(failed, CaseFailed)
    assert compressor.name in str(failed)
    assert why in str(failed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_compressor_writes_into_its_context_no_other_call_sees(
    checkpoint: Callable[[str], Path], sample: Sample, dtype: torch.dtype
) -> None:
    backend = backend_of(load_parts("llava", checkpoint("llava"), dtype))
    jobs = [Job(sample, WritesIntoAll(), ratio) for ratio in (0.25, 0.5, 0.75)]
    # Row by row: in half precision a batch may round differently.
    together = Engine(backend, batch_size=1).run(jobs, 4)
    alone = [Engine(backend, batch_size=1).run([job], 4)[0] for job in jobs]
    answers = [[r.answer for r in results if isinstance(r, Generation)] for results in (together, alone)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(jobs)
