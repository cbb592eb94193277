"""ANLS, average normalised Levenshtein similarity: how near an answer is to the nearest accepted one."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.edit_distance import edit_distance

_THRESHOLD = 0.5
"""Less similar than this is not similar at all."""


class Anls:
    """1 - edits / length for the nearest answer, in lower case and with blanks collapsed; 0 if that is less than 0.5.

    As lmms-eval, VLMEvalKit and the script of DocVQA's authors. The length is that of the longer text in capitals as it
    was before blanks were collapsed, so needless blanks make an error cheaper.
    """

    name: ClassVar[str] = "anls"
    description: ClassVar[str] = "ANLS, the edit distance to the nearest answer: DocVQA, InfographicVQA"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = _collapsed(prediction)
        similarities = [
            _similarity(said, _collapsed(answer), max(len(prediction.upper()), len(answer.upper())))
            for answer in answers
        ]
        return Score(max(similarities, default=0.0), said, not said)


class AnlsStvqa:
    """The same with blanks inside counted and the length of what is compared: LLaVA's `STVQAANLSEvaluator`."""

    name: ClassVar[str] = "anls_stvqa"
    description: ClassVar[str] = "ANLS as scored for ST-VQA, blanks inside an answer counted"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = prediction.lower().strip()
        given = [answer.lower().strip() for answer in answers]
        similarities = [_similarity(said, answer, max(len(said), len(answer))) for answer in given]
        return Score(max(similarities, default=0.0), said, not said)


def _collapsed(text: str) -> str:
    return " ".join(text.lower().split())


def _similarity(said: str, answer: str, length: int) -> float:
    """1 - edits / length, or 0 if that is below the threshold; two empty texts are equal."""
    if not length:
        return 1.0
    if 1 - abs(len(said) - len(answer)) / length < _THRESHOLD:
        return 0.0  # at least as many edits as one is longer: a ramble is not compared with a short answer
    similarity = 1 - edit_distance(said, answer) / length
    return similarity if similarity >= _THRESHOLD else 0.0
