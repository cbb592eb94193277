"""Relaxed accuracy of ChartQA: numbers may be 5 % off."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score

_TOLERANCE = 0.05


class RelaxedAccuracy:
    """Right if prediction and answer are numbers and no more than 5 % of the answer apart, else if they are equal.

    As pix2struct, lmms-eval and VLMEvalKit. Numbers are what Python's `float` reads, and such with a % at the end,
    which are hundredths: "14%" is 0.14 and wrong for "14", "1,200" and "$8" are no numbers. An answer of 0 is compared
    as text, and so is all that is no number, without regard to case. The tolerance holds for years too.
    """

    name: ClassVar[str] = "relaxed_accuracy"
    description: ClassVar[str] = "ChartQA's relaxed accuracy: numbers within 5 %, else equal but for case"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = prediction.strip()
        return Score(float(any(_right(said, answer) for answer in answers)), said.lower(), not said)


def _right(said: str, answer: str) -> bool:
    number, target = _number(said), _number(answer)
    if number is None or not target:
        return said.lower() == answer.lower()
    return abs(number - target) / abs(target) <= _TOLERANCE


def _number(text: str) -> float | None:
    try:
        return float(text.rstrip("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        return None
