"""The properties every compressor has to have: the table of them, and those that come first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, get_args

import torch
from torch import Tensor

from pytest_vtc.compression import CONTEXT_NAMES, SUBSTITUTED_NAMES, Compressor, Ranking, Selection, Stage, Tiles
from pytest_vtc.conformance import extremes, repeatability, surroundings
from pytest_vtc.conformance.made_up import MadeUpImage
from pytest_vtc.conformance.trial import ASPECTS, Broken, NotTried, Question, Trial, ordinary

TIMED = Question(MadeUpImage.drawn(24, 24, 1024, seed=5), 64)
"""What the time per image is of."""

SLOW = 1.0
"""Seconds per image from which on a compressor is said to be slow."""


@dataclass(frozen=True)
class Property:
    """name: as it stands in the test's id. check: see `verdict`. applies: to which compressors."""

    name: str
    check: Callable[[Trial], float | None]
    applies: Callable[[Compressor], bool] = lambda _: True

    def verdict(self, trial: Trial) -> float | None:
        """Check it, if the compressor can be run. Raises Broken or NotTried; may give the seconds an image takes."""
        if self.check is not _declaration:
            trial.check_runs()
        if self.check not in (_declaration, _runs) and not trial.runs:
            raise NotTried("it does not even run on ordinary images")
        return self.check(trial)


def properties_of(compressor: Compressor) -> list[Property]:
    """All that have a meaning for this compressor, in the order in which they are tried."""
    return [each for each in _PROPERTIES if each.applies(compressor)]


def _declaration(trial: Trial) -> None:
    compressor, cls = trial.compressor, type(trial.compressor)
    substitutes = compressor.substitutes
    known = ", ".join(sorted(CONTEXT_NAMES))
    for wrong, advice in (
        (compressor.needs - CONTEXT_NAMES, f"`needs` may name {known}"),
        (substitutes.keys() - SUBSTITUTED_NAMES, f"`substitutes` may name {known}, cls"),
        (compressor.needs & substitutes.keys(), "a part is needed or can be done without: name it in one of the two"),
        (
            {name for name, sentence in substitutes.items() if not sentence.strip()},
            "say in `substitutes` what is done instead: the sentence is shown to whoever runs it",
        ),
        ({compressor.stage} - {*get_args(Stage)}, f"`stage` is one of {', '.join(get_args(Stage))}"),
        ({compressor.tiles} - {*get_args(Tiles)}, f"`tiles` is one of {', '.join(get_args(Tiles))}"),
        (set(compressor.description.splitlines()[1:]), "`description` is one line"),
    ):
        if wrong:
            raise Broken(f"it declares {', '.join(repr(name) for name in sorted(wrong))}", f"{cls.__name__}", advice)
    again = cls(**compressor.parameters)
    if again.spec != compressor.spec or again.parameters != compressor.parameters:
        raise Broken(
            f"made anew from its parameters it is {again.spec}",
            f"{compressor.spec} with {compressor.parameters}",
            "leave fields as they are given (frozen=True): they name the cells of a run and the stored results",
        )


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


def _time(trial: Trial) -> float:
    """Seconds an image: the median of five calls after a first one; if it takes long, of those that two seconds fit."""
    trial.ask(TIMED)
    taken: list[float] = []
    while len(taken) < 5 and sum(taken) < 2:
        features, context = TIMED.image.features.clone(), TIMED.image.context(trial.compressor)

        def call(features: Tensor = features, context: dict[str, Any] = context) -> None:
            start = time.perf_counter()
            trial.compressor.compress(features, TIMED.n_target, **context)
            taken.append(time.perf_counter() - start)

        trial.guarded(TIMED, call)
    return median(taken)


def _selects_at_once(compressor: Compressor) -> bool:
    return isinstance(compressor, Selection)


_PROPERTIES: Sequence[Property] = (
    Property("declaration", _declaration),
    Property("runs", _runs),
    Property("shape-and-dtype", _aspect("shape")),
    Property("keeps-exactly-n", _aspect("count"), lambda compressor: compressor.exact),
    Property("keeps-at-most-n", _aspect("count"), lambda compressor: not compressor.exact),
    Property("distinct-indices", _aspect("indices")),
    Property("positions", _aspect("positions"), lambda compressor: not _selects_at_once(compressor)),
    Property("finite", _aspect("finite"), lambda compressor: not _selects_at_once(compressor)),
    Property("same-answer-twice", repeatability.same_answer_twice),
    Property("remembers-nothing", repeatability.remembers_nothing),
    Property("global-random-state", repeatability.global_random_state),
    Property("batch", repeatability.batch, _selects_at_once),
    Property("nested-budgets", repeatability.nested_budgets, lambda compressor: isinstance(compressor, Ranking)),
    Property("ratio-1", extremes.ratio_1),
    Property("every-budget", extremes.every_budget),
    Property("tiny-images", extremes.tiny_images),
    Property("large-images", extremes.large_images),
    Property("oblong-grids", extremes.oblong_grids),
    Property("several-tiles", extremes.several_tiles),
    Property(
        "repeated-rows",
        extremes.values(
            ("every row twice", lambda features: torch.cat([features[:18], features[:18]])),
            ("three different rows", lambda features: features[torch.arange(36) % 3]),
            ("rows that differ by their length alone", lambda features: features[:1] * torch.arange(1.0, 37)[:, None]),
        ),
    ),
    Property(
        "zero-rows",
        extremes.values(
            ("the first row zero", extremes.zeroed(slice(1))),
            ("every second row zero", extremes.zeroed(slice(0, 36, 2))),
            ("all rows zero but one", extremes.zeroed(slice(1, 36))),
            ("all rows zero", extremes.zeroed(slice(36))),
        ),
    ),
    Property("equal-rows", extremes.values(("all rows equal", lambda features: features[:1].repeat(36, 1)))),
    Property(
        "scales",
        extremes.values(
            *map(extremes.scaled, (-20, -6, 6, 20)),
            ("one row of a million times the others' scale", extremes.one_large),
        ),
    ),
    Property("half-precision", extremes.half_precision),
    Property("input-unchanged", surroundings.input_unchanged),
    Property("merge", surroundings.merge, lambda compressor: not _selects_at_once(compressor)),
    Property("without-class-token", surroundings.without_class_token),
    Property("substitutes", surroundings.substitutes, lambda compressor: bool(compressor.substitutes)),
    Property("device", surroundings.on_a_device),
    Property("time", _time),
)
