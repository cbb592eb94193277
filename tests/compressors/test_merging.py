"""VisionZip, PruMerge, PruneSID and ToMe beyond the golden files: budgets, substitutes, odd images, plain loops."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressed import Compressed, run_compressor
from pytest_vtc.compression import ClassToken, Compressor, Kept
from pytest_vtc.compressors.prumerge import PruMerge
from pytest_vtc.compressors.prumerge_plus import PruMergePlus, adaptively
from pytest_vtc.compressors.prunesid import PruneSID, principal_groups, redundant, share_out
from pytest_vtc.compressors.tome import ToMe
from pytest_vtc.compressors.visionzip import VisionZip
from pytest_vtc.conformance.made_up import MadeUpImage
from tests.compressors.goldens import compressor_of

SPECS = [
    "visionzip",
    "visionzip(contextual=0.0)",
    "visionzip(contextual=1.0)",
    "prumerge",
    "prumerge(adaptive=True)",
    "prumerge(n_nearest=1)",
    "prumerge_plus",
    "prumerge_plus(adaptive=True)",
    "prumerge_plus(spatial=1.0)",
    "prunesid",
    "tome",
]
PARTS = ["class_token", "project"]


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kept_of(compressor: Compressor, image: MadeUpImage, n_target: int, without: str | None = None) -> Kept:
    context = {name: value for name, value in image.context(compressor).items() if name != without}
    kept = compressor.compress(image.features.clone(), n_target, **context)
    assert isinstance(kept, Kept)
    return kept


def places(kept: Kept) -> list[int]:
    assert kept.positions is not None
    return kept.positions.tolist()


def attended(image: MadeUpImage, compressor: Compressor) -> list[int]:
    """Tokens by falling attention of the encoder."""
    context = image.context(compressor)
    return context["attention"][context["layers"][0]].saliency.mean(dim=0).argsort(descending=True).tolist()


@st.composite
def cases(draw: st.DrawFn) -> tuple[MadeUpImage, int, str | None]:
    """An image of any scale with repeated and zero rows, a budget, and a part that the model does not have."""
    rows, columns, width = draw(st.integers(1, 7)), draw(st.integers(1, 7)), draw(st.integers(1, 10))
    n = rows * columns
    features = drawn(draw(st.integers(0, 2**32)), n, width) * 10.0 ** draw(st.integers(-30, 30))
    indices = st.lists(st.integers(0, n - 1), max_size=n)
    features[draw(indices)] = features[draw(st.integers(0, n - 1))].clone()
    features[draw(indices)] = 0.0
    image = MadeUpImage(features, (rows, columns), has_cls=draw(st.booleans()), seed=draw(st.integers(0, 99)))
    return image, draw(st.integers(1, n)), draw(st.sampled_from([None, *PARTS]))


@pytest.mark.parametrize("spec", SPECS)
@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_any_image_and_budget_give_as_many_finite_rows_with_places_and_the_same_twice(
    spec: str, case: tuple[MadeUpImage, int, str | None]
) -> None:
    image, n_target, without = case
    compressor = compressor_of(spec)

    def compressed() -> Compressed:
        context = {name: value for name, value in image.context(compressor).items() if name != without}
        return run_compressor(compressor, image.features, n_target, context)

    first, second = compressed(), compressed()
    assert first.n_kept == n_target if compressor.exact else first.n_kept <= n_target
    assert first.positions is not None
    assert second.positions is not None
    assert torch.equal(first.positions, second.positions)
    assert torch.equal(first.gather(image.features), second.gather(image.features))


@pytest.mark.parametrize("spec", ["visionzip", "prumerge", "prumerge_plus", "tome"])
def test_without_projector_further_rows_are_merged_as_the_features_are(spec: str) -> None:
    image = MadeUpImage.drawn(6, 5, 16, has_cls=False)
    kept = kept_of(compressor_of(spec), image, 11, without="project")
    assert kept.merge is not None
    torch.testing.assert_close(kept.merge(image.features), kept.features)


@pytest.mark.parametrize("spec", ["visionzip", "prumerge", "prumerge_plus"])
def test_rows_are_merged_before_a_linear_projector_as_after_it(spec: str) -> None:
    """The made-up projector is linear; the features are here what it makes of the rows before it."""
    image = MadeUpImage.drawn(6, 5, 16, has_cls=False)
    compressor = compressor_of(spec)
    context = image.context(compressor)
    features = context["project"](context["hidden"])
    before = compressor.compress(features, 11, **context)
    after = compressor.compress(features, 11, **(context | {"project": None}))
    assert isinstance(before, Kept)
    assert isinstance(after, Kept)
    torch.testing.assert_close(before.features, after.features)


def with_crops(context: dict[str, Any], n_crops: int) -> dict[str, Any]:
    """The context of a grid that is several crops to the encoder, each with a class token."""
    token = context["class_token"]
    return context | {
        "class_token": ClassToken(
            torch.cat([token.hidden + i for i in range(n_crops)]),
            {layer: queries.repeat(1, n_crops, 1) for layer, queries in token.queries.items()},
            {layer: keys.repeat(1, n_crops, 1) for layer, keys in token.keys.items()},
        )
    }


@pytest.mark.parametrize("spec", ["visionzip", "prunesid"])
@pytest.mark.parametrize(("n_target", "n_class"), [(1, 1), (2, 2), (4, 3), (12, 3), (36, 3)])
def test_the_class_tokens_of_all_crops_come_first(spec: str, n_target: int, n_class: int) -> None:
    image, compressor = MadeUpImage.drawn(6, 6, 8), compressor_of(spec)
    context = with_crops(image.context(compressor), 3)
    kept = compressor.compress(image.features, n_target, **context)
    assert isinstance(kept, Kept)
    assert len(kept.features) == n_target
    passed_on = context["project"](context["class_token"].hidden)[:n_class]
    torch.testing.assert_close(kept.features[:n_class], passed_on)
    assert places(kept)[:n_class] == [0] * n_class


@pytest.mark.parametrize("spec", ["prumerge", "prumerge_plus"])
def test_of_several_crops_each_has_the_attention_of_its_own_class_token(spec: str) -> None:
    image, compressor = MadeUpImage.drawn(6, 6, 8), compressor_of(spec)
    context = image.context(compressor)
    several = compressor.compress(image.features, 9, **with_crops(context, 3))
    without = compressor.compress(image.features, 9, **(context | {"class_token": None}))
    assert isinstance(several, Kept)
    assert isinstance(without, Kept)
    assert torch.equal(several.features, without.features)


# VisionZip


@pytest.mark.parametrize(("n_target", "dominant"), [(64, 54), (128, 108), (192, 162)])
def test_visionzip_splits_its_budget_as_published(n_target: int, dominant: int) -> None:
    image = MadeUpImage.drawn(24, 24, 16)
    kept = kept_of(VisionZip(), image, n_target)
    unchanged = [
        torch.equal(row, image.features[place]) for row, place in zip(kept.features, places(kept), strict=True)
    ]
    assert unchanged == [False] + [True] * (dominant - 1) + [False] * (n_target - dominant)
    assert places(kept)[1:dominant] == sorted(attended(image, VisionZip())[: dominant - 1])


def plain_contextual(rows: Tensor, metric: Tensor, left: list[int], n_contextual: int) -> list[Tensor]:
    stride = len(left) // n_contextual
    targets = left[: stride * n_contextual : stride]
    joined: dict[int, list[int]] = {target: [] for target in targets}
    unit = torch.nn.functional.normalize(metric, dim=1)
    for token in left:
        if token not in joined:
            joined[max(targets, key=lambda target: float(unit[token] @ unit[target]))].append(token)
    return [rows[t] + (rows[others].mean(dim=0) if others else 0.0) for t, others in joined.items()]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 999), n_target=st.integers(4, 24))
def test_visionzip_merges_every_token_left_into_the_most_similar_target(seed: int, n_target: int) -> None:
    image = MadeUpImage.drawn(5, 5, 8, seed=seed, has_cls=False)
    compressor = VisionZip(contextual=0.5)
    kept, n_contextual = kept_of(compressor, image, n_target, without="project"), (n_target + 1) // 2
    left = sorted(attended(image, compressor)[n_target - n_contextual :])
    metric = image.context(compressor)["keys"][-1].mean(dim=0)
    wanted = plain_contextual(image.features, metric, left, n_contextual)
    torch.testing.assert_close(kept.features[n_target - n_contextual :], torch.stack(wanted))


def test_visionzip_passes_the_class_token_on_first_and_projected() -> None:
    image = MadeUpImage.drawn(4, 4, 8)
    context = image.context(VisionZip())
    for n_target in (1, 2, 8, 16):
        kept = kept_of(VisionZip(), image, n_target)
        assert torch.equal(kept.features[:1], context["project"](context["class_token"].hidden))
        assert places(kept)[0] == 0


@pytest.mark.parametrize("without", PARTS)
def test_visionzip_without_class_token_keeps_one_more_patch(without: str) -> None:
    image = MadeUpImage.drawn(24, 24, 8)
    kept = kept_of(VisionZip(), image, 64, without)
    assert places(kept)[:54] == sorted(attended(image, VisionZip())[:54])
    assert torch.equal(kept.features[:54], image.features[places(kept)[:54]])


# PruMerge and PruMerge+


def test_prumerge_chooses_the_most_attended_tokens_in_that_order() -> None:
    image = MadeUpImage.drawn(6, 6, 8, has_cls=False)
    assert places(kept_of(PruMerge(), image, 10))[:9] == attended(image, PruMerge())[:9]


def test_prumerge_of_one_token_is_the_weighted_sum_of_all() -> None:
    image = MadeUpImage.drawn(3, 3, 8, has_cls=False)
    received = image.context(PruMerge())["attention"][-1].received.mean(dim=0)
    kept = kept_of(PruMerge(), image, 1, without="project")
    torch.testing.assert_close(kept.features[0], received @ image.features)
    assert places(kept) == [int(received.argmax())]


def context_with_outliers(image: MadeUpImage, compressor: Compressor, outliers: list[int]) -> dict[str, Any]:
    """A context in which these tokens, the first most, have far more attention than others."""
    context = image.context(compressor)
    (of_layer,) = context["attention"].values()
    of_layer.received[:] = 0.001
    of_layer.received[:, outliers] = torch.arange(len(outliers), 0, -1) * 0.01
    return context


@pytest.mark.parametrize(("n_target", "n_kept"), [(36, 4), (5, 4), (3, 3), (1, 1)])
def test_adaptive_prumerge_keeps_the_outliers_but_never_more_than_the_budget(n_target: int, n_kept: int) -> None:
    image, compressor = MadeUpImage.drawn(6, 6, 8, has_cls=False), PruMerge(adaptive=True)
    kept = compressor.compress(image.features, n_target, **context_with_outliers(image, compressor, [30, 4, 17]))
    assert places(kept)[:-1] == [30, 4, 17][: n_kept - 1]


@pytest.mark.parametrize("kind", [PruMerge, PruMergePlus])
def test_prumerge_is_exact_unless_it_is_adaptive(kind: type[PruMerge | PruMergePlus]) -> None:
    assert kind().exact
    assert not kind(adaptive=True).exact


def test_prumerge_plus_samples_three_tokens_for_each_attended_one_evenly() -> None:
    image = MadeUpImage.drawn(24, 24, 8, has_cls=False)
    found = places(kept_of(PruMergePlus(), image, 65))
    assert found[:16] == attended(image, PruMergePlus())[:16]
    steps = torch.tensor(found[16:64]).diff()
    assert found[16:64] == sorted({*found[16:64]} - {*found[:16]})
    assert 576 // 48 - 1 <= int(steps.min()) <= int(steps.max()) <= 576 // 48 + 4


def test_adaptive_prumerge_plus_samples_the_grid_of_its_authors() -> None:
    given = torch.full((576,), 0.001)
    given[[100, 3, 48]] = torch.tensor([0.3, 0.2, 0.1])
    # A share of 3 / 576: every 64th token, of which the 48th is none.
    assert adaptively(given).tolist() == [100, 3, 48, *range(0, 575, 64)]


def test_adaptive_prumerge_plus_keeps_to_the_budget() -> None:
    image, compressor = MadeUpImage.drawn(6, 6, 8, has_cls=False), PruMergePlus(adaptive=True)
    context = context_with_outliers(image, compressor, [30, 4, 17])
    authors = [30, 4, 17, 0, 8, 12, 16, 20, 24, 28, 32]
    assert places(compressor.compress(image.features, 36, **context))[:-1] == authors
    assert places(compressor.compress(image.features, 12, **context))[:-1] == authors
    assert len(places(compressor.compress(image.features, 11, **context))) == 11


# PruneSID


def plain_redundant(similarity: Tensor, groups: list[int], order: list[int], threshold: float) -> list[bool]:
    kept: list[int] = []
    for token in order:
        if not any(groups[other] == groups[token] and similarity[token, other] > threshold for other in kept):
            kept.append(token)
    return [token not in kept for token in range(len(groups))]


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), n_tokens=st.integers(1, 30), times_mean=st.floats(0.1, 2))
def test_prunesid_finds_the_redundant_tokens_as_one_by_one(seed: int, n_tokens: int, times_mean: float) -> None:
    unit = torch.nn.functional.normalize(drawn(seed, n_tokens, 3) + 1, dim=1)
    generator = torch.Generator().manual_seed(seed)
    groups = torch.randint(3, (n_tokens,), generator=generator)
    order = torch.randperm(n_tokens, generator=generator)
    similarity = unit @ unit.T
    above = similarity[torch.ones(n_tokens, n_tokens).triu(1).bool()]
    threshold = times_mean * float(above.mean()) if n_tokens > 1 else 0.0
    near = (similarity - threshold).abs() < 1e-5
    if not near.any():
        found = redundant(unit, groups, order.argsort(), times_mean)
        assert found.tolist() == plain_redundant(similarity, groups.tolist(), order.tolist(), threshold)


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)])
def test_prunesid_groups_by_the_exact_principal_components(shape: tuple[int, int]) -> None:
    hidden = drawn(0, *shape)
    squashed = hidden.double().sigmoid().T
    centred = squashed - squashed.mean(dim=0)
    loadings = torch.linalg.svd(centred, full_matrices=False).Vh[:5].abs()
    assert principal_groups(hidden, 5).tolist() == loadings.argmax(dim=0).tolist()


@pytest.mark.parametrize("n_groups", [1, 8, 40])
def test_prunesid_groups_of_equal_tokens_are_one(n_groups: int) -> None:
    assert len({*principal_groups(drawn(0, 1, 6).expand(20, 6), n_groups).tolist()}) == 1
    assert {*principal_groups(torch.zeros(20, 6), n_groups).tolist()} == {0}


def test_prunesid_draws_nothing_from_the_global_generator() -> None:
    image = MadeUpImage.drawn(8, 8, 8)
    torch.manual_seed(0)
    first = places(kept_of(PruneSID(), image, 16))
    torch.manual_seed(1)
    assert places(kept_of(PruneSID(), image, 16)) == first


def test_prunesid_gives_every_group_one_token_and_the_rest_in_proportion() -> None:
    assert share_out([10, 10, 20], [2, 2, 4], 8, 7) == [2, 2, 3]
    assert share_out([3, 0, 9], [1, 0, 2], 8, 7) == [3, 0, 4]


def test_prunesid_passes_the_class_token_on_first_where_there_is_one() -> None:
    image = MadeUpImage.drawn(8, 8, 8)
    kept, context = kept_of(PruneSID(), image, 16), image.context(PruneSID())
    assert torch.equal(kept.features[:1], context["project"](context["class_token"].hidden))
    assert torch.equal(kept.features[1:], image.features[places(kept)[1:]])
    assert len({*places(kept)[1:]}) == 15


@pytest.mark.parametrize("without", PARTS)
def test_prunesid_without_class_token_is_a_selection(without: str) -> None:
    image = MadeUpImage.drawn(8, 8, 8)
    context = {name: value for name, value in image.context(PruneSID()).items() if name != without}
    chosen = PruneSID().compress(image.features, 16, **context)
    assert isinstance(chosen, Tensor)
    assert len({*chosen.tolist()}) == 16


# ToMe


def test_tome_puts_the_means_of_similar_tokens_in_raster_order() -> None:
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 3.0], [3.0, 0.0]])
    kept = ToMe().compress(features, 2)
    assert kept.features.tolist() == [[0.0, 2.0], [2.0, 0.0]]
    assert places(kept) == [1, 3]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("visionzip(contextual=1.5)", "contextual is 1.5, a share of the budget; it must be from 0 to 1"),
        ("prumerge(n_nearest=0)", "n_nearest is 0; it must be at least 1"),
        ("prumerge_plus(spatial=-0.1)", "spatial is -0.1, a share of the chosen tokens; it must be from 0 to 1"),
        ("prumerge_plus(n_nearest=0)", "n_nearest is 0; it must be at least 1"),
    ],
)
def test_a_parameter_out_of_range_is_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compressor_of(spec)
