"""The properties every compressor has to have, each a check that raises Broken, or NotTried where it cannot judge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import ClassToken, CompressionError, Compressor, EncoderAttention, Ranking, Selection
from pytest_vtc.conformance import randomness
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.conformance.trial import ASPECTS, Answer, Broken, NotTried, Question, Trial, ordinary, without

TIMED = Question(MadeUpImage.drawn(24, 24, 1024, seed=5), 64)
"""What the time per image is of."""

SLOW = 1.0
"""Seconds per image from which on a compressor is said to be slow."""

_MADE_ANEW = frozenset({"hidden", "class_token", "project", "inside", "encode"})
"""With these, rows may come from before the projector, or from another pass: no mean of the features."""


@dataclass(frozen=True)
class Property:
    """name: as it stands in the test's id. check: raises Broken or NotTried; may give the seconds an image takes.

    applies: to which compressors.
    """

    name: str
    check: Callable[[Trial], float | None]
    applies: Callable[[Compressor], bool] = lambda _: True


def properties_of(compressor: Compressor) -> list[Property]:
    """All that have a meaning for this compressor, in the order in which they are tried."""
    return [each for each in _PROPERTIES if each.applies(compressor)]


# Ordinary images


def _runs(trial: Trial) -> None:
    for question in ordinary():
        trial.ask(question)


def _aspect(name: str) -> Callable[[Trial], None]:
    def check(trial: Trial) -> None:
        for question in ordinary():
            wrong = trial.complaint(trial.ask(question), frozenset(ASPECTS) - {name})
            if wrong is not None:
                raise Broken(wrong[1], question, ASPECTS[name].advice)

    return check


def _on_a_device(trial: Trial) -> None:
    if not torch.cuda.is_available():
        raise NotTried("there is no CUDA device here")
    device = torch.device("cuda", torch.cuda.current_device())
    for question in ordinary():
        answer = trial.check(replace(question, image=question.image.to(device)))
        if not answer.selects and answer.rows.device not in (device, torch.device("cpu")):
            raise Broken(
                f"it returned rows on {answer.rows.device}", answer.question, "stay on the device of `features`"
            )


def _same_answer_twice(trial: Trial) -> None:
    for question in ordinary():
        different = trial.ask(question).differs(trial.ask(question))
        if different is not None:
            raise Broken(
                f"asked the same twice, it returned other {different}",
                question,
                "draw from `generator` of the context alone, which is seeded by image; sort with stable=True",
            )


def _remembers_nothing(trial: Trial) -> None:
    for question in ordinary():
        before = trial.ask(question)
        for other in ordinary():
            trial.ask(replace(other, image=replace(other.image, features=other.image.features.flip(0) * 3)))
        different = before.differs(trial.ask(question))
        if different is not None:
            raise Broken(
                f"after other images it returned other {different} than before them",
                question,
                "keep nothing between two calls, neither in the object nor in the module",
            )


def _global_random_state(trial: Trial) -> None:
    question = ordinary()[1]
    same = dict.fromkeys(randomness.SOURCES, 1)
    with randomness.seeded(**same):
        before = randomness.states()
        answer = trial.ask(question)
        after = randomness.states()
    for source in randomness.SOURCES:
        with randomness.seeded(**same | {source: 2}):
            other = trial.ask(question)
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


def _batch(trial: Trial) -> None:
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


def _nested_budgets(trial: Trial) -> None:
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


# Budgets


def _ratio_1(trial: Trial) -> None:
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


def _every_budget(trial: Trial) -> None:
    small = MadeUpImage.drawn(5, 4, 12, seed=7)
    for n_target in range(1, 20):
        trial.check(Question(small, n_target))
    large = MadeUpImage.drawn(12, 12, 24, seed=8)
    for n_target in (1, 2, 3, 29, 71, 72, 73, 141, 143):
        trial.check(Question(large, n_target))


# Shapes


def _tiny_images(trial: Trial) -> None:
    for rows, columns in ((1, 1), (1, 2), (2, 1), (3, 1), (1, 3), (2, 2)):
        for n_target in range(1, rows * columns + 1):
            for width in (1, 8):
                trial.check(Question(MadeUpImage.drawn(rows, columns, width, seed=9), n_target))


def _large_images(trial: Trial) -> None:
    trial.check(Question(MadeUpImage.drawn(48, 48, 64, seed=10), 256))


def _oblong_grids(trial: Trial) -> None:
    for rows, columns in ((1, 24), (24, 1), (3, 17), (20, 2)):
        n_tokens = rows * columns
        for n_target in (1, n_tokens // 3, n_tokens - 1):
            trial.check(Question(MadeUpImage.drawn(rows, columns, 16, seed=11), n_target))


def _several_tiles(trial: Trial) -> None:
    for tiles in (((4, 4), (4, 4), (2, 3)), ((3, 6), (6, 3))):
        image = MadeUpImage.tiled(tiles, 16, seed=12)
        n_tokens = len(image.features)
        for n_target in (len(tiles), n_tokens // 3, n_tokens - 1):
            trial.check_tiles(image, n_target, "" if trial.compressor.tiles == "together" else "one tile of several")


# Values


def _with_features(change: Callable[[Tensor], Tensor], about: str) -> Iterator[Question]:
    for rows, columns, width in ((6, 6, 16), (9, 4, 3)):
        image = MadeUpImage.drawn(rows, columns, width, seed=13)
        image = replace(image, features=change(image.features.clone()))
        for n_target in (1, 2, 12, 35):
            yield Question(image, n_target, about)


def _values(*kinds: tuple[str, Callable[[Tensor], Tensor]]) -> Callable[[Trial], None]:
    def check(trial: Trial) -> None:
        for about, change in kinds:
            for question in _with_features(change, about):
                trial.check(question)

    return check


def _zeroed(rows: slice) -> Callable[[Tensor], Tensor]:
    def change(features: Tensor) -> Tensor:
        features[rows] = 0.0
        return features

    return change


def _scaled(exponent: int) -> tuple[str, Callable[[Tensor], Tensor]]:
    return f"features of scale 1e{exponent}", lambda features: features * 10.0**exponent


def _one_large(features: Tensor) -> Tensor:
    features[7] *= 1e6
    return features


def _half_precision(trial: Trial) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        for question in ordinary()[::2]:
            image = replace(question.image, features=question.image.features.to(dtype))
            asked = replace(question, image=image, about=f"features in {dtype}, given to the engine")
            exact = replace(image, features=image.features.float())
            trial.judge(trial.ask(replace(question, image=exact)))
            one, other = (
                _engine(trial, replace(asked, image=given), exact.context(trial.compressor)) for given in (image, exact)
            )
            if not torch.equal(one, other):
                raise Broken(
                    "it chooses otherwise than from the same features in float32", asked, "use what it is given"
                )


def _engine(trial: Trial, question: Question, context: dict[str, Any]) -> Tensor:
    try:
        compressed = run_compressor(trial.compressor, question.image.features, question.n_target, context)
    except CompressionError as error:
        raise NotTried(f"the engine refuses what it returns: {error}") from error
    return compressed.gather(question.image.features.float())


# What it is given, and gives, beside the features


def _input_unchanged(trial: Trial) -> None:
    for question in ordinary()[1:5:3]:
        features = question.image.features.clone()
        context = question.image.context(trial.compressor)
        before = {path: _copy(value) for path, value in _parts({"features": features, **context})}
        trial.ask_with(question, features, context)
        after = dict(_parts({"features": features, **context}))
        for path, value in before.items():
            if path not in after or not _equal(value, after[path]):
                raise Broken(
                    f"it writes into `{path}` that it was given",
                    question,
                    "work on a copy: .clone(), and operations without a trailing underscore",
                )


def _parts(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Tensors and images in a context, with the way to each."""
    if isinstance(value, (Tensor, Image.Image)):
        yield path, value
    elif isinstance(value, (EncoderAttention, ClassToken)):
        yield from _parts(vars(value), path)
    elif isinstance(value, Mapping):
        for name, part in cast(Mapping[Any, Any], value).items():
            step = f"[{name}]" if isinstance(name, int) else f".{name}" if path else name
            yield from _parts(part, path + step)


def _copy(value: Tensor | Image.Image) -> Any:
    return value.clone() if isinstance(value, Tensor) else value.tobytes()


def _equal(copy: Any, value: Tensor | Image.Image) -> bool:
    return torch.equal(copy, value) if isinstance(value, Tensor) else copy == value.tobytes()


def _merge(trial: Trial) -> None:
    compressor = trial.compressor
    answers = [trial.ask(question) for question in ordinary()]
    if all(answer.selects for answer in answers):
        raise NotTried("it selects tokens and merges none")
    given = [answer for answer in answers if answer.merge is not None]
    if not given:
        raise NotTried("it returns rows without a `merge`: models with deepstack get those of their positions")
    anew = _MADE_ANEW & (compressor.needs | compressor.substitutes.keys())
    for answer in given:
        _check_merge(trial, answer, of_the_features=not anew)


def _check_merge(trial: Trial, answer: Answer, of_the_features: bool) -> None:
    question, features = answer.question, answer.question.image.features

    def merged(rows: Tensor) -> Tensor:
        result = trial.guarded(question, lambda: cast(Any, answer.merge)(rows.clone()))
        if not isinstance(result, Tensor) or result.shape != (len(answer.rows), rows.shape[1]):
            shape = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise Broken(
                f"merge makes {shape} of rows {list(rows.shape)}",
                question,
                f"do to rows of any width what was done to the features: [{len(answer.rows)}, {rows.shape[1]}]",
            )
        return result

    if of_the_features and not _close(merged(features), answer.rows):
        raise Broken(
            "merge(features) is not the features it returned",
            question,
            "`merge` has to do to any rows what was done to the features; leave it out where that is not linear",
        )
    one, other = torch.randn(2, len(features), 7, generator=torch.Generator().manual_seed(14))
    if not _close(merged(one + other), merged(one) + merged(other)):
        raise Broken(
            "merge(a + b) is not merge(a) + merge(b)",
            question,
            "weigh the rows by what is known of the features, not by the rows that `merge` is given",
        )


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max().clamp(min=1e-30)))


def _without_class_token(trial: Trial) -> None:
    if "class_token" in trial.compressor.needs:
        raise NotTried("it needs the class token: models without one cannot run it")
    for question in ordinary():
        trial.check(replace(question, image=replace(question.image, has_cls=False)))


def _substitutes(trial: Trial) -> None:
    names = sorted(trial.compressor.substitutes)
    for missing in [*([name] for name in names), *([names] if len(names) > 1 else [])]:
        for question in ordinary()[::2]:
            trial.check(replace(question, image=without(question.image, frozenset(missing))))


def _time(trial: Trial) -> float:
    """Seconds an image: the median of five calls after a first one; if it takes long, of those that two seconds fit."""
    trial.ask(TIMED)
    features = TIMED.image.features
    taken: list[float] = []
    while len(taken) < 5 and sum(taken) < 2:
        context = TIMED.image.context(trial.compressor)
        start = time.perf_counter()
        trial.ask_with(TIMED, features, context)
        taken.append(time.perf_counter() - start)
    return median(taken)


def _selects_at_once(compressor: Compressor) -> bool:
    return isinstance(compressor, Selection)


_PROPERTIES: Sequence[Property] = (
    Property("runs", _runs),
    Property("shape-and-dtype", _aspect("shape")),
    Property("keeps-exactly-n", _aspect("count"), lambda compressor: compressor.exact),
    Property("keeps-at-most-n", _aspect("count"), lambda compressor: not compressor.exact),
    Property("distinct-indices", _aspect("indices")),
    Property("positions", _aspect("positions"), lambda compressor: not _selects_at_once(compressor)),
    Property("finite", _aspect("finite"), lambda compressor: not _selects_at_once(compressor)),
    Property("same-answer-twice", _same_answer_twice),
    Property("remembers-nothing", _remembers_nothing),
    Property("global-random-state", _global_random_state),
    Property("batch", _batch, _selects_at_once),
    Property("nested-budgets", _nested_budgets, lambda compressor: isinstance(compressor, Ranking)),
    Property("ratio-1", _ratio_1),
    Property("every-budget", _every_budget),
    Property("tiny-images", _tiny_images),
    Property("large-images", _large_images),
    Property("oblong-grids", _oblong_grids),
    Property("several-tiles", _several_tiles),
    Property(
        "repeated-rows",
        _values(
            ("every row twice", lambda features: torch.cat([features[:18], features[:18]])),
            ("three different rows", lambda features: features[torch.arange(36) % 3]),
            ("rows that differ by their length alone", lambda features: features[:1] * torch.arange(1.0, 37)[:, None]),
        ),
    ),
    Property(
        "zero-rows",
        _values(
            ("the first row zero", _zeroed(slice(1))),
            ("every second row zero", _zeroed(slice(0, 36, 2))),
            ("all rows zero but one", _zeroed(slice(1, 36))),
            ("all rows zero", _zeroed(slice(36))),
        ),
    ),
    Property("equal-rows", _values(("all rows equal", lambda features: features[:1].repeat(36, 1)))),
    Property(
        "scales",
        _values(*map(_scaled, (-20, -6, 6, 20)), ("one row of a million times the others' scale", _one_large)),
    ),
    Property("half-precision", _half_precision),
    Property("input-unchanged", _input_unchanged),
    Property("merge", _merge, lambda compressor: not _selects_at_once(compressor)),
    Property("without-class-token", _without_class_token),
    Property("substitutes", _substitutes, lambda compressor: bool(compressor.substitutes)),
    Property("device", _on_a_device),
    Property("time", _time),
)
