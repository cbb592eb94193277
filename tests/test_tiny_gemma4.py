"""The embedded model really reads: the bars it was trained for, measured through the engine."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from pytest_vtc.cells import Generation
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.catalogue import CATALOGUE


def accuracy(backend: Backend, samples: list[Sample], *variants: tuple[str | None, float]) -> dict[str | None, float]:
    """Share of exact answers per compressor spec (None: stock)."""
    chosen = [(spec, None if spec is None else resolve([spec])[0], ratio) for spec, ratio in variants]
    right: dict[str | None, int] = defaultdict(int)
    engine = Engine(backend)
    for start in range(0, len(samples), 64):
        jobs = [(spec, Job(s, c, r)) for s in samples[start : start + 64] for spec, c, r in chosen]
        for (spec, job), result in zip(jobs, engine.run([job for _, job in jobs], 4), strict=True):
            assert isinstance(result, Generation)
            right[spec] += result.answer in job.sample.answers
    return {spec: right[spec] / len(samples) for spec, _, _ in chosen}


def test_it_is_a_real_gemma_4_of_at_most_4_mb(tiny: Backend) -> None:
    folder = Path(CATALOGUE["tiny-gemma4"].location)
    assert type(tiny.model).__name__ == "Gemma4ForConditionalGeneration"
    assert {"sliding_attention", "full_attention"} == set(tiny.model.config.text_config.layer_types)
    assert tiny.model.config.text_config.hidden_size_per_layer_input > 0
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= 4_000_000


def test_it_answers_a_sample_of_easy_vqa(tiny: Backend) -> None:
    samples = list(open_samples("easyvqa", data_home(), 300, 0).samples)
    assert accuracy(tiny, samples, (None, 1.0))[None] >= 0.96


def test_compression_shows_on_digits(tiny: Backend) -> None:
    samples = [s for s in open_samples("probes", data_home(), 300, 0).samples if s.category.startswith("digit")]
    found = accuracy(tiny, samples, (None, 1.0), ("divprune", 0.25), ("identity", 0.25), ("random", 0.25))
    assert found[None] >= 0.93
    assert found["divprune"] >= found[None] - 0.07
    assert found["identity"] <= found[None] - 0.35
    assert found["random"] <= found[None] - 0.35


def test_any_text_survives_the_tokenizer(tiny: Backend) -> None:
    text = "Überall, 3 cats; <b>?\nA. x"
    ids = tiny.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tiny.tokenizer.decode(ids) == text
    assert tiny.tokenizer.unk_token_id not in ids


@pytest.mark.slow
def test_the_whole_easy_vqa_test_split(tiny: Backend) -> None:
    samples = list(open_samples("easyvqa", data_home(), None, 0).samples)
    assert len(samples) == 9673
    assert accuracy(tiny, samples, (None, 1.0))[None] >= 0.98


@pytest.mark.slow
def test_digits_of_2000_probes(tiny: Backend) -> None:
    samples = [s for s in open_samples("probes", data_home(), 2000, 42).samples if s.category.startswith("digit")]
    found = accuracy(tiny, samples, (None, 1.0), ("divprune", 0.25), ("identity", 0.25))
    assert found[None] >= 0.95
    assert found["divprune"] >= found[None] - 0.05
    assert found["identity"] <= found[None] - 0.40


@pytest.mark.slow
def test_batch_1_and_batch_64_agree_on_2000_cases(tiny: Backend) -> None:
    compressors = resolve(["divprune", "fps", "identity", "pool"])
    samples = list(open_samples("probes", data_home(), 400, 7).samples)
    jobs = [Job(s, c, 0.25) for s in samples for c in [None, *compressors]]
    assert len(jobs) == 2000
    answers = [
        [r.answer if isinstance(r, Generation) else str(r) for r in Engine(tiny, batch_size=size).run(jobs, 8)]
        for size in (1, 64)
    ]
    assert answers[0] == answers[1]
