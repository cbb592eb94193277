"""How long each compressor takes on the CPU; and the greedy ones in a batch against a plain loop, side by side.

All on one thread, in the CPU time of that thread, so that what else the machine does changes little. The default run
is short: images of 64 and 576 tokens, and the comparison at 576, 64 kept. The other sizes, and the comparison at every
size and ratio, are marked slow: `pytest benchmarks/test_latency.py -m "slow or not slow"`, a few minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from time import thread_time

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from benchmarks.plain_loops import PLAIN_LOOPS, Image, image_of
from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import (
    Compressor,
    Ranking,
    best_covering,
    budget,
    conditionally_diverse,
    cosine_similarities,
    farthest_first,
    nearest_neighbour_distances,
)
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.discovery import known_compressors, shipped_names

RATIOS = (0.5, 0.25, 0.111)
GRIDS = {64: (8, 8), 256: (16, 16), 576: (24, 24), 2304: (48, 48)}
WIDTH = 256
# What takes the time of these is the model's vision side, which is not here.
OF_THE_MODEL = frozenset({"encode", "inside"})
COMPRESSORS = [name for name in shipped_names() if not known_compressors()[name].cls.needs & OF_THE_MODEL]

sizes = [n if n in (64, 576) else pytest.param(n, marks=pytest.mark.slow) for n in GRIDS]

pytestmark = pytest.mark.benchmark(timer=thread_time)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def made_up(n_tokens: int) -> MadeUpImage:
    return MadeUpImage.drawn(*GRIDS[n_tokens], WIDTH, seed=n_tokens)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("n_tokens", sizes)
@pytest.mark.parametrize("name", COMPRESSORS)
def test_latency(benchmark: BenchmarkFixture, name: str, n_tokens: int, ratio: float) -> None:
    """One image by itself, with everything it asks for at hand."""
    compressor: Compressor = known_compressors()[name].cls()
    image = made_up(n_tokens)
    context = image.context(compressor)
    n_target = budget(n_tokens, ratio)
    benchmark.group = f"one image: {n_tokens:4} tokens, {n_target:4} kept, width {WIDTH}"
    compressed = benchmark.pedantic(
        run_compressor, (compressor, image.features, n_target, context), rounds=3 if n_tokens <= 576 else 2
    )
    assert 0 < compressed.n_kept <= n_target


# The width of what a projector or CLIP's tower gives, where the product of an image's tokens is part of what is timed.
REALISTIC_WIDTH = 1024
BATCH = 32
TIMES_FASTER = 10


@cache
def photographs(n_tokens: int, n_images: int) -> Tensor:
    """[B, N, D]: what varies slowly over the grid, and noise, as the tokens of a photograph."""
    generator = torch.Generator().manual_seed(n_tokens)
    coarse = torch.randn(n_images, REALISTIC_WIDTH, 6, 6, generator=generator)
    fields = torch.nn.functional.interpolate(coarse, size=GRIDS[n_tokens], mode="bicubic").flatten(2).transpose(1, 2)
    return fields + 0.5 * torch.randn(n_images, n_tokens, REALISTIC_WIDTH, generator=generator)


@dataclass(frozen=True)
class Given:
    """A batch of images, and the matrices that the greedy methods begin with; B images."""

    features: Tensor
    images: list[Image]
    together: Image

    @classmethod
    def of(cls, n_tokens: int, n_images: int) -> Given:
        features, generator = photographs(n_tokens, n_images), torch.Generator().manual_seed(0)
        relevance = torch.rand(n_images, n_tokens, generator=generator)
        saliency = torch.randn(n_images, n_tokens, generator=generator).softmax(dim=1)
        images = [image_of(*of_image) for of_image in zip(features, relevance, saliency, strict=True)]
        stacked = {field.name: torch.stack([getattr(image, field.name) for image in images]) for field in fields(Image)}
        return cls(features, images, Image(**stacked))


def choose(name: str, given: Image, n_target: int) -> Tensor:
    """What a compressor does once it has the matrices of a batch: [B, n_target]."""
    if name == "cdpruner":
        return conditionally_diverse(given.similarities, given.relevance, n_target)
    if name == "scope":
        return best_covering(given.similarities, given.saliency, n_target)
    if name == "divprune":
        seeds = nearest_neighbour_distances(given.distances).argmax(dim=1, keepdim=True)
        return farthest_first(given.distances, seeds, n_target)
    if name == "fps":
        return farthest_first(given.distances, given.lengths.argmax(dim=1, keepdim=True), n_target)
    low, high = given.lengths.aminmax(dim=1, keepdim=True)
    importance = (given.lengths - low) / (high - low)
    return farthest_first(given.distances, importance.argmax(dim=1, keepdim=True), n_target, importance, 0.5)


def choose_from_features(name: str, given: Given, n_target: int) -> Tensor:
    """The same from the features, [B, n_target]: the matrices as well."""
    features, images = given.features, given.together
    if name == "cdpruner":
        return conditionally_diverse(cosine_similarities(features), images.relevance, n_target)
    if name == "scope":
        return best_covering(cosine_similarities(features), images.saliency, n_target)
    compressor = known_compressors()[name].cls()
    assert isinstance(compressor, Ranking)
    return compressor.rank(features, n_target)


def fastest(calls: Sequence[Callable[[], object]], until: Callable[[list[float]], bool], rounds: int) -> list[float]:
    """CPU seconds that each call takes at best: by turns, so that what else the machine does hits all of them.

    At least three rounds; more while `until` is not content with the times so far, `rounds` at most.
    """
    best = [float("inf")] * len(calls)
    for done in range(rounds):
        if done >= 3 and until(best):
            break
        for i, call in enumerate(calls):
            start = thread_time()
            call()
            best[i] = min(best[i], thread_time() - start)
    return best


COMPARED = [
    pytest.param(n, ratio, marks=() if (n, ratio) == (576, 0.111) else pytest.mark.slow)
    for n in GRIDS
    for ratio in RATIOS
]


@pytest.mark.parametrize(("n_tokens", "ratio"), COMPARED)
@pytest.mark.parametrize("name", PLAIN_LOOPS)
def test_a_batch_against_a_loop_of_images(
    benchmark: BenchmarkFixture, record_property: Callable[[str, object], None], name: str, n_tokens: int, ratio: float
) -> None:
    """The same tokens of the same images, once image by image by the plain definition, once together.

    Two settings: the selection alone, both given the matrix of distances or similarities; and all of it from features
    of width 1024, where most of the time goes into the product that gives this matrix, which is the same in both.
    """
    n_images = BATCH if n_tokens <= 576 else 4
    n_target = 64 if n_tokens == 576 and ratio == 0.111 else budget(n_tokens, ratio)
    given, plain = batch(n_tokens, n_images), PLAIN_LOOPS[name]

    def loop() -> list[list[int]]:
        return [plain(image, n_target) for image in given.images]

    def loop_from_features() -> list[list[int]]:
        parts = zip(given.features, given.images, strict=True)
        return [plain(image_of(features, image.relevance, image.saliency), n_target) for features, image in parts]

    benchmark.group = f"{n_images} images together: {n_tokens:4} tokens, {n_target:4} kept"
    together = benchmark.pedantic(choose, (name, given.together, n_target), rounds=1, warmup_rounds=1)
    assert together.tolist() == loop(), "not the same work"

    held = n_target == 64 and n_tokens == 576
    alone = fastest(
        [loop, lambda: choose(name, given.together, n_target)],
        lambda best: not held or best[0] >= TIMES_FASTER * best[1],
        rounds=20,
    )
    whole = fastest([loop_from_features, lambda: choose_from_features(name, given, n_target)], lambda _: True, rounds=1)
    line = f"{name:16} {n_tokens:4} tokens, {n_target:4} kept, {n_images:2} images:"
    for setting, (looped, batched) in {"selection": alone, "from features": whole}.items():
        looped, batched = 1e3 * looped / n_images, 1e3 * batched / n_images
        benchmark.extra_info[setting] = {"loop, ms": looped, "batch, ms": batched, "times faster": looped / batched}
        line += f" {setting} {looped:8.3f} -> {batched:7.3f} ms ({looped / batched:.1f}x);"
    record_property("side by side", line.rstrip(";"))
    assert not held or alone[0] >= TIMES_FASTER * alone[1]


@cache
def batch(n_tokens: int, n_images: int) -> Given:
    return Given.of(n_tokens, n_images)
