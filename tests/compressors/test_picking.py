"""VisPruner, HiPrune, HoloV and VScan: in a batch as alone as in plain words, and whole where the originals are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import EncoderAttention, Kept, Selection, Tower
from pytest_vtc.compressors.hiprune import HiPrune
from pytest_vtc.compressors.holov import HoloV
from pytest_vtc.compressors.vispruner import VisPruner
from pytest_vtc.compressors.vscan import VScan
from tests import plain_picking
from tests.compressors.goldens import compressor_of

SELECTIONS = ["vispruner", "vispruner(important_ratio=0.3)", "hiprune", "hiprune(alpha=1.0)", "holov", "holov(crops=3)"]
EVERY = [*SELECTIONS, "vscan", "vscan(local_ratio=1.0, window=2)"]


@dataclass(frozen=True)
class Picture:
    """One image. attention: [2, H, N], of a shallow and of a deep layer."""

    features: Tensor
    grid: tuple[int, int]
    attention: Tensor

    def context(self, spec: str) -> dict[str, Any]:
        """What the compressor reads, of as many layers as it asks for."""
        layers = tuple(range(2 - len(compressor_of(spec).encoder_layers(Tower(24, True))), 2))
        return {
            "grid": self.grid,
            "hidden": self.features.clone(),
            "layers": layers,
            "attention": {i: EncoderAttention(self.attention[i], self.attention[i]) for i in layers},
        }

    def saliency(self, layer: int) -> list[float]:
        return self.attention[layer].mean(dim=0).tolist()


def together(spec: str, pictures: list[Picture], n_target: int) -> list[list[int]]:
    compressor = compressor_of(spec)
    assert isinstance(compressor, Selection)
    contexts = [picture.context(spec) for picture in pictures]
    features = torch.stack([picture.features for picture in pictures])
    context = {name: [of_image[name] for of_image in contexts] for name in contexts[0]}
    return compressor.select(features, n_target, **context).tolist()


def alone(spec: str, picture: Picture, n_target: int) -> list[int]:
    compressor = compressor_of(spec)
    assert isinstance(compressor, Selection)
    return compressor.compress(picture.features, n_target, **picture.context(spec)).tolist()


@st.composite
def batches(draw: st.DrawFn, ties: bool = True, scales: int = 12) -> tuple[list[Picture], int]:
    """Images of one token count and different shapes, with a budget; tokens repeat, attention ties."""
    sides = draw(st.tuples(st.integers(1, 8), st.integers(1, 8)))
    n, width = sides[0] * sides[1], draw(st.integers(2, 8))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    pictures: list[Picture] = []
    for _ in range(draw(st.integers(1, 4))):
        features = torch.randn(n, width, generator=generator) * 10.0 ** draw(st.integers(-scales, scales))
        attention = torch.rand(2, 3, n, generator=generator)
        if ties:
            attention = (attention * draw(st.sampled_from([0, 1, 5, 1000]))).round() / 100
            for i in draw(st.lists(st.integers(0, n - 1), max_size=n)):
                features[i] = features[draw(st.integers(0, n - 1))] * draw(st.sampled_from([0.0, 1.0, 2.0]))
        grid = draw(st.sampled_from([sides, sides[::-1], (1, n)]))
        pictures.append(Picture(features, grid, attention))
    return pictures, draw(st.integers(1, n))


PLAIN: dict[str, Callable[[Picture, int], list[int]]] = {
    "vispruner": lambda picture, n: plain_picking.vispruner(
        picture.features, picture.saliency(1), n, 0.75 if 6 * n <= len(picture.features) else 0.5
    ),
    "vispruner(important_ratio=0.3)": lambda picture, n: plain_picking.vispruner(
        picture.features, picture.saliency(1), n, 0.3
    ),
    "hiprune": lambda picture, n: plain_picking.hiprune(
        picture.saliency(0), picture.saliency(1), picture.grid[1], n, 0.1
    ),
    "hiprune(alpha=1.0)": lambda picture, n: plain_picking.hiprune(
        picture.saliency(0), picture.saliency(1), picture.grid[1], n, 1.0
    ),
}


@pytest.mark.parametrize("spec", PLAIN)
@settings(deadline=None, max_examples=40)
@given(batch=batches())
def test_a_batch_gives_each_image_the_plain_choice(spec: str, batch: tuple[list[Picture], int]) -> None:
    pictures, n_target = batch
    assert together(spec, pictures, n_target) == [PLAIN[spec](picture, n_target) for picture in pictures]


@pytest.mark.parametrize("crops", [None, 1, 3, 100])
@settings(deadline=None, max_examples=30)
@given(batch=batches(ties=False, scales=0))
def test_holov_in_a_batch_gives_each_image_the_plain_choice(
    crops: int | None, batch: tuple[list[Picture], int]
) -> None:
    pictures, n_target = batch
    n_tokens = len(pictures[0].features)
    plain_crops = max(1, int(1024 / 576 * n_tokens / n_target)) if crops is None else crops
    chosen = together(f"holov(crops={crops})", pictures, n_target)
    for picture, kept in zip(pictures, chosen, strict=True):
        plain = plain_picking.holov(picture.features, picture.saliency(1), n_target, plain_crops)
        assert sorted(kept) == sorted(plain)


@settings(deadline=None, max_examples=60)
@given(batch=batches(ties=False), longest=st.integers(1, 7))
def test_vscan_keeps_and_merges_as_in_plain_words(batch: tuple[list[Picture], int], longest: int) -> None:
    (picture, *_), n_target = batch
    kept = VScan(window=longest).compress(picture.features, n_target, **picture.context("vscan"))
    chosen, rows = plain_picking.vscan(
        picture.features, picture.saliency(0), picture.saliency(1), picture.grid, n_target, longest
    )
    assert kept.positions is not None
    assert kept.positions.tolist() == chosen
    torch.testing.assert_close(kept.features, rows, rtol=1e-4, atol=1e-4 * float(picture.features.abs().max()))


@pytest.mark.parametrize("spec", SELECTIONS)
@settings(deadline=None, max_examples=40)
@given(batch=batches(scales=30))
def test_an_image_by_itself_gets_what_it_gets_in_a_batch(spec: str, batch: tuple[list[Picture], int]) -> None:
    pictures, n_target = batch
    assert together(spec, pictures, n_target) == [alone(spec, picture, n_target) for picture in pictures]


@pytest.mark.parametrize("spec", SELECTIONS)
@pytest.mark.parametrize("n_target", [16, 75])
def test_near_ties_too_are_decided_in_a_batch_as_alone(spec: str, n_target: int) -> None:
    generator = torch.Generator().manual_seed(4)
    blank = torch.randn(1, 384, generator=generator)
    pictures = []
    for _ in range(5):
        # Tokens that differ by a few units in the last place, as those of a blank background do.
        some = torch.randn(150, 384, generator=generator)
        attention = 0.01 + 1e-9 * torch.rand(2, 12, 150, generator=generator)
        pictures.append(Picture(torch.cat([some[:100], blank + 1e-7 * some[100:]]), (10, 15), attention))
    assert together(spec, pictures, n_target) == [alone(spec, picture, n_target) for picture in pictures]


@pytest.mark.parametrize("spec", EVERY)
@settings(deadline=None, max_examples=60)
@given(
    batch=batches(scales=30),
    scale=st.sampled_from([0.0, 1e-38, 1e-30, 1.0, 1e30, float("nan")]),
)
def test_any_attention_and_any_features_give_as_many_tokens_as_asked(
    spec: str, batch: tuple[list[Picture], int], scale: float
) -> None:
    (picture, *_), n_target = batch
    degenerate = Picture(picture.features, picture.grid, picture.attention * scale)
    # Checks the count, and that tokens are distinct and rows finite.
    run_compressor(compressor_of(spec), degenerate.features, n_target, degenerate.context(spec))


@pytest.mark.parametrize("spec", EVERY)
def test_nothing_is_read_back_from_the_device(spec: str) -> None:
    # Tensors of the meta device have no values to read, and do not mix with those of another.
    picture = Picture(torch.ones(24, 8, device="meta"), (4, 6), torch.ones(2, 2, 24, device="meta"))
    kept = compressor_of(spec).compress(picture.features, 6, **picture.context(spec))
    rows = kept.features if isinstance(kept, Kept) else kept
    assert rows.device.type == "meta"
    assert len(rows) == 6


# --- VisPruner


def attended(*received: float) -> Tensor:
    """[2, 1, N]: the same attention in both layers."""
    return torch.tensor(received, dtype=torch.float32).expand(2, 1, -1)


@pytest.mark.parametrize(("n_target", "n_important"), [(64, 48), (96, 72), (128, 64)])
def test_vispruner_splits_the_budget_as_published(n_target: int, n_important: int) -> None:
    generator = torch.Generator().manual_seed(0)
    falling = torch.arange(576, 0, -1.0).expand(2, 1, -1)
    picture = Picture(torch.randn(576, 8, generator=generator), (24, 24), falling)
    assert alone("vispruner", picture, n_target)[:n_important] == list(range(n_important))
    assert alone("vispruner", picture, n_target) == alone(
        f"vispruner(important_ratio={n_important / n_target})", picture, n_target
    )


def test_vispruner_drops_the_repeated_token() -> None:
    features = torch.eye(5)
    features[3] = features[2]
    # In the order of attention 2 and 3 are compared: 2 in the first half, 3 in the second.
    picture = Picture(features, (1, 5), attended(0.9, 0.1, 0.5, 0.4, 0.2))
    assert sorted(alone("vispruner(important_ratio=0.25)", picture, 4)) == [0, 1, 3, 4]


@pytest.mark.parametrize(("repeating", "repeated"), [(0, 1), (2, 3)])
def test_vispruner_compares_what_the_projector_is_given(repeating: int, repeated: int) -> None:
    picture = Picture(torch.ones(4, 1), (2, 2), attended(4, 3, 2, 1))
    hidden = torch.eye(4)
    hidden[repeating] = hidden[repeated]
    context = picture.context("vispruner") | {"hidden": hidden}
    kept = VisPruner(important_ratio=0.0).compress(picture.features, 3, **context)
    assert {*kept.tolist()} == {0, 1, 2, 3} - {repeating}


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_vispruner_refuses_a_share_that_is_none(ratio: float) -> None:
    with pytest.raises(ValueError, match=f"important_ratio is {ratio}; it must be from 0 to 1"):
        VisPruner(important_ratio=ratio)


# --- HiPrune


@pytest.mark.parametrize(
    ("tower", "layers"),
    [(Tower(24, True), (8, -2)), (Tower(32, False), (15, -1)), (Tower(12, True), (3, -2)), (Tower(1, False), (0, -1))],
)
def test_hiprune_reads_the_published_layers_and_their_like(tower: Tower, layers: tuple[int, ...]) -> None:
    assert HiPrune().encoder_layers(tower) == layers


def test_hiprune_reads_the_middle_layer_it_is_told() -> None:
    assert HiPrune(object_layer=16).encoder_layers(Tower(24, True)) == (15, -2)


def test_hiprune_keeps_neighbours_across_the_end_of_a_row() -> None:
    middle, deep = torch.zeros(1, 16), torch.arange(16.0)[None] / 100
    middle[0, 7] = 1.0
    picture = Picture(torch.zeros(16, 1), (4, 4), torch.stack([middle, deep]))
    # One anchor, 7, at the end of the second row; 8 begins the third. 15 is the register.
    assert sorted(alone("hiprune(alpha=1.0)", picture, 6)) == [3, 6, 7, 8, 11, 15]


def test_hiprune_takes_no_token_twice_where_attention_exceeds_one() -> None:
    attention = torch.ones(2, 1, 16) * 3
    attention[:, :, 5] = 8.0
    kept = alone("hiprune(alpha=1.0)", Picture(torch.zeros(16, 1), (4, 4), attention), 8)
    assert len(set(kept)) == 8
    assert {1, 4, 5, 6, 9} <= set(kept)


def test_hiprune_keeps_anchors_before_buffers_where_both_are_too_many() -> None:
    middle, deep = torch.zeros(1, 9), torch.arange(9.0)[None]
    middle[0, 4] = 1.0
    picture = Picture(torch.zeros(9, 1), (3, 3), torch.stack([middle, deep]))
    assert alone("hiprune(alpha=1.0)", picture, 3) == [4, 7, 5]


@pytest.mark.parametrize(("parameters", "error"), [({"alpha": 1.5}, "alpha is 1.5"), ({"object_layer": 0}, "from 1")])
def test_hiprune_refuses_parameters_out_of_range(parameters: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        HiPrune(**parameters)


# --- HoloV


def test_holov_gives_the_surplus_of_an_overfull_crop_to_the_others() -> None:
    # Two crops of four; nearly all attention is in the first, which so is allotted more tokens than it has.
    picture = Picture(torch.eye(8), (2, 4), attended(90, 90, 90, 90, 1, 2, 4, 3))
    assert sorted(alone("holov(crops=2)", picture, 6)) == [0, 1, 2, 3, 6, 7]


def test_holov_spreads_the_budget_evenly_over_equal_crops() -> None:
    picture = Picture(torch.ones(16, 2), (4, 4), attended(*[0.5] * 16))
    assert sorted(alone("holov(crops=4)", picture, 8)) == [0, 1, 4, 5, 8, 9, 12, 13]


def test_holov_without_any_attention_lets_crops_take_turns() -> None:
    picture = Picture(torch.eye(12), (3, 4), attended(*[0.0] * 12))
    assert sorted(alone("holov(crops=3)", picture, 8)) == [0, 1, 2, 4, 5, 6, 8, 9]


def test_holov_cuts_64_of_576_tokens_into_16_crops() -> None:
    generator = torch.Generator().manual_seed(0)
    attention = torch.rand(2, 1, 576, generator=generator)
    picture = Picture(torch.randn(576, 8, generator=generator), (24, 24), attention)
    assert alone("holov", picture, 64) == alone("holov(crops=16)", picture, 64)


def test_holov_refuses_no_crops() -> None:
    with pytest.raises(ValueError, match="crops is 0; it must be at least 1"):
        HoloV(crops=0)


# --- VScan


@pytest.mark.parametrize(("tower", "layers"), [(Tower(24, True), (5, -2)), (Tower(32, False), (7, -1))])
def test_vscan_reads_the_published_layers(tower: Tower, layers: tuple[int, ...]) -> None:
    assert VScan().encoder_layers(tower) == layers


@pytest.mark.parametrize("n_target", [30, 33, 70, 575])
def test_vscan_keeps_what_floors_would_keep_and_fills_up(n_target: int) -> None:
    generator = torch.Generator().manual_seed(n_target)
    attention = torch.rand(2, 1, 576, generator=generator)
    picture = Picture(torch.randn(576, 4, generator=generator), (24, 24), attention)
    kept = VScan().compress(picture.features, n_target, **picture.context("vscan")).positions
    assert kept is not None
    shallow, deep = picture.saliency(0), picture.saliency(1)
    by_window: dict[tuple[int, int], list[int]] = {}
    for i in range(576):
        by_window.setdefault((i // 24 // 6, i % 24 // 6), []).append(i)
    local = [i for window in by_window.values() for i in plain_picking.falling(shallow, window)[: n_target // 2 // 16]]
    rest = [i for i in range(576) if i not in local]
    floors = {*local, *plain_picking.falling(deep, rest)[: n_target - n_target // 2]}
    assert floors <= {*kept.tolist()}
    assert len(kept) == n_target


def vscan_of_a_picture() -> tuple[Tensor, Kept]:
    generator = torch.Generator().manual_seed(1)
    picture = Picture(torch.randn(30, 4, generator=generator), (5, 6), torch.rand(2, 2, 30, generator=generator))
    return picture.features, VScan().compress(picture.features, 7, **picture.context("vscan"))


def test_vscan_merges_other_rows_as_it_merged_the_features() -> None:
    features, kept = vscan_of_a_picture()
    assert kept.merge is not None
    assert torch.equal(kept.merge(features), kept.features)
    torch.testing.assert_close(kept.merge(torch.cat([features, -2 * features], dim=1))[:, 4:], -2 * kept.features)


def test_vscan_merges_rows_of_the_models_type() -> None:
    features, kept = vscan_of_a_picture()
    assert kept.merge is not None
    merged = kept.merge(features.bfloat16())
    assert merged.dtype == torch.bfloat16
    torch.testing.assert_close(merged.float(), kept.features, atol=0.05, rtol=0.05)


def test_vscan_merges_every_token_once() -> None:
    _, kept = vscan_of_a_picture()
    assert kept.merge is not None
    # Each token as a row with a 1 of its own: a column's only entry is the share of its token.
    shares = kept.merge(torch.eye(30))
    assert ((shares > 0).sum(dim=0) == 1).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(7))


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"local_ratio": 1.5}, "local_ratio is 1.5; it must be from 0 to 1"),
        ({"window": 0}, "window is 0; it must be at least 1"),
        ({"shallow_layer": -1}, "shallow_layer is -1; layers are counted from 0"),
    ],
)
def test_vscan_refuses_parameters_out_of_range(parameters: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        VScan(**parameters)
