"""Properties: answers stay valid for every budget, size of image and kind of values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from pytest_vtc.compressed import run_compressor
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.conformance.trial import Broken, NotTried, Question, Trial, ordinary


def ratio_1(trial: Trial) -> None:
    for question in (Question(ordinary()[0].image, 64), Question(MadeUpImage.drawn(3, 5, 8, seed=6), 15)):
        trial.check(replace(question, about="asked for all tokens"))
        image = question.image
        compressed = run_compressor(
            trial.compressor, image.features, question.n_target, image.context(trial.compressor)
        )
        if not torch.equal(compressed.gather(image.features), image.features):
            raise Broken(
                "keeping all tokens is not the identity", question, "this is an error of pytest-vtc: report it"
            )


def every_budget(trial: Trial) -> None:
    small = MadeUpImage.drawn(5, 4, 12, seed=7)
    for n_target in range(1, 20):
        trial.check(Question(small, n_target))
    large = MadeUpImage.drawn(12, 12, 24, seed=8)
    for n_target in (1, 2, 3, 29, 71, 72, 73, 141, 143):
        trial.check(Question(large, n_target))


def tiny_images(trial: Trial) -> None:
    for rows, columns in ((1, 1), (1, 2), (2, 1), (3, 1), (1, 3), (2, 2)):
        for n_target in range(1, rows * columns + 1):
            for width in (1, 8):
                trial.check(Question(MadeUpImage.drawn(rows, columns, width, seed=9), n_target))


def large_images(trial: Trial) -> None:
    trial.check(Question(MadeUpImage.drawn(48, 48, 64, seed=10), 256))


def oblong_grids(trial: Trial) -> None:
    for rows, columns in ((1, 24), (24, 1), (3, 17), (20, 2)):
        n_tokens = rows * columns
        for n_target in (1, n_tokens // 3, n_tokens - 1):
            trial.check(Question(MadeUpImage.drawn(rows, columns, 16, seed=11), n_target))


def several_tiles(trial: Trial) -> None:
    for tiles in (((4, 4), (4, 4), (2, 3)), ((3, 6), (6, 3))):
        image = MadeUpImage.tiled(tiles, 16, seed=12)
        n_tokens = len(image.features)
        for n_target in (len(tiles), n_tokens // 3, n_tokens - 1):
            trial.check_tiles(image, n_target, "" if trial.compressor.tiles == "together" else "one tile of several")


def _with_features(change: Callable[[Tensor], Tensor], about: str) -> Iterator[Question]:
    for rows, columns, width in ((6, 6, 16), (9, 4, 3)):
        image = MadeUpImage.drawn(rows, columns, width, seed=13)
        image = replace(image, features=change(image.features.clone()))
        for n_target in (1, 2, 12, 35):
            yield Question(image, n_target, about)


def values(*kinds: tuple[str, Callable[[Tensor], Tensor]]) -> Callable[[Trial], None]:
    def check(trial: Trial) -> None:
        for about, change in kinds:
            for question in _with_features(change, about):
                trial.check(question)

    return check


def zeroed(rows: slice) -> Callable[[Tensor], Tensor]:
    def change(features: Tensor) -> Tensor:
        features[rows] = 0.0
        return features

    return change


def scaled(exponent: int) -> tuple[str, Callable[[Tensor], Tensor]]:
    return f"features of scale 1e{exponent}", lambda features: features * 10.0**exponent


def one_large(features: Tensor) -> Tensor:
    features[7] *= 1e6
    return features


def half_precision(trial: Trial) -> None:
    trial.check_repeats()
    if trial.always_wrong:
        raise NotTried("the engine refuses its answers about ordinary images")
    for dtype in (torch.bfloat16, torch.float16):
        for question in ordinary()[::2]:
            half = replace(question.image, features=question.image.features.to(dtype))
            exact = replace(half, features=half.features.float())
            asked = replace(question, image=half, about=f"{dtype}, which the engine turns into float32")
            one, other = (
                trial.guarded(
                    asked,
                    lambda image=image, n_target=question.n_target: run_compressor(
                        trial.compressor, image.features, n_target, image.context(trial.compressor)
                    ),
                )
                for image in (half, exact)
            )
            if not torch.equal(one.gather(exact.features), other.gather(exact.features)):
                raise Broken(
                    "it returned something else than for the same features given in float32",
                    asked,
                    "compute with `features`, which are float32 whatever the model's precision is",
                )
