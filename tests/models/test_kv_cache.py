"""Bytes of keys and values: those of real caches, whatever the window, the batch and what is shared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionLayer

from pytest_vtc.cells import Generation
from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import budget
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.contract import cache_bytes
from pytest_vtc.models.families import BACKENDS
from pytest_vtc.models.kv_cache import KVCache, refuse_cache
from pytest_vtc.models.sequences import Prefix, Row
from tests.families.checkpoints import load_parts

HEADS, WIDTH = 2, 8
TOKEN = 2 * HEADS * WIDTH * 4
"""Bytes of a token's keys and values in one layer of the caches here."""


def filled(layers: list[Any], n_tokens: int, batch: int = 3) -> DynamicCache:
    cache = DynamicCache()
    cache.layers = layers
    for layer in layers:
        layer.update(*torch.zeros(2, batch, HEADS, n_tokens, WIDTH))
    return cache


def n_bytes(cache: DynamicCache, n_rows: int) -> int:
    layers: list[Any] = cache.layers
    return sum(states.nbytes for layer in layers for states in (layer.keys, layer.values)) // n_rows


def load(variant: str, folder: Path) -> Backend:
    parts = load_parts(variant, folder)
    return BACKENDS[parts.model.config.model_type](parts.model, parts.tokenizer, parts.image_processor)


def text_row(backend: Backend, n_tokens: int) -> Row:
    ids = [backend.tokenizer("what", add_special_tokens=False)["input_ids"][0]] * n_tokens
    return Row(Prefix([], (), (), 0, mrope=backend.mrope), ids)


@pytest.mark.parametrize("window", [1, 2, 12])
def test_a_layer_with_a_window_keeps_what_a_real_one_keeps(window: int) -> None:
    def layers() -> list[Any]:
        return [DynamicLayer(), DynamicSlidingWindowLayer(sliding_window=window), DynamicLayer()]

    counted = KVCache.of(filled(layers(), 5))
    for n_tokens in (1, 5, window, window + 1, 30):
        assert counted.n_bytes(n_tokens) == n_bytes(filled(layers(), n_tokens), 3)


def test_a_window_holds_one_token_less_than_it_sees() -> None:
    counted = KVCache.of(filled([DynamicSlidingWindowLayer(sliding_window=12)], 5))
    assert [counted.n_bytes(n) // TOKEN for n in (10, 11, 12, 100)] == [10, 11, 11, 11]


def test_a_layer_that_was_never_filled_holds_nothing() -> None:
    cache = filled([DynamicLayer()], 5)
    cache.layers.append(DynamicLayer())  # it takes the keys of another, say
    assert KVCache.of(cache).n_bytes(7) == 7 * TOKEN


def test_keys_and_values_count_by_their_own_width_and_number_format() -> None:
    cache = filled([DynamicLayer()], 5)
    layer: Any = cache.layers[0]
    layer.values = torch.zeros(3, 1, 5, 16, dtype=torch.bfloat16)
    assert KVCache.of(cache).n_bytes(10) == 10 * (HEADS * WIDTH * 4 + 16 * 2)


def test_layers_with_other_states_are_refused_by_name() -> None:
    cache = filled([DynamicLayer()], 5)
    layers: list[Any] = cache.layers
    layers.append(LinearAttentionLayer())
    with pytest.raises(TypeError, match=r"other than keys and values of tokens \(LinearAttentionLayer"):
        KVCache.of(cache)


def test_a_configuration_with_layers_that_transformers_does_not_know_is_refused(tiny: Backend) -> None:
    config = copy.deepcopy(tiny.model.config)
    assert refuse_cache(config) is None
    config.text_config.layer_types = ["brand_new"] * 4
    assert "'brand_new'" in str(refuse_cache(config))


@pytest.mark.parametrize("variant", ["gemma3", "gemma3n", "gemma4_causal", "gemma4_bidir"])
def test_prompts_beyond_a_window_take_less_for_each_token(checkpoint: Callable[..., Path], variant: str) -> None:
    backend = load(variant, checkpoint(variant, 12))
    found = {n: backend.kv_bytes(n) for n in (8, 11, 12, 13, 60)}
    assert found == {n: cache_bytes(backend, text_row(backend, n)) for n in found}
    assert found[60] < 60 * found[8] / 8


def test_layers_that_take_the_keys_of_others_hold_none(checkpoint: Callable[..., Path]) -> None:
    backend = load("gemma3n", checkpoint("gemma3n"))
    text = backend.model.config.text_config
    n_own = text.num_hidden_layers - text.num_kv_shared_layers
    assert n_own < text.num_hidden_layers
    assert backend.kv_bytes(10) == 10 * n_own * 2 * text.num_key_value_heads * text.head_dim * 4


# In the engine


@pytest.fixture(scope="module")
def jobs() -> list[Job]:
    """Few and many questions on an image, several images, all tokens and fewer."""
    samples = [*open_samples("probes", data_home(), 6, 1).samples, *open_samples("easyvqa", data_home(), 6, 1).samples]
    samples.append(Sample("two", (samples[0].images[0], samples[-1].images[0]), "how many digits are there ?"))
    variants = [(c, ratio) for c in resolve(["divprune", "pool"]) for ratio in (0.5, 0.125)]
    return [Job(sample, c, ratio) for sample in samples for c, ratio in [(None, 1.0), *variants]]


def alone(backend: Backend, job: Job, by_letter: bool = False) -> int:
    """What the model's own cache holds of a case that is made on its own."""
    images = [backend.encode(source.open()) for source in job.sample.images]
    kept = None
    if job.compressor is not None:
        kept = [
            run_compressor(job.compressor, i.features, budget(len(i), job.ratio), {"grid": i.grid, "tiles": (i.grid,)})
            for i in images
        ]
    prompt = backend.prompt_ids(job.sample.prompt, [i.tiles for i in images], by_letter)
    return cache_bytes(backend, backend.row(prompt, images, kept or [None] * len(images), "compact"))


def recorded(engine: Engine, jobs: list[Job], max_new_tokens: int = 4) -> list[int]:
    return [r.kv_bytes for r in engine.run(jobs, max_new_tokens) if isinstance(r, Generation)]


def test_what_is_recorded_is_what_the_model_keeps_of_the_case_alone(tiny: Backend, jobs: list[Job]) -> None:
    expected = [alone(tiny, job) for job in jobs]
    assert recorded(Engine(tiny), jobs) == expected
    assert recorded(Engine(tiny, batch_size=1), jobs) == expected
    assert len(set(expected)) > 10


def test_compression_saves_the_bytes_of_the_tokens_that_are_gone(tiny: Backend, jobs: list[Job]) -> None:
    stock, half = recorded(Engine(tiny), jobs[:2])
    assert stock - half == 32 * tiny.kv_bytes(1)


def test_answers_by_letter_record_the_same_prompt(tiny: Backend, jobs: list[Job]) -> None:
    asked = [
        Job(Sample(j.sample.id, j.sample.images, j.sample.prompt, options=("a", "b")), j.compressor, j.ratio)
        for j in jobs
    ]
    assert recorded(Engine(tiny, answers="letters"), asked) == [alone(tiny, job, by_letter=True) for job in asked]


def test_recording_takes_no_forward_pass_of_its_own(
    tiny: Backend, jobs: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = type(tiny)(tiny.model, tiny.tokenizer, tiny.image_processor)
    n_calls: list[int] = []
    for kv_bytes in (Backend.kv_bytes, lambda _backend, _n_tokens: 0):
        monkeypatch.setattr(Backend, "kv_bytes", kv_bytes)
        calls: list[None] = []
        hook = tiny.model.register_forward_pre_hook(lambda *_args, calls=calls: calls.append(None))
        Engine(fresh).run(jobs, 2)
        hook.remove()
        n_calls.append(len(calls))
    assert n_calls[0] == n_calls[1] > 0


def test_before_the_first_prompt_it_is_known_as_well(tiny: Backend) -> None:
    fresh = type(tiny)(tiny.model, tiny.tokenizer, tiny.image_processor)
    assert fresh.kv_bytes(20) == cache_bytes(tiny, text_row(tiny, 20))
