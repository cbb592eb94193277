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
from pytest_vtc.discovery import known_compressors, resolve, shipped_names
from tests import plain_selection

PLAIN: dict[str, Callable[[Tensor, int, torch.Generator], list[int]]] = {
    "divprune": lambda features, n, _: plain_selection.divprune(features, n),
    "divprune(start='farthest_pair')": lambda features, n, _: plain_selection.divprune_farthest_pair(features, n),
    "divprune_hybrid": lambda features, n, _: plain_selection.divprune_hybrid(features, n),
    "divprune_hybrid(alpha=0.3)": lambda features, n, _: plain_selection.divprune_hybrid(features, n, 0.3),
    "divprune_hybrid(alpha=1.0)": lambda features, n, _: plain_selection.divprune_hybrid(features, n, 1.0),
    "fps": lambda features, n, _: plain_selection.fps(features, n),
    "random": plain_selection.random,
}

every_ranking = pytest.mark.parametrize("spec", PLAIN)


def ranking(spec: str) -> Ranking:
    (compressor,) = resolve([spec])
    return compressor


@dataclass(frozen=True)
class Batch:
    """Images of one token count, each with a generator of its own."""

    features: list[Tensor]
    n_tokens: int

    @property
    def contexts(self) -> list[dict[str, Any]]:
        return [{"generator": torch.Generator().manual_seed(i)} for i in range(len(self.features))]

    def rank(self, spec: str, n_target: int) -> Tensor:
        generators = [context["generator"] for context in self.contexts]
        return ranking(spec).rank(torch.stack(self.features), n_target, generator=generators)


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


@every_ranking
@settings(deadline=None, max_examples=40)
@given(batch=batches(), data=st.data())
def test_a_batch_gives_each_image_the_plain_selection(spec: str, batch: Batch, data: st.DataObject) -> None:
    n_target = data.draw(st.integers(1, batch.n_tokens))
    plain = [
        PLAIN[spec](tokens, n_target, context["generator"])
        for tokens, context in zip(batch.features, batch.contexts, strict=True)
    ]
    assert batch.rank(spec, n_target).tolist() == plain


@every_ranking
@settings(deadline=None, max_examples=25)
@given(batch=batches(), data=st.data())
def test_an_image_by_itself_gets_what_it_gets_in_a_batch(spec: str, batch: Batch, data: st.DataObject) -> None:
    n_target = data.draw(st.integers(1, batch.n_tokens))
    alone = [
        ranking(spec).compress(tokens, n_target, **context).tolist()
        for tokens, context in zip(batch.features, batch.contexts, strict=True)
    ]
    assert batch.rank(spec, n_target).tolist() == alone


@every_ranking
def test_large_images_too_get_in_a_batch_what_they_get_alone(spec: str) -> None:
    blank = torch.randn(1, 384, generator=torch.Generator().manual_seed(9))
    noise = [torch.randn(150, 384, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    # Near-ties: tokens that differ by a few units in the last place, as those of a blank background do.
    batch = Batch([torch.cat([some[:100], blank + 1e-7 * some[100:]]) for some in noise], 150)
    alone = [
        ranking(spec).compress(tokens, 150, **context).tolist()
        for tokens, context in zip(batch.features, batch.contexts, strict=True)
    ]
    assert batch.rank(spec, 150).tolist() == alone


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
    together = run_selection(ranking(spec), features, budgets, batch.contexts)
    assert [set(by_budget) for by_budget in together] == budgets
    for tokens, by_budget, context in zip(features, together, batch.contexts, strict=True):
        for n_target, compressed in by_budget.items():
            alone = run_compressor(ranking(spec), tokens, n_target, context)
            assert compressed.rows is None
            assert compressed.indices is not None
            assert alone.indices is not None
            assert compressed.indices.tolist() == alone.indices.tolist()


def test_every_shipped_compressor_whose_choices_are_nested_is_a_ranking() -> None:
    rankings = {name for name in shipped_names() if issubclass(known_compressors()[name].cls, Ranking)}
    # Equal steps through the raster fall elsewhere for every budget; the others make new rows.
    assert rankings == {"divprune", "divprune_hybrid", "fps", "random"}
