"""VLMEvalKit's yes or no, without a judge: HallusionBench, MME and POPE."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.vqa_text import without_punctuation_vlmevalkit


class YornVlmevalkit:
    """ "Yes" if the word is said and "no" is not, "No" if it is the other way round, else "Unknown", which is wrong.

    Words in lower case and without punctuation as `process_punctuation` removes it, wherever they stand: "not" is no
    denial, "**Yes**" and "Yes:" no word of the two. With a judge, VLMEvalKit would ask it about "Unknown".
    """

    name: ClassVar[str] = "yorn_vlmevalkit"
    description: ClassVar[str] = "VLMEvalKit's reading of yes or no: one of the two words and not the other"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said = {"yes", "no"}.intersection(without_punctuation_vlmevalkit(prediction.lower()).split())
        parsed = said.pop().capitalize() if len(said) == 1 else "Unknown"
        right = parsed in [answer.strip().capitalize() for answer in answers]
        return Score(float(right), parsed, parsed == "Unknown")
