"""Properties: an answer depends on nothing but the question: not on the call, its neighbours or global state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from pytest_vtc.compression import Ranking, Selection
from pytest_vtc.conformance import randomness
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.conformance.trial import Broken, Question, Trial, ordinary


def same_answer_twice(trial: Trial) -> None:
    for question in ordinary():
        different = trial.ask(question).differs(trial.ask(question))
        if different is not None:
            raise Broken(
                f"asked the same twice, it returned other {different}",
                question,
                "draw from `generator` of the context alone, which is seeded by image; sort with stable=True",
            )


def remembers_nothing(trial: Trial) -> None:
    trial.check_repeats()
    for question in ordinary()[1::3]:
        before = trial.ask(question)
        for other in ordinary()[::3]:
            trial.ask(replace(other, image=replace(other.image, features=other.image.features.flip(0) * 3 + 1)))
        different = before.differs(trial.ask(question))
        if different is not None:
            raise Broken(
                f"after other images it returned other {different} than before them",
                question,
                "keep nothing between two calls, neither in the object nor in the module",
            )


def global_random_state(trial: Trial) -> None:
    trial.check_repeats()
    question = ordinary()[1]
    with randomness.seeded():
        before = randomness.states()
        answer = trial.ask(question, seeded=False)
        after = randomness.states()
    for source in randomness.SOURCES:
        with randomness.seeded(**{source: 1}):
            other = trial.ask(question, seeded=False)
        if answer.differs(other) is not None:
            raise Broken(
                f"its answer changes with the global seed of {source}",
                question,
                "draw from `generator` of the context alone, which is seeded by image",
            )
    for source in randomness.SOURCES:
        if before[source] != after[source]:
            raise Broken(
                f"it draws from, or seeds, the global random state of {source}",
                question,
                "draw from `generator` of the context alone: what runs after it would get other random numbers",
            )


def batch(trial: Trial) -> None:
    trial.check_repeats()
    compressor = cast(Selection, trial.compressor)
    images = _batch_images()
    n_tokens = len(images[0].features)
    tried = f"{len(images)} images at once of 15 x 10 tokens of width 384 (N = {n_tokens}), seeds 1 to {len(images)}"
    for n_target in (1, n_tokens // 4, n_tokens - 1):
        alone = [trial.ask(Question(image, n_target, "alone")).rows.cpu() for image in images]
        contexts = [image.context(compressor) for image in images]
        features = torch.stack([image.features for image in images])
        about = f"{tried}, n_target = {n_target}"

        def call(
            features: Tensor = features, n_target: int = n_target, contexts: list[dict[str, Any]] = contexts
        ) -> Any:
            together = {name: [context[name] for context in contexts] for name in contexts[0]}
            return compressor.select(features, n_target, **together)

        result = trial.guarded(about, call)
        if not isinstance(result, Tensor) or result.ndim != 2 or len(result) != len(images):
            shape = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise Broken(f"it returned {shape}, not [{len(images)}, {n_target}] indices", about, "see Selection.select")
        for i, (of_batch, of_image) in enumerate(zip(result.cpu(), alone, strict=True), 1):
            if not isinstance(compressor, Ranking):
                of_batch, of_image = of_batch.sort().values, of_image.sort().values
            if not torch.equal(of_batch, of_image):
                raise Broken(
                    f"image {i} gets {_difference(of_batch, of_image)} in a batch than alone",
                    f"{about}; image {i}: {_BATCH[i - 1]}",
                    "compute matrix products and sums over channels image by image (as `norms` and `cosine_distances` "
                    "of pytest_vtc.compression do), and take nothing over dimension 0",
                )


_BATCH = ("ordinary", "rows of a blank background, equal but for the last bits", "ordinary", "every row twice")


def _batch_images() -> list[MadeUpImage]:
    images = [MadeUpImage.drawn(15, 10, 384, seed=seed) for seed in (1, 2, 3, 4)]
    blank = images[1].features[:1] + 1e-7 * images[1].features
    twice = images[3].features[:75].repeat(2, 1)
    return [images[0], replace(images[1], features=blank), images[2], replace(images[3], features=twice)]


def _difference(one: Tensor, other: Tensor) -> str:
    if one.shape != other.shape:
        return f"{list(one.shape)} indices instead of {list(other.shape)}"
    if torch.equal(one.sort().values, other.sort().values):
        return f"the same tokens in another order (first at place {int((one != other).nonzero()[0])})"
    lost = sorted({*other.tolist()} - {*one.tolist()})
    return f"other tokens ({len(lost)} of {len(one)}, {lost[0]} among them)"


def nested_budgets(trial: Trial) -> None:
    trial.check_repeats()
    for image in (ordinary()[3].image, *_batch_images()[1::2]):
        n_tokens = len(image.features)
        longest = trial.ask(Question(image, n_tokens)).rows
        for n_target in (1, 2, n_tokens // 3, n_tokens - 1):
            question = Question(image, n_target)
            shorter = trial.ask(question).rows
            if not torch.equal(longest[:n_target].cpu(), shorter.cpu()):
                raise Broken(
                    f"asked for all {n_tokens} it begins with {_difference(longest[:n_target].cpu(), shorter.cpu())} "
                    f"than asked for {n_target}",
                    question,
                    "a Ranking is one order of which n_target is the beginning; if the choice depends on n_target, "
                    "derive from Selection and define `select`",
                )
