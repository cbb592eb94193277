"""VQA accuracy: an answer is as right as many of the people asked gave it; four rules that normalise text differently.

Answers are those of the people asked, ten in the published datasets, one entry each. Each is left out in turn, by its
position, and the prediction gets a third for every other one that equals it, 1 at most; the score is the mean: 0, 0.3,
0.6, 0.9 and 1 for none, one, two, three and more out of ten.

With fewer answers the same is done, so that two or three equal ones are worth 1/3 and 2/3. A single answer has no
others; the originals would score 0 whatever is said. There, what equals it is right.
"""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring import vqa_text
from pytest_vtc.scoring.base import NO_FACTS, Score


class VqaOfficial:
    """The VQA authors' `VQAEval.evaluate`. Where all people agree, it normalises nothing: "Yes" is not "yes" there."""

    name: ClassVar[str] = "vqa_official"
    description: ClassVar[str] = "VQA accuracy by its authors' code, which normalises where people disagree"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said, given = vqa_text.one_line(prediction), [vqa_text.one_line(answer) for answer in answers]
        if len(set(given)) > 1:
            said, given = vqa_text.official(said), [vqa_text.official(answer) for answer in given]
        return _score(said, given)


class VqaEvalAI:
    """EvalAI's processor on both sides, as lmms-eval and LLaVA score TextVQA and VizWiz."""

    name: ClassVar[str] = "vqa_evalai"
    description: ClassVar[str] = "VQA accuracy with EvalAI's normalisation: TextVQA, VizWiz, OK-VQA"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return _score(vqa_text.evalai(prediction), [vqa_text.evalai(answer) for answer in answers])


class Vqav2Lmms:
    """lmms-eval's `vqav2_process_results`: normalised on both sides, whether people agree or not."""

    name: ClassVar[str] = "vqav2_lmms"
    description: ClassVar[str] = "VQA accuracy as lmms-eval scores VQAv2, always normalised"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        normalised = [vqa_text.lmms(vqa_text.one_line(text)) for text in (prediction, *answers)]
        return _score(normalised[0], normalised[1:])


class VqaVlmevalkit:
    """VLMEvalKit's `vqa_score`: its own normalisation on both sides, which keeps a full stop after a digit."""

    name: ClassVar[str] = "vqa_vlmevalkit"
    description: ClassVar[str] = "VQA accuracy as VLMEvalKit scores TextVQA"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        return _score(vqa_text.vlmevalkit(prediction), [vqa_text.vlmevalkit(answer) for answer in answers])


def _score(said: str, given: Sequence[str]) -> Score:
    return Score(_agreement(said, given), said, not said)


_OTHERS_FOR_FULL_MARKS = 3


def _agreement(said: str, given: Sequence[str]) -> float:
    """The mean over all answers of what the prediction is worth against the others."""
    same, people = given.count(said), len(given)
    if people < 2:
        return float(same)
    without_one_of_them = min(1, (same - 1) / _OTHERS_FOR_FULL_MARKS)
    without_another = min(1, same / _OTHERS_FOR_FULL_MARKS)
    return (same * without_one_of_them + (people - same) * without_another) / people
