"""What the benchmarks of the engine run: easy-VQA in many cells, window by window as a session cuts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_vtc.cells import Generation
from pytest_vtc.compression import Compressor
from pytest_vtc.datasets.base import Sample
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job

COMPRESSORS = ("divprune", "fps", "identity", "random")
RATIOS = (0.5, 0.25, 0.125)
SEED = 42

Variant = tuple[Compressor | None, float]


def variants(compressors: Sequence[str] = COMPRESSORS, ratios: Sequence[float] = RATIOS) -> list[Variant]:
    """Stock, then every compressor at every ratio."""
    return [(None, 1.0), *((compressor, ratio) for compressor in resolve(compressors) for ratio in ratios)]


def jobs_for(samples: Sequence[Sample], cells: Sequence[Variant]) -> list[Job]:
    """Sample-major, as a sweep is ordered."""
    return [Job(sample, *variant) for sample in samples for variant in cells]


def first_of_each_image(samples: Sequence[Sample], n: int) -> list[Sample]:
    """One question on each of `n` images."""
    by_group = {sample.group: sample for sample in reversed(samples)}
    return list(reversed(by_group.values()))[:n]


def run_windows(engine: Engine, jobs: Sequence[Job], max_new_tokens: int) -> list[str]:
    """All jobs, window by window as a session cuts them, the next window's images named ahead."""
    answers: list[str] = []
    start = 0
    while start < len(jobs):
        stop = _window_end(engine, jobs, start)
        upcoming = [job.sample for job in jobs[stop : stop + 512]]
        for result in engine.run(jobs[start:stop], max_new_tokens, upcoming):
            if not isinstance(result, Generation):
                raise result
            answers.append(result.answer)
        start = stop
    return answers


def _window_end(engine: Engine, jobs: Sequence[Job], start: int) -> int:
    max_cases, max_images = engine.limits.window()
    seen: set[Any] = set()
    for stop in range(start, len(jobs)):
        seen.update(jobs[stop].sample.images)
        if stop - start >= max_cases or len(seen) > max_images:
            return stop
    return len(jobs)
