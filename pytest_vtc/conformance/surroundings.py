"""Properties: what a compressor does with the context it is given, and what it gives beside rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.compression import ClassToken, EncoderAttention
from pytest_vtc.conformance.trial import Answer, Broken, NotTried, Trial, ordinary, without

_MADE_ANEW = frozenset({"hidden", "class_token", "project", "inside", "encode"})
"""With these, rows may come from before the projector, or from another pass: no mean of the features."""


def input_unchanged(trial: Trial) -> None:
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


def merge(trial: Trial) -> None:
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
    tolerance = 1e-4 * float(other.abs().max().clamp(min=1e-30))
    return torch.allclose(one.double(), other.double(), rtol=1e-4, atol=tolerance)


def without_class_token(trial: Trial) -> None:
    if "class_token" in trial.compressor.needs:
        raise NotTried("it needs the class token: models without one cannot run it")
    for question in ordinary():
        trial.check(replace(question, image=replace(question.image, has_cls=False)))


def substitutes(trial: Trial) -> None:
    names = sorted(trial.compressor.substitutes)
    for missing in [*([name] for name in names), *([names] if len(names) > 1 else [])]:
        for question in ordinary()[::2]:
            trial.check(replace(question, image=without(question.image, frozenset(missing))))


def on_a_device(trial: Trial) -> None:
    if not torch.cuda.is_available():
        raise NotTried("there is no CUDA device here")
    device = torch.device("cuda", torch.cuda.current_device())
    for question in ordinary():
        answer = trial.check(replace(question, image=question.image.to(device)))
        if not answer.selects and answer.rows.device not in (device, torch.device("cpu")):
            raise Broken(
                f"it returned rows on {answer.rows.device}", answer.question, "stay on the device of `features`"
            )
