"""ScienceQA's multiple choice as its authors, LLaVA and lmms-eval read it."""

# ruff: noqa: ARG002  # signatures are the contract's, whether or not an implementation needs all of it

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.option_letters import guessed, letters_of, verdict

_LETTERS = "ABCDE"
"""ScienceQA has no question of more options; neither its authors' code nor LLaVA's knows further letters."""
_STATED = re.compile(r"The answer is ([A-Z]).")


class ScienceqaOfficial:
    """Right if the one letter that the prediction calls the answer is; where the original would guess, the chance.

    As `get_gpt3_result` and `get_pred_idx` of ScienceQA's models/run_gpt3.py: only "The answer is B." is read, said
    exactly once. A guess is drawn from all options.
    """

    name: ClassVar[str] = "scienceqa_official"
    description: ClassVar[str] = 'ScienceQA\'s official rule: "The answer is B." or else the chance of a guess'

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        letter = _stated(prediction, options)
        return Score(float(letter in answers), letter, False) if letter else guessed(answers, options)


class ScienceqaLlava:
    """Right if the prediction is the letter, begins with it as "B. ", or says once "The answer is B.".

    As LLaVA's llava/eval/eval_science_qa.py, by which its published figures were computed: the authors' rule, but
    nothing is guessed.
    """

    name: ClassVar[str] = "scienceqa_llava"
    description: ClassVar[str] = 'LLaVA\'s rule for ScienceQA: "B", "B. ..." or "The answer is B."'

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        label = prediction[:1] if len(prediction) == 1 or prediction[1:3] == ". " else ""
        if label in tuple(_LETTERS):
            letter = label if label in letters_of(options) else ""
        else:
            letter = _stated(prediction, options)
        return Score(float(letter in answers), letter, False) if letter else Score(0.0, None, True)


class ScienceqaLmms:
    """Right if the prediction is the letter, in either case, or begins with it as "B.".

    As `sqa_process_results` of lmms-eval's tasks/scienceqa/utils.py.
    """

    name: ClassVar[str] = "scienceqa_lmms"
    description: ClassVar[str] = 'lmms-eval\'s rule for ScienceQA: "B", "b" or "B. ..."'

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        said, accepted = prediction.strip(), [answer.strip().lower() for answer in answers]
        if said.lower() not in accepted and said[:1].isupper() and said[1:2] == ".":
            said = said[0]
        return verdict(right=said.lower() in accepted, read=said.upper(), options=options)


def _stated(response: str, options: Sequence[str]) -> str:
    """The letter of an option that is called the answer, if one letter is and only once; else ""."""
    stated = _STATED.findall(response)
    return stated[0] if len(stated) == 1 and stated[0] in _LETTERS[: len(options)] else ""
