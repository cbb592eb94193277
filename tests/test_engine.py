"""Encode, compress, generate: what the engine promises whatever the batch, the order and the compressor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.cells import Generation
from pytest_vtc.compression import CompressionError, Compressor, Kept
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import CaseFailed, Engine, Job
from pytest_vtc.image_compression import check_supported
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.sequences import Tile


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return list(open_samples("probes", data_home(), 8, 1).samples) + list(
        open_samples("easyvqa", data_home(), 8, 1).samples
    )


def jobs_for(samples: list[Sample], *specs: str, ratios: tuple[float, ...] = (0.5, 0.125)) -> list[Job]:
    variants = [(c, r) for c in resolve(list(specs)) for r in ratios]
    return [Job(s, c, r) for s in samples for c, r in [(None, 1.0), *variants]]


def answers(results: list[Generation | CaseFailed]) -> list[str]:
    assert not [r for r in results if isinstance(r, CaseFailed)]
    return [r.answer for r in results if isinstance(r, Generation)]


@dataclass(frozen=True)
class Recording(Compressor):
    """Keeps the first tokens and remembers how often and with what it was called."""

    name: ClassVar[str] = "recording"
    description: ClassVar[str] = "remembers its calls"
    calls: ClassVar[list[dict[str, Any]]] = []

    def compress(self, _features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        self.calls.append(ctx)
        return torch.arange(n_target)


class ReadsText(Recording):
    name = "reads_text"
    needs = frozenset({"text", "hidden", "image"})


class NoPlace(Compressor):
    name = "no_place"
    description = "rows without positions"

    def compress(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        return features[:n_target]


class Backwards(Compressor):
    name = "backwards"
    description = "the last tokens, last first"

    def compress(self, features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
        return torch.arange(len(features) - 1, len(features) - 1 - n_target, -1)


def test_answers_do_not_depend_on_batch_size_or_order(tiny: Backend, samples: list[Sample]) -> None:
    jobs = jobs_for(samples, "divprune", "identity", "random", "pool", "downsample")
    together = answers(Engine(tiny, batch_size=64).run(jobs, 8))
    alone = [answers(Engine(tiny, batch_size=1).run([job], 8))[0] for job in jobs]
    backwards = answers(Engine(tiny, batch_size=7).run(jobs[::-1], 8))[::-1]
    assert together == alone
    assert together == backwards


def test_ratio_one_of_a_selection_answers_as_stock(tiny: Backend, samples: list[Sample]) -> None:
    results = Engine(tiny).run(jobs_for(samples, "divprune", "identity", ratios=(1.0,)), 8)
    texts = answers(results)
    assert texts[0::3] == texts[1::3] == texts[2::3]


def test_budgets_are_what_was_really_kept(tiny: Backend, samples: list[Sample]) -> None:
    stock, half, pooled = Engine(tiny).run([Job(samples[0], c, 0.5) for c in (None, *resolve(["fps", "pool"]))], 8)
    assert isinstance(stock, Generation)
    assert isinstance(half, Generation)
    assert isinstance(pooled, Generation)
    assert (stock.n_tokens, stock.n_asked, stock.n_kept) == (64, 64, 64)
    assert (half.n_tokens, half.n_asked, half.n_kept) == (64, 32, 32)
    assert (pooled.n_asked, pooled.n_kept) == (32, 30)


def test_a_text_blind_compressor_runs_once_per_image_and_budget(tiny: Backend, samples: list[Sample]) -> None:
    Recording.calls.clear()
    same_image = [s for s in samples if s.group == samples[0].group]
    assert len(same_image) > 1
    Engine(tiny).run([Job(s, Recording(), r) for s in same_image for r in (0.5, 0.25)], 4)
    assert len(Recording.calls) == 2


def test_a_compressor_that_reads_the_text_runs_once_per_question(tiny: Backend, samples: list[Sample]) -> None:
    Recording.calls.clear()
    same_image = [s for s in samples if s.group == samples[0].group]
    Engine(tiny).run([Job(s, ReadsText(), 0.5) for s in same_image], 4)
    assert len(Recording.calls) == len({s.prompt for s in same_image})


def test_the_context_holds_what_was_asked_for_and_nothing_costly_else(tiny: Backend, samples: list[Sample]) -> None:
    Recording.calls.clear()
    Engine(tiny).run([Job(samples[0], Recording(), 0.5), Job(samples[0], ReadsText(), 0.5)], 4)
    plain, full = Recording.calls
    assert set(plain) == {"grid", "positions", "tiles", "generator"}
    assert plain["tiles"] == ((8, 8),)
    assert plain["grid"] == (8, 8)
    assert plain["positions"][9].tolist() == [1, 1]
    assert set(full) == {"grid", "positions", "tiles", "generator", "text", "hidden", "image"}
    assert full["hidden"].shape == (64, tiny.model.config.vision_config.hidden_size)
    assert full["text"].shape[1] == tiny.model.config.text_config.hidden_size
    assert full["image"].size == (384, 384)


def test_a_selection_reaches_the_model_in_raster_order(tiny: Backend, samples: list[Sample]) -> None:
    tokens = tiny.encode(samples[0].images[0].open())
    from pytest_vtc.compressed import run_compressor

    kept = run_compressor(Backwards(), tokens.features, 4, {})
    assert kept.indices is not None
    assert kept.indices.tolist() == [60, 61, 62, 63]


def test_original_positions_are_those_of_the_whole_prompt(tiny: Backend, samples: list[Sample]) -> None:
    from pytest_vtc.compressed import run_compressor

    tokens = tiny.encode(samples[0].images[0].open())
    prompt = tiny.prompt_ids("what ?", [(Tile(8, 8),)])
    before = prompt.index(tiny.image_token_id) + 1  # <|image> stands in front of the tokens
    kept = run_compressor(Backwards(), tokens.features, 4, {})
    original = tiny.row(prompt, [tokens], [kept], "original")
    stock = tiny.row(prompt, [tokens], [None], "original")
    assert original.positions[before : before + 4] == [before + i for i in (60, 61, 62, 63)]
    assert original.positions[-1] == stock.positions[-1]
    assert tiny.row(prompt, [tokens], [kept], "compact").positions == list(range(len(original)))


def test_merged_rows_without_positions_cannot_have_original_ones(tiny: Backend, samples: list[Sample]) -> None:
    (result,) = Engine(tiny, positions="original").run([Job(samples[0], NoPlace(), 0.5)], 4)
    assert isinstance(result, CaseFailed)
    assert "compact" in str(result)
    (result,) = Engine(tiny, positions="compact").run([Job(samples[0], NoPlace(), 0.5)], 4)
    assert isinstance(result, Generation)


def test_two_images_in_one_prompt_are_each_compressed(tiny: Backend, samples: list[Sample]) -> None:
    both = Sample("two", (samples[0].images[0], samples[-1].images[0]), "how many digits are there ?")
    stock, half = Engine(tiny).run([Job(both, None, 1.0), Job(both, resolve(["identity"])[0], 0.5)], 4)
    assert isinstance(stock, Generation)
    assert isinstance(half, Generation)
    assert (stock.n_tokens, half.n_kept) == (128, 64)


def test_a_bad_image_fails_its_own_cases_only(tiny: Backend, samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"not an image")
    bad = Sample("bad", (ImageFile(tmp_path / "bad.png"),), "what ?")
    results = Engine(tiny).run([Job(samples[0], None, 1), Job(bad, None, 1), Job(samples[1], None, 1)], 4)
    assert [isinstance(r, CaseFailed) for r in results] == [False, True, False]
    assert "bad.png" in str(results[1])


@pytest.mark.parametrize("size", [(1, 1), (5000, 20), (20, 5000), (3000, 2000)])
def test_images_of_odd_sizes_work(tiny: Backend, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "white").save(tmp_path / "odd.png")
    odd = Sample("odd", (ImageFile(tmp_path / "odd.png"),), "what ?")
    results = Engine(tiny).run(jobs_for([odd], "divprune", "pool", "downsample"), 2)
    assert answers(results)
    assert all(1 <= r.n_kept <= r.n_tokens <= 70 for r in results if isinstance(r, Generation))


def test_a_prompt_with_an_image_placeholder_in_its_text_is_refused(tiny: Backend, samples: list[Sample]) -> None:
    (result,) = Engine(tiny).run([Job(Sample("x", samples[0].images, "what <|image|> ?"), None, 1)], 4)
    assert isinstance(result, CaseFailed)
    assert "placeholder" in str(result)


def test_a_prompt_longer_than_the_context_is_refused(tiny: Backend, samples: list[Sample]) -> None:
    results = Engine(tiny).run(
        [Job(Sample("x", samples[0].images, "what " * 3000), None, 1), Job(samples[0], None, 1)], 4
    )
    assert [isinstance(r, CaseFailed) for r in results] == [True, False]
    assert "the model's context has 2048" in str(results[0])


def test_a_batch_that_fails_is_halved_until_only_the_bad_row_is_left(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Backend.generate
    bad_prompt = tiny.prompt_ids(samples[2].prompt, [(Tile(8, 8),)])

    def fails_on_one(self: Backend, rows: Any, limit: int, **options: Any) -> Any:
        if any(row.ids[-8:] == bad_prompt[-8:] for row in rows):
            raise RuntimeError("cannot compute this")
        return generate(self, rows, limit, **options)

    expected = [s.prompt == samples[2].prompt for s in samples]
    monkeypatch.setattr(Backend, "generate", fails_on_one)
    results = Engine(tiny).run([Job(s, None, 1) for s in samples], 4)
    assert [isinstance(r, CaseFailed) for r in results] == expected


def test_an_answer_that_meets_the_limit_is_marked(tiny: Backend, samples: list[Sample]) -> None:
    short, enough = (Engine(tiny).run([Job(samples[0], None, 1)], n)[0] for n in (1, 8))
    assert isinstance(short, Generation)
    assert isinstance(enough, Generation)
    assert (short.truncated, enough.truncated) == (True, False)


@pytest.mark.parametrize("spec", ["identity", "pool"])
def test_a_case_is_beyond_the_window_by_its_uncompressed_length(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    jobs = jobs_for(samples[:1], spec, ratios=(0.125,))
    for job, found in zip(jobs, Engine(tiny).run(jobs, 8), strict=True):
        assert isinstance(found, Generation)
        # Of the placeholders for an image one is in the prompt already.
        length = len(tiny.prompt_ids(job.sample.prompt, [(Tile(8, 8),)])) + found.n_tokens - 1 + found.n_generated
        for window, beyond in ((length, False), (length - 1, True), (None, False)):
            monkeypatch.setattr(tiny, "sliding_window", window)
            (again,) = Engine(tiny).run([job], 8)
            assert isinstance(again, Generation)
            assert (again.answer, again.beyond_window) == (found.answer, beyond)


def test_the_random_draw_depends_on_seed_and_image_alone(tiny: Backend, samples: list[Sample]) -> None:
    (compressor,) = resolve(["random"])
    draws = [
        [r.answer for r in Engine(tiny, seed=seed, batch_size=b).run([Job(s, compressor, 0.125) for s in order], 4)
         if isinstance(r, Generation)]
        for seed, b, order in [(1, 1, samples), (1, 64, samples), (2, 64, samples)]
    ]  # fmt: skip
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]


def test_what_the_engine_cannot_give_is_refused_by_name() -> None:
    class Wants(NoPlace):
        needs = frozenset({"telepathy"})

    class Deep(NoPlace):
        stage = "llm"

    with pytest.raises(CompressionError, match=r"needs \['telepathy'\]"):
        check_supported(Wants())
    with pytest.raises(CompressionError, match="stage 'llm'"):
        check_supported(Deep())


def test_kept_rows_go_in_the_order_given(tiny: Backend, samples: list[Sample]) -> None:
    from pytest_vtc.compressed import run_compressor

    class Swapped(Compressor):
        name = "swapped"
        description = "two rows, the second first"

        def compress(self, features: Tensor, _n_target: int, **_ctx: Any) -> Kept:
            return Kept(features[[1, 0]], torch.tensor([1, 0]))

    features = tiny.encode(samples[0].images[0].open()).features
    kept = run_compressor(Swapped(), features, 2, {})
    assert torch.equal(kept.gather(features), features[[1, 0]])


SIZES = [(64, 64), (64, 64), (96, 48), (64, 64)]
"""Of images; the third has fewer tokens, and all have the same number of patches after padding."""


@pytest.mark.parametrize("sizes", [SIZES, SIZES[:1] * 4])
def test_images_that_share_a_call_keep_every_bit_of_their_features(tiny: Backend, sizes: Any) -> None:
    processed = [tiny.process(Image.effect_noise(size, 90).convert("RGB")) for size in sizes]
    alone = [tiny.encode_processed(p) for p in processed]
    for _ in range(2):  # the first time is the trial
        for one, other in zip(alone, tiny.encode_many(processed), strict=True):
            assert torch.equal(one.features, other.features)
            assert one.grid == other.grid


def test_images_do_not_share_a_call_where_that_changes_their_features(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    processed = [tiny.process(s.images[0].open()) for s in samples[:4]]
    alone = [tiny.encode_processed(p).features for p in processed]
    see = Backend._see

    def rounds_differently(self: Backend, pixels: Any) -> Any:
        output = see(self, pixels)
        if len(pixels["pixel_values"]) > 1:
            output.pooler_output = [item + 1e-6 for item in output.pooler_output]
        return output

    monkeypatch.setattr(Backend, "_see", rounds_differently)
    monkeypatch.setattr(tiny, "_exact_together", {})
    for _ in range(2):
        assert all(torch.equal(a, b.features) for a, b in zip(alone, tiny.encode_many(processed), strict=True))


def calls_of_the_vision_side(tiny: Backend, processed: list[Any], monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Shapes of the pixels of each call, once the trials are over."""
    see = Backend._see
    calls: list[list[int]] = []

    def counting(self: Backend, pixels: Any) -> Any:
        calls.append(list(pixels["pixel_values"].shape))
        return see(self, pixels)

    monkeypatch.setattr(tiny, "_exact_together", {})
    monkeypatch.setattr(Backend, "_see", counting)
    for _ in range(2):  # one trial at a time
        tiny.encode_many(processed)
    calls.clear()
    tiny.encode_many(processed)
    return calls


def test_padding_of_patches_does_not_go_through_the_vision_tower(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    processed = [tiny.process(s.images[0].open()) for s in samples[:4]]
    assert processed[0]["pixel_values"].shape[1] == 630
    assert calls_of_the_vision_side(tiny, processed, monkeypatch) == [[4, 64 * 9, 768]]


def test_padding_stays_where_images_without_it_differ_in_shape(tiny: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    processed = [tiny.process(Image.effect_noise(size, 90).convert("RGB")) for size in SIZES]
    assert len({tiny._unpadded(p)["pixel_values"].shape for p in processed}) == 2
    assert calls_of_the_vision_side(tiny, processed, monkeypatch) == [[4, 630, 768]]


def test_padding_stays_where_its_absence_changes_features(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    processed = [tiny.process(s.images[0].open()) for s in samples[:4]]
    see = Backend._see

    def rounds_differently(self: Backend, pixels: Any) -> Any:
        output = see(self, pixels)
        if pixels["pixel_values"].shape[1] < 630:
            output.pooler_output = [item + 1e-6 for item in output.pooler_output]
        return output

    monkeypatch.setattr(Backend, "_see", rounds_differently)
    assert calls_of_the_vision_side(tiny, processed, monkeypatch) == [[4, 630, 768]]


def test_what_fails_for_one_prompt_or_image_takes_no_other_with_it(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reader(Compressor):
        name = "reader"
        description = "reads the question"
        needs = frozenset({"text"})

        def compress(self, _features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
            return torch.arange(n_target)

    embed, bad = Backend.text_embeddings, samples[1].prompt

    def fails_on_one(self: Backend, text: str) -> Tensor:
        if text == bad:
            raise RuntimeError("no such token")
        return embed(self, text)

    monkeypatch.setattr(Backend, "text_embeddings", fails_on_one)
    found = Engine(tiny).run([Job(s, Reader(), 0.5) for s in samples], 4)
    assert [isinstance(f, CaseFailed) for f in found] == [s.prompt == bad for s in samples]
    failed = next(f for f in found if isinstance(f, CaseFailed))
    assert str(failed) == "reader cannot be given what it needs: RuntimeError: no such token"


def test_images_that_are_too_many_for_memory_go_one_by_one_from_then_on(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode_many = Backend.encode_many
    sizes: list[int] = []

    def with_little_memory(self: Backend, processed: Any, wants: Any) -> Any:
        sizes.append(len(processed))
        if len(processed) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode_many(self, processed, wants)

    engine = Engine(tiny)
    jobs = [Job(sample, None, 1.0) for sample in open_samples("easyvqa", data_home(), 40, 3).samples]
    expected = [f.answer for f in engine.run(jobs, 4) if isinstance(f, Generation)]
    monkeypatch.setattr(Backend, "encode_many", with_little_memory)
    with pytest.warns(UserWarning, match="out of memory with 4 images in a batch"):
        found = engine.run(jobs, 4)
    assert [f.answer for f in found if isinstance(f, Generation)] == expected
    assert [size for size in sizes if size > 1] == [4, 2, 2]
