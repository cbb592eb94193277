"""Runs of the engine on a family's backend, for what only shows when many cases share their batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from pytest_vtc.cells import CaseFailed, Generation
from pytest_vtc.compression import CompressionError, Compressor
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.image_compression import check_supported
from pytest_vtc.models.backend import Backend
from tests.families.pictures import picture

RATIOS = (0.5, 0.25)


def samples(folder: Path) -> list[Sample]:
    """Two questions each on a wide image, a tall one, and both; the images are written into `folder`."""
    files: list[ImageFile] = []
    for i, size in enumerate([(96, 40), (40, 96)]):
        files.append(ImageFile(folder / f"{i}.png"))
        picture(*size, seed=i).save(files[-1].path)
    shown = [(files[0],), (files[1],), (*files,)]
    return [Sample(f"{i} {text}", images, text) for i, images in enumerate(shown) for text in ("what ?", "in which ?")]


def compressed(folder: Path, *names: str) -> list[Job]:
    """Jobs of these compressors on all samples, stock among them."""
    variants: list[tuple[Compressor | None, float]] = [(None, 1.0)]
    variants += [(compressor, ratio) for compressor in resolve([*names]) for ratio in RATIOS]
    return [Job(sample, *variant) for sample in samples(folder) for variant in variants]


def assert_same_together_and_alone(backend: Backend, folder: Path) -> None:
    """Many cases at once, with beginnings that they share where that is exact, answer like each from scratch."""
    jobs = compressed(folder, "divprune")
    together = Engine(backend).run(jobs, 4)
    alone = [Engine(backend, batch_size=1).run([job], 4)[0] for job in jobs]
    answers = [[r.answer for r in results if isinstance(r, Generation)] for results in (together, alone)]
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(jobs)
    assert len(set(answers[0])) > len(jobs) // 2, "the answers show too little"


def assert_compressors_keep_their_budgets(backend: Backend, folder: Path, *names: str) -> None:
    for job, result in zip(jobs := compressed(folder, *names), Engine(backend).run(jobs, 2), strict=True):
        assert isinstance(result, Generation), result
        assert 0 < result.n_kept <= job.ratio * result.n_tokens


def refusal(backend: Backend, folder: Path, name: str) -> str:
    """Why a compressor cannot be run."""
    (failed,) = Engine(backend).run([Job(samples(folder)[0], resolve([name])[0], 0.5)], 2)
    assert isinstance(failed, CaseFailed)
    return str(failed)


def reason_against(backend: Backend, context: str) -> str:
    """Why the backend cannot run a compressor that needs this of its context."""

    class Looks(Compressor):
        name = "looks"
        description = "looks at what it needs"
        needs = frozenset({context})

        def compress(self, features: Tensor, n_target: int, **_context: Any) -> Tensor:
            return features[:n_target]

    with pytest.raises(CompressionError) as error:
        check_supported(Looks(), type(backend))
    return str(error.value)
