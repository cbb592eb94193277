"""Methods that act within the encoder: exactly their budget, whatever the image, and what is special about each."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import EncoderReducer, EncoderStep, Kept, Merge, bipartite_matching
from pytest_vtc.compressors.flowcut import Flow, adaptive_cut
from pytest_vtc.compressors.mustdrop import MustDrop
from pytest_vtc.compressors.tome_encoder import matched, steps
from pytest_vtc.conformance.made_up import MadeUpImage
from tests.compressors.goldens import compressor_of

METHODS = ["tome_encoder", "tome_encoder(r=2)", "flowcut", "mustdrop", "mustdrop(window=2)"]


@st.composite
def images(draw: st.DrawFn) -> MadeUpImage:
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    image = MadeUpImage.drawn(rows, columns, draw(st.integers(1, 6)), draw(st.integers(0, 9)), draw(st.booleans()))
    features = image.features * draw(st.sampled_from([1.0, 1e-30, 1e30, 0.0]))
    if draw(st.booleans()):
        features = features[torch.arange(len(features)) // 2]  # every row twice
    if draw(st.booleans()):
        features[::3] = 0
    n_layers = draw(st.sampled_from([2, 3, 6, 24]))
    return MadeUpImage(features, (rows, columns), image.has_cls, n_layers, image.seed)


@pytest.mark.parametrize("spec", METHODS)
@settings(deadline=None, max_examples=40)
@given(image=images(), data=st.data())
def test_exactly_the_budget_comes_out_of_any_image(spec: str, image: MadeUpImage, data: st.DataObject) -> None:
    n_target = data.draw(st.integers(1, len(image.features)))
    compressor = compressor_of(spec)
    found = [run_compressor(compressor, image.features, n_target, image.context(compressor)) for _ in range(2)]
    assert found[0].n_kept == n_target
    if found[0].rows is not None:
        assert found[0].positions is not None
        assert len(set(found[0].positions.tolist())) == n_target
        assert found[1].rows is not None
        assert torch.equal(found[0].rows, found[1].rows)


@pytest.mark.parametrize("spec", ["tome_encoder", "flowcut"])
def test_tokens_come_out_in_raster_order(spec: str) -> None:
    compressor, image = compressor_of(spec), MadeUpImage.drawn(6, 6, 8)
    positions = run_compressor(compressor, image.features, 9, image.context(compressor)).positions
    assert positions is not None
    assert positions.tolist() == sorted(positions.tolist())


# ToMe


def test_as_many_tokens_are_merged_in_every_layer_as_reach_the_budget() -> None:
    assert steps(576, 64, 23) == [23] * 22 + [6]
    assert steps(576, 576 - 23, 23) == [1] * 23
    assert steps(576, 575, 23) == [1] + [0] * 22


def test_a_layer_merges_no_more_than_half_of_its_tokens() -> None:
    # With 8 a layer, the smallest that reaches 2 of 16 in three.
    assert steps(16, 2, 3) == [8, 4, 2]
    assert steps(16, 1, 3) == [8, 4, 2 + 1]


def test_a_given_r_leaves_the_rest_to_the_last_layer() -> None:
    assert steps(20, 10, 3, r=2) == [2, 2, 6]
    assert steps(20, 17, 3, r=2) == [2, 1, 0]


@given(st.integers(1, 600), st.data(), st.integers(1, 24), st.one_of(st.none(), st.integers(1, 99)))
def test_the_steps_add_up(n_tokens: int, data: st.DataObject, n_layers: int, r: int | None) -> None:
    n_target = data.draw(st.integers(1, n_tokens))
    found = steps(n_tokens, n_target, n_layers, r)
    assert len(found) == n_layers
    assert sum(found) == n_tokens - n_target
    assert min(found) >= 0


def test_one_round_is_the_published_matching() -> None:
    metric = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    found, expected = matched(metric, torch.ones(9), 3, has_cls=True), bipartite_matching(metric, 3, class_token=True)
    assert found.group.tolist() == expected.group.tolist()
    assert found.targets.tolist() == expected.targets.tolist()


def test_a_later_round_matches_what_the_earlier_ones_made() -> None:
    metric = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([1.0, 3, 1, 2, 1, 1, 5, 1])
    first = bipartite_matching(metric, 4)
    means = first.means(metric, sizes)
    expected = first.then(bipartite_matching(means, 2))
    assert matched(metric, sizes, 6, has_cls=False).group.tolist() == expected.group.tolist()


class Recorded(EncoderReducer):
    """Passes everything on, and keeps what it saw and what was answered."""

    def __init__(self, reducer: EncoderReducer) -> None:
        self.reducer = reducer
        self.proportional = reducer.proportional  # type: ignore[misc]
        self.seen: list[tuple[str, EncoderStep, Any]] = []

    def after_attention(self, step: EncoderStep) -> Any:
        self.seen.append(("attention", step, answer := self.reducer.after_attention(step)))
        return answer

    def after_block(self, step: EncoderStep) -> Any:
        self.seen.append(("block", step, answer := self.reducer.after_block(step)))
        return answer


def recorded(spec: str, image: MadeUpImage, n_target: int) -> list[tuple[str, EncoderStep, Any]]:
    compressor, context = compressor_of(spec), image.context(compressor_of(spec))
    encode, runs = context["inside"], list[Recorded]()

    def inside(reducer: EncoderReducer) -> Kept:
        runs.append(Recorded(reducer))
        return encode(runs[-1])

    compressor.compress(image.features, n_target, **context | {"inside": inside})
    (run,) = runs
    return run.seen


def test_tome_merges_between_attention_and_mlp_and_by_the_mean_of_the_keys() -> None:
    seen = recorded("tome_encoder", MadeUpImage.drawn(6, 6, 8), 10)
    assert all(answer is None for place, _, answer in seen if place == "block")
    merges = [(step, answer) for place, step, answer in seen if place == "attention"]
    n_rows = [len(step.rows) for step, _ in merges]
    assert n_rows[:3] == [37, 35, 33]
    for step, merge in merges:
        if merge is not None:
            expected = bipartite_matching(step.keys.mean(dim=0), len(step.rows) - merge.n_rows, class_token=True)
            assert merge.group.tolist() == expected.group.tolist()


def test_tome_attends_in_proportion_to_sizes() -> None:
    seen = recorded("tome_encoder", MadeUpImage.drawn(6, 6, 8), 10)
    biases = [(step.bias, step.sizes) for place, step, _ in seen if place == "attention"]
    assert biases[0][0] is None
    for bias, sizes in biases[1:]:
        assert bias is not None
        assert torch.equal(bias, sizes.log())


# FlowCut


def plain_flow(image: MadeUpImage, n_target: int) -> list[list[int]]:
    """What FlowCut leaves after each layer, of what its steps saw: by loops, from the published formulas."""
    left: list[list[int]] = []
    running: dict[int, float] = {}
    for place, step, _ in recorded("flowcut", image, n_target):
        if place == "attention":
            continue
        sources = step.sources.tolist()
        patches = [(row, source) for row, source in enumerate(sources) if source >= 0]
        if len(patches) <= n_target:
            left.append([source for _, source in patches])
            continue
        n_heads, _, width = step.keys.shape
        asking = step.queries[:, 0] if step.has_cls else step.queries.mean(dim=1)
        paid, like = torch.zeros(len(sources)), torch.zeros(len(sources))
        for head in range(n_heads):
            paid += (step.keys[head] @ asking[head] / width**0.5).softmax(dim=0) / n_heads
            like += (step.values[head] @ step.values[head, 0]).softmax(dim=0) / n_heads
        values = step.values.mean(dim=0)
        sums = [sum(float(weights[row]) for row, _ in patches) for weights in (paid, like)]
        score: dict[int, float] = {}
        for row, source in patches:
            share = float(paid[row]) / sums[0]
            if step.has_cls:
                share += float(like[row]) / sums[1]
            score[source] = share * float(values[row].abs().sum())
        running = {
            source: 0.5 * running[source] + 0.5 * score[source] if running else score[source] for source in score
        }
        n_left = step.n_layers - 2 - step.layer
        if n_left % 2 == 0:
            attention = torch.stack([paid[row] for row, _ in patches])
            n_cut = adaptive_cut(attention, n_left, n_target) if n_left else len(patches)
            n_kept = max(len(patches) - n_cut, n_target)
            best = sorted(running, key=lambda source: -running[source])[:n_kept]
            running = {source: running[source] for source in sorted(best)}
        left.append(sorted(running))
    return left


@pytest.mark.parametrize("has_cls", [True, False])
def test_flowcut_cuts_by_the_published_formulas(has_cls: bool) -> None:
    image = MadeUpImage.drawn(7, 8, 8, has_cls=has_cls)
    expected = plain_flow(image, 12)
    seen = [
        step.sources[step.sources >= 0].tolist()
        for place, step, _ in recorded("flowcut", image, 12)
        if place == "attention"
    ]
    assert seen[0] == list(range(56))
    assert seen[1:] == expected[:-1]
    assert len(expected[-1]) == 12
    assert len({len(left) for left in expected}) > 3, "it is cut in several steps"


def test_flowcut_leaves_its_budget_one_layer_before_the_features_are_taken() -> None:
    seen = recorded("flowcut", MadeUpImage.drawn(7, 8, 8), 12)
    assert [step.n_tokens for place, step, _ in seen if place == "attention"][-1] == 12


def test_attention_of_zero_and_nowhere_else_is_no_nan() -> None:
    one_hot = torch.zeros(16)
    one_hot[3] = 1
    assert adaptive_cut(one_hot, 4, 4) == 6
    assert adaptive_cut(torch.zeros(16), 4, 4) == 6
    kept = Flow(4).cut(0, torch.zeros(16), torch.zeros(16), torch.zeros(16, 3))
    assert kept is not None
    assert kept.tolist() == [0, 1, 2, 3]


# MustDrop


def plain_windows(rows: Tensor, grid: tuple[int, int], side: int) -> list[tuple[float, list[int]]]:
    """The windows of several tokens, the most alike first, each with its mean cosine."""
    found: list[tuple[float, list[int]]] = []
    for top in range(0, grid[0], side):
        for edge in range(0, grid[1], side):
            tokens = [
                row * grid[1] + column
                for row in range(top, min(top + side, grid[0]))
                for column in range(edge, min(edge + side, grid[1]))
            ]
            pairs = [float(torch.cosine_similarity(rows[a], rows[b], dim=0)) for a in tokens for b in tokens if a != b]
            if pairs:
                found.append((sum(pairs) / len(pairs), tokens))
    return sorted(found, key=lambda window: -window[0])


@pytest.mark.parametrize("grid", [(9, 9), (7, 8), (5, 2)])
def test_mustdrop_merges_the_most_alike_windows_until_the_budget_is_reached(grid: tuple[int, int]) -> None:
    rows = MadeUpImage.drawn(*grid, 6).features
    windows = plain_windows(rows, grid, 3)
    n_left = len(rows)
    for n_merged, (_, tokens) in enumerate(windows, start=1):
        n_left -= len(tokens) - 1
        merge = MustDrop().merge(rows, grid, n_left)
        assert merge.n_rows == n_left
        for rank, (_, members) in enumerate(windows[:n_merged]):
            assert (merge.group == rank).nonzero()[:, 0].tolist() == members
        rest = sorted(set(range(len(rows))) - {token for _, members in windows[:n_merged] for token in members})
        assert merge.targets[n_merged:].tolist() == rest


def test_of_the_last_window_only_those_most_like_the_others_are_merged() -> None:
    rows = torch.eye(9, 10)
    rows[[1, 4, 8], 9] = 5.0
    merge = MustDrop().merge(rows, (3, 3), 7)
    assert (merge.group == 0).nonzero()[:, 0].tolist() == [1, 4, 8]


def test_below_a_token_for_each_window_the_windows_are_merged_as_a_grid() -> None:
    rows = MadeUpImage.drawn(9, 9, 6).features
    means = rows.reshape(3, 3, 3, 3, -1).mean(dim=(1, 3)).flatten(0, 1)
    merge, coarse = MustDrop().merge(rows, (9, 9), 4), MustDrop().merge(means, (3, 3), 4)
    torch.testing.assert_close(merge.means(rows), coarse.means(means))


def test_a_threshold_merges_more_than_the_budget_asks_for_but_never_less() -> None:
    image = MadeUpImage.drawn(6, 6, 6)
    features = image.features + 3  # all alike
    (lenient, strict) = (MustDrop(threshold=threshold) for threshold in (0.0, 1.0))
    assert lenient.merge(features, (6, 6), 30).n_rows == 4
    assert strict.merge(features, (6, 6), 30).n_rows == 30


def test_without_a_tower_windows_of_the_tokens_themselves_are_merged() -> None:
    image = MadeUpImage.drawn(6, 6, 6)
    kept = MustDrop().compress(image.features, 12, grid=image.grid)
    merge = MustDrop().merge(image.features, image.grid, 12)
    torch.testing.assert_close(kept.features, merge.means(image.features))
    assert kept.positions is not None
    assert kept.positions.tolist() == merge.targets.tolist()
    assert kept.merge is not None
    torch.testing.assert_close(kept.merge(image.features), kept.features)


def test_the_class_row_is_no_part_of_a_window() -> None:
    (answer,) = (a for place, step, a in recorded("mustdrop", MadeUpImage.drawn(6, 6, 6), 12) if place == "block" and a)
    assert isinstance(answer, Merge)
    assert (answer.group == 0).nonzero()[:, 0].tolist() == [0]


# Parameters


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("tome_encoder(r=0)", "r is 0"),
        ("mustdrop(window=1)", "window is 1"),
        ("mustdrop(threshold=1.5)", "threshold is 1.5"),
    ],
)
def test_parameters_out_of_range_are_refused(spec: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        compressor_of(spec)
