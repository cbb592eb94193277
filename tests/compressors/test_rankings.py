"""The shipped rankings: many images at once get what each would get by itself, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressed import run_compressor, run_selection
from pytest_vtc.compression import Ranking
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.discovery import known_compressors, resolve, shipped_names
from tests import plain_selection

Plain = Callable[[Tensor, int, dict[str, Any]], list[int]]


def plain_scope(_features: Tensor, n_target: int, context: dict[str, Any], *parameters: Any) -> list[int]:
    (layer,) = context["layers"]
    return plain_selection.scope(context["hidden"], context["attention"][layer].saliency, n_target, *parameters)


PLAIN: dict[str, Plain] = {
    "divprune": lambda features, n, _: plain_selection.divprune(features, n),
    "divprune(start='farthest_pair')": lambda features, n, _: plain_selection.divprune_farthest_pair(features, n),
    "divprune_hybrid": lambda features, n, _: plain_selection.divprune_hybrid(features, n),
    "divprune_hybrid(alpha=0.3)": lambda features, n, _: plain_selection.divprune_hybrid(features, n, 0.3),
    "divprune_hybrid(alpha=1.0)": lambda features, n, _: plain_selection.divprune_hybrid(features, n, 1.0),
    "fps": lambda features, n, _: plain_selection.fps(features, n),
    "random": lambda features, n, context: plain_selection.random(features, n, context["generator"]),
    "scope": plain_scope,
    "scope(alpha=0.0)": lambda features, n, context: plain_scope(features, n, context, 0.0),
    "scope(mode='add')": lambda features, n, context: plain_scope(features, n, context, 1.0, "add"),
}
# Of these the definition sums up in another order, so rounding decides where tokens repeat or the rank is reached.
PLAIN_OF_DIFFERENT_TOKENS: dict[str, Plain] = {
    "cdpruner": lambda features, n, context: plain_selection.cdpruner(
        features, n, context["text"], *context["joint"]("clip")
    ),
    "g_prune": lambda features, n, _: plain_selection.g_prune(features, n),
    "g_prune(similarity=0.1, temperature=0.5, iterations=2)": lambda features, n, _: plain_selection.g_prune(
        features, n, 0.1, 0.5, 2
    ),
}
SHIPPED = {name for name in shipped_names() if issubclass(known_compressors()[name].cls, Ranking)}

every_ranking = pytest.mark.parametrize("spec", sorted({*PLAIN, *PLAIN_OF_DIFFERENT_TOKENS, *SHIPPED}))


def ranking(spec: str) -> Ranking:
    (compressor,) = resolve([spec])
    return compressor


@dataclass(frozen=True)
class Batch:
    """Images of one token count, each with a context of its own."""

    features: list[Tensor]
    n_tokens: int

    def contexts(self, spec: str) -> list[dict[str, Any]]:
        images = [MadeUpImage(tokens, (1, self.n_tokens), seed=i) for i, tokens in enumerate(self.features)]
        return [image.context(ranking(spec)) for image in images]

    def rank(self, spec: str, n_target: int) -> Tensor:
        contexts = self.contexts(spec)
        together = {name: [context[name] for context in contexts] for name in contexts[0]}
        return ranking(spec).rank(torch.stack(self.features), n_target, **together)

    def alone(self, spec: str, n_target: int) -> list[list[int]]:
        return [
            ranking(spec).compress(tokens, n_target, **context).tolist()
            for tokens, context in zip(self.features, self.contexts(spec), strict=True)
        ]

    def plain(self, definition: Plain, spec: str, n_target: int) -> list[list[int]]:
        return [
            definition(tokens, n_target, context)
            for tokens, context in zip(self.features, self.contexts(spec), strict=True)
        ]


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Images of any scale, in which some tokens repeat others, in direction or wholly, and some are zero."""
    n, width = draw(st.integers(1, 20)), draw(st.integers(1, 12))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    features = []
    for _ in range(draw(st.integers(1, 6))):
        tokens = torch.randn(n, width, generator=generator) * 10.0 ** draw(st.integers(-20, 20))
        for i in draw(st.lists(st.integers(0, n - 1), max_size=n)):
            tokens[i] = tokens[draw(st.integers(0, n - 1))] * draw(st.sampled_from([0.0, 1.0, 1.0, 2.0]))
        features.append(tokens)
    return Batch(features, n)


@st.composite
def batches_of_different_tokens(draw: st.DrawFn) -> Batch:
    n, width = draw(st.integers(1, 20)), draw(st.integers(24, 32))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    return Batch([torch.randn(n, width, generator=generator) for _ in range(draw(st.integers(1, 4)))], n)


@pytest.mark.parametrize("spec", PLAIN)
@settings(deadline=None, max_examples=40)
@given(batch=batches(), data=st.data())
def test_a_batch_gives_each_image_the_plain_selection(spec: str, batch: Batch, data: st.DataObject) -> None:
    n_target = data.draw(st.integers(1, batch.n_tokens))
    assert batch.rank(spec, n_target).tolist() == batch.plain(PLAIN[spec], spec, n_target)


@pytest.mark.parametrize("spec", PLAIN_OF_DIFFERENT_TOKENS)
@settings(deadline=None, max_examples=40)
@given(batch=batches_of_different_tokens(), data=st.data())
def test_a_batch_gives_each_image_of_different_tokens_the_plain_selection(
    spec: str, batch: Batch, data: st.DataObject
) -> None:
    n_target = data.draw(st.integers(1, batch.n_tokens))
    assert batch.rank(spec, n_target).tolist() == batch.plain(PLAIN_OF_DIFFERENT_TOKENS[spec], spec, n_target)


@every_ranking
@settings(deadline=None, max_examples=25)
@given(batch=batches(), data=st.data())
def test_an_image_by_itself_gets_what_it_gets_in_a_batch(spec: str, batch: Batch, data: st.DataObject) -> None:
    n_target = data.draw(st.integers(1, batch.n_tokens))
    assert batch.rank(spec, n_target).tolist() == batch.alone(spec, n_target)


@every_ranking
def test_large_images_too_get_in_a_batch_what_they_get_alone(spec: str) -> None:
    blank = torch.randn(1, 384, generator=torch.Generator().manual_seed(9))
    noise = [torch.randn(150, 384, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    # Near-ties: tokens that differ by a few units in the last place, as those of a blank background do.
    batch = Batch([torch.cat([some[:100], blank + 1e-7 * some[100:]]) for some in noise], 150)
    assert batch.rank(spec, 150).tolist() == batch.alone(spec, 150)


@every_ranking
@settings(deadline=None, max_examples=25)
@given(batch=batches(), data=st.data())
def test_a_smaller_budget_is_the_beginning_of_a_larger_one(spec: str, batch: Batch, data: st.DataObject) -> None:
    larger = data.draw(st.integers(1, batch.n_tokens))
    smaller = data.draw(st.integers(1, larger))
    assert torch.equal(batch.rank(spec, larger)[:, :smaller], batch.rank(spec, smaller))


@every_ranking
@settings(deadline=None, max_examples=25)
@given(batch=batches(), dtype=st.sampled_from([torch.float32, torch.bfloat16]), data=st.data())
def test_run_selection_gives_what_run_compressor_gives(
    spec: str, batch: Batch, dtype: torch.dtype, data: st.DataObject
) -> None:
    features = [tokens.to(dtype) for tokens in batch.features]
    budgets = [data.draw(st.sets(st.integers(1, batch.n_tokens), max_size=3)) for _ in features]
    together = run_selection(ranking(spec), features, budgets, batch.contexts(spec))
    assert [set(by_budget) for by_budget in together] == budgets
    for tokens, by_budget, context in zip(features, together, batch.contexts(spec), strict=True):
        for n_target, compressed in by_budget.items():
            alone = run_compressor(ranking(spec), tokens, n_target, context)
            assert compressed.rows is None
            assert compressed.indices is not None
            assert alone.indices is not None
            assert compressed.indices.tolist() == alone.indices.tolist()


def test_the_shipped_compressors_whose_choices_are_nested_are_rankings() -> None:
    # Not `identity`: equal steps through the raster fall elsewhere for every budget.
    assert {"cdpruner", "divprune", "divprune_hybrid", "fps", "g_prune", "random", "scope"} <= SHIPPED
    assert "identity" not in SHIPPED
