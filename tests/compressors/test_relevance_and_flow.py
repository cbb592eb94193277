"""CDPruner's relevance, SCOPE's saliency, G-Prune's flow: what sets them apart, and their parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from pytest_vtc.compression import EncoderAttention
from pytest_vtc.compressors.cdpruner import CDPruner, likeness_to_words, scaled, unlikeness_to_segments
from pytest_vtc.compressors.g_prune import GPrune
from pytest_vtc.compressors.scope import Scope


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_in_clip_space_the_least_alike_is_the_most_relevant() -> None:
    embeds = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    assert unlikeness_to_segments(embeds, torch.tensor([[5.0, 0.0]])).tolist() == [-1.0, 0.0, 1.0]


def test_in_the_language_models_space_the_most_alike_to_any_word_is_the_most_relevant() -> None:
    features, words = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]]), torch.tensor([[5.0, 0.0], [0.0, -1.0]])
    assert likeness_to_words(features, words).tolist() == [1.0, 0.0, 0.0]


def test_without_a_question_all_tokens_are_equally_relevant() -> None:
    assert scaled(likeness_to_words(noise(4, 3), torch.zeros(0, 3))).tolist() == [1.0] * 4


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_relevance_of_a_token_does_not_depend_on_its_scale(scale: float) -> None:
    tokens, others = noise(5, 3), noise(2, 3, seed=1)
    for relevance in (unlikeness_to_segments, likeness_to_words):
        torch.testing.assert_close(relevance(tokens * scale, others / scale), relevance(tokens, others))


def test_cdpruner_begins_with_the_most_relevant_token() -> None:
    features = noise(9, 32)
    assert CDPruner().compress(features, 1, text=features[5:6] * 3).tolist() == [5]


def test_cdpruner_asks_for_the_clip_checkpoint_it_is_told() -> None:
    asked: list[str] = []

    def joint(checkpoint: str) -> tuple[Tensor, Tensor]:
        asked.append(checkpoint)
        return noise(9, 4), noise(2, 4, seed=1)

    CDPruner(clip="mine").compress(noise(9, 32), 3, text=noise(2, 32), joint=joint)
    assert asked == ["mine"]


def scope_of(compressor: Scope, hidden: Tensor, saliency: Tensor, n_target: int) -> list[int]:
    attention = EncoderAttention(torch.zeros_like(saliency), saliency)
    context: dict[str, Any] = {"hidden": hidden, "attention": {-2: attention}, "layers": (-2,)}
    return compressor.compress(torch.zeros(len(hidden), 1), n_target, **context).tolist()


def test_scope_sums_the_attention_of_all_heads() -> None:
    saliency = torch.tensor([[0.5, 0.2, 0.1], [0.0, 0.2, 0.6]])
    assert scope_of(Scope(), torch.eye(3), saliency, 3) == [2, 0, 1]


def test_scope_without_saliency_begins_with_the_token_most_like_all_others() -> None:
    hidden = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [-1.0, 0.0]])
    assert scope_of(Scope(alpha=0.0), hidden, torch.rand(1, 4), 2) == [1, 3]


def test_scope_without_a_class_token_goes_by_the_attention_received() -> None:
    attention = EncoderAttention(torch.tensor([[0.1, 0.7, 0.2]]))
    chosen = Scope().compress(torch.eye(3), 1, hidden=torch.eye(3), attention={-1: attention}, layers=(-1,))
    assert chosen.tolist() == [1]


def test_to_a_token_like_no_other_flows_its_own_norm() -> None:
    scores = GPrune().scores(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 3.0]]) / 3.0)
    # On a scale on which the largest number lies in 0.5..1.
    assert scores[2] == 0.5
    assert scores[:2].max() < 0.25


def test_g_prune_without_iterations_goes_by_norm_over_number_of_edges() -> None:
    features = torch.tensor([[1.0, 0.0], [1.5, 0.0], [0.0, 0.9]])
    # The first two share an edge, so their norms count by half; at a temperature of 1 no edge vanishes.
    assert GPrune(temperature=1.0, iterations=0).compress(features, 3).tolist() == [2, 1, 0]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scores_of_g_prune_are_numbers_at_any_scale(scale: float) -> None:
    assert torch.isfinite(GPrune(similarity=-1.0).scores(noise(300, 5).abs() * scale)).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GPrune(similarity=1.5), r"similarity is 1\.5.*-1\.\.1"),
        (lambda: GPrune(temperature=0.0), r"temperature is 0\.0.*more than 0"),
        (lambda: GPrune(iterations=-1), r"iterations is -1.*0 or more"),
        (lambda: Scope(alpha=-1.0), r"alpha is -1\.0.*0 or more"),
        (lambda: Scope(mode="times"), r"'times'.*'multi', 'add'"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_parameter_out_of_its_range_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
