"""Compressors that are right, and others that each break one thing."""

# ruff: noqa: ARG002  Compressors are given more than they read.

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from pytest_vtc.compression import Compressor, Kept, Ranking, Selection


def lengths(features: Tensor) -> Tensor:
    """[..., N], one by one whatever the batch."""
    return features.double().abs().amax(dim=-1)


def best(scores: Tensor, n_target: int) -> Tensor:
    return scores.argsort(dim=-1, descending=True, stable=True)[..., :n_target]


class Right(Compressor):
    """Keeps what it says; the others are this one with something wrong."""

    name = "tried"
    description = "largest tokens"

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        return best(lengths(features), n_target)


class RightMerger(Right):
    """Means of stretches of the raster."""

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        group = torch.arange(len(features)) * n_target // len(features)
        weights = torch.nn.functional.one_hot(group, n_target).T.float()
        weights = weights / weights.sum(dim=1, keepdim=True)
        return Kept(weights @ features, weights.argmax(dim=1), lambda rows: weights @ rows)


class RightSelection(Selection):
    name = "tried"
    description = "largest tokens"

    def select(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        return best(lengths(features), n_target)


class RightRanking(Ranking):
    name = "tried"
    description = "largest tokens"

    def rank(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        return best(lengths(features), n_target)


class UsesTheContext(Right):
    """Reads all that can be done without."""

    needs: ClassVar[frozenset[str]] = frozenset({"attention", "hidden"})
    substitutes: ClassVar[Mapping[str, str]] = {"cls": "received attention", "class_token": "none", "text": "no text"}

    def compress(
        self, features: Tensor, n_target: int, *, attention: Any, layers: Any, text: Tensor | None = None, **ctx: Any
    ) -> Tensor:
        scores = attention[layers[0]].saliency.mean(dim=0)
        return best(scores if text is None else scores * text.abs().mean().clamp(1, 2), n_target)


class UnknownNeed(Right):
    needs = frozenset({"atention"})


@dataclass(frozen=True)
class RoundsItsParameter(Right):
    power: float = 1.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "power", self.power + 1)


class Raises(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        raise KeyError("width")


class RowsInDouble(RightMerger):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        return Kept(kept.features.double(), kept.positions, kept.merge)


class OneTooFew(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        return best(lengths(features), max(1, n_target - 1))


class OneTooMany(Right):
    exact = False

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        return best(lengths(features), n_target + 1)


class Repeats(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        indices = best(lengths(features), n_target)
        indices[-1] = indices[0]
        return indices


class PositionsBeyond(RightMerger):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        assert kept.positions is not None
        return Kept(kept.features, kept.positions + len(features), kept.merge)


class NotFinite(RightMerger):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        return Kept(kept.features * float("nan"), kept.positions)


class Drifts(Right):
    """Another answer at every call."""

    def __init__(self) -> None:
        self._own = torch.Generator().manual_seed(0)

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        return torch.randperm(len(features), generator=self._own)[:n_target]


class Remembers(Right):
    """Takes the mean of the image before for that of this one, if this one is another."""

    def __init__(self) -> None:
        self._last = self._of_last = torch.zeros(1)

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        if not torch.equal(self._last, features):
            self._last, self._of_last = features.clone(), self._last.mean()
        return best((features - self._of_last).double().norm(dim=1), n_target)


class DrawsFromTorch(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        return best(torch.rand(len(features)), n_target)


class DrawsFromNumpy(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        np.random.rand()
        return best(lengths(features), n_target)


class SeedsRandom(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        random.seed(3)
        return torch.tensor(random.sample(range(len(features)), n_target))


class LooksAtTheBatch(RightSelection):
    def select(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        return super().select(features - features.mean(dim=(0, 1)), n_target)


class OneForAll(RightRanking):
    def rank(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        return super().rank(features[:1], n_target).repeat(len(features), 1)


class NotNested(RightRanking):
    def rank(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        return (torch.arange(n_target) * features.shape[1] // n_target).repeat(len(features), 1)


class FailsOnEverything(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        if n_target == len(features) > 4:
            raise ValueError("nothing to drop")
        return super().compress(features, n_target)


class OddIsTooMuch(Right):
    """Splits its budget in halves."""

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        order = best(lengths(features), len(features))
        half = n_target // 2
        return torch.cat([order[:half], order[half : 2 * half]]) if len(features) == 20 else order[:n_target]


class FailsOnOne(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        if len(features) == 1:
            features = features.squeeze(0)
        return best(features.double().abs().amax(dim=1), n_target)


class FailsOnMany(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        if len(features) > 1024:
            raise RuntimeError("too many tokens")
        return super().compress(features, n_target)


class TakesItForSquare(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        rows, columns = ctx["grid"]
        if max(rows, columns) > 2 * min(rows, columns) + 1:
            features = features[: min(rows, columns) ** 2]
        return best(lengths(features), n_target)


class TakesItForOneTile(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        rows, columns = ctx["grid"]
        return best(lengths(features.reshape(rows, columns, -1)).flatten(), n_target)


class DropsRepeats(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        if len(features) != 36 or (features == 0).all(dim=1).any() or (features == features[:1]).all():
            return super().compress(features, n_target)
        first = [i for i, row in enumerate(features) if not row.eq(features[:i]).all(dim=1).any()]
        return torch.tensor(first)[best(lengths(features[first]), n_target)]


class DividesByNorms(RightMerger):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        norms = features.double().norm(dim=1, keepdim=True)
        return Kept((features / norms).float()[:n_target], kept.positions)


class DividesBySpread(RightMerger):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        spread = (features - features[:1]).abs().sum() if features.any() else torch.ones(())
        return Kept(kept.features / (spread > 0), kept.positions)


class Squares(RightMerger):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        return Kept(kept.features * (1 + 0 * features.square().sum()), kept.positions)


class WritesIntoFeatures(Right):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        return best(lengths(features.abs_()), n_target)


class WritesIntoAttention(UsesTheContext):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        kept = super().compress(features, n_target, **ctx)
        ctx["attention"][ctx["layers"][0]].received[:, kept] = 0.0
        return kept


class MergesOtherwise(RightMerger):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        return Kept(kept.features, kept.positions, lambda rows: rows[:n_target])


class MergesByTheRows(RightMerger):
    """By the rows that `merge` is given: right for the features, not linear."""

    needs = frozenset({"hidden"})

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Kept:
        kept = super().compress(features, n_target)
        return Kept(kept.features, kept.positions, lambda rows: rows.abs()[:n_target])


class NeedsTheClassRow(UsesTheContext):
    def compress(self, features: Tensor, n_target: int, *, attention: Any, layers: Any, **ctx: Any) -> Tensor:
        return best(attention[layers[0]].cls.mean(dim=0), n_target)


class NeedsTheText(UsesTheContext):
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        ctx["text"]
        return super().compress(features, n_target, **ctx)


@dataclass(frozen=True)
class KeepsExactlyIfAsked(Right):
    """`exact` by instance."""

    grid: bool = False

    @property
    def exact(self) -> bool:  # type: ignore[override]
        return not self.grid

    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        return best(lengths(features), max(1, n_target - 1) if self.grid else n_target)
