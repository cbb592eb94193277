"""OCRBench: the answer occurs in what is said, as the authors' script and lmms-eval look for it."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score

_FORMULAS = "HME100k"
"""The sub-dataset of handwritten formulas, compared without blanks but with case; a question's fact `dataset`."""


class OcrbenchOfficial:
    """Right if an answer occurs anywhere in the prediction, case, line breaks and blanks at the ends apart.

    Part of a word or number is enough ("57" in "157"), so long answers gain. Of the sub-dataset HME100k (the fact
    `dataset`), case counts and no blanks do.
    """

    name: ClassVar[str] = "ocrbench_official"
    description: ClassVar[str] = "OCRBench's official rule: the answer occurs in what is said"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return _score(prediction, answers, facts, _text)


class OcrbenchLmms:
    """The same with full-width letters, digits, marks and blanks read as their usual forms (formulas apart)."""

    name: ClassVar[str] = "ocrbench_lmms"
    description: ClassVar[str] = "lmms-eval's rule for OCRBench, full-width characters read as usual ones"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return _score(prediction, answers, facts, lambda text: _text(text.translate(_USUAL_WIDTH)))


_USUAL_WIDTH = {0xFEE0 + code: code for code in range(ord("!"), ord("~") + 1)} | {0x3000: ord(" ")}


def _score(prediction: str, answers: Sequence[str], facts: Mapping[str, str], normalise: Callable[[str], str]) -> Score:
    if facts.get("dataset") == _FORMULAS:
        normalise = _formula
    said = normalise(prediction)
    return Score(float(any(normalise(answer) in said for answer in answers)), said, not said)


def _text(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def _formula(text: str) -> str:
    return text.strip().replace("\n", "").replace(" ", "")
