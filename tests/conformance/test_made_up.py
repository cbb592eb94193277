"""Made-up images give what a model gives, in its shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from pytest_vtc.compression import CONTEXT_NAMES, Compressor
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.conformance.trial import without


class Curious(Compressor):
    name = "curious"
    description = "asks for everything"
    substitutes: ClassVar[Mapping[str, str]] = dict.fromkeys([*CONTEXT_NAMES, "cls"], "nothing")

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        raise NotImplementedError


def test_attention_of_one_tile_does_not_look_at_another() -> None:
    tiled = MadeUpImage.tiled([(2, 3), (2, 2)], 8)
    (attention,) = tiled.context(Curious())["attention"].values()
    # A class row or token gives 1 in all; a tile of n tokens and a class row receives n + 1 among n + 1.
    assert attention.received.shape == attention.cls.shape == (4, 10)
    for tokens, n in ((slice(0, 6), 6), (slice(6, 10), 4)):
        assert (attention.received[:, tokens].sum(dim=1) < 1).all()
        assert (attention.received[:, tokens].sum(dim=1) > 0.5 * n / (n + 1)).all()


def test_positions_of_tiles_lie_one_below_the_other() -> None:
    context = MadeUpImage.tiled([(1, 3), (2, 2)], 8).context(Curious())
    assert context["grid"] == (3, 3)
    assert context["positions"].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0], [2, 1]]


def test_every_tile_has_a_class_token_of_its_own() -> None:
    class_token = MadeUpImage.tiled([(1, 3), (2, 2)], 8).context(Curious())["class_token"]
    assert class_token.hidden.shape[0] == 2
    assert [keys.shape[1] for keys in class_token.keys.values()] == [2]


def test_what_repeats_in_the_features_repeats_beside_them() -> None:
    drawn = MadeUpImage.drawn(2, 3, 8)
    context = MadeUpImage(drawn.features[[0, 1, 2, 0, 1, 2]], (2, 3)).context(Curious())
    (keys,) = context["keys"].values()
    torch.testing.assert_close(context["hidden"][:3], context["hidden"][3:])
    torch.testing.assert_close(keys[:, :3], keys[:, 3:])


def test_two_contexts_of_one_image_are_equal_and_share_nothing() -> None:
    image = MadeUpImage.drawn(2, 3, 8)
    one, other = image.context(Curious()), image.context(Curious())
    one["hidden"].zero_()
    one["attention"][-2].received.zero_()
    one["image"].paste((0, 0, 0), (0, 0, 8, 8))
    assert other["hidden"].any()
    assert other["attention"][-2].received.any()
    assert image.context(Curious())["image"].tobytes() == other["image"].tobytes()
    assert torch.equal(image.context(Curious())["hidden"], other["hidden"])


@pytest.mark.parametrize("name", sorted(CONTEXT_NAMES))
def test_a_part_can_be_taken_away(name: str) -> None:
    image = MadeUpImage.drawn(2, 3, 8)
    assert name in image.context(Curious())
    assert name not in without(image, frozenset({name})).context(Curious())


def test_without_the_class_row_there_is_no_class_token_either() -> None:
    context = without(MadeUpImage.drawn(2, 3, 8), frozenset({"cls"})).context(Curious())
    assert "class_token" not in context
    assert context["attention"][-1].cls is None
