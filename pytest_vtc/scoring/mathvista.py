"""MathVista: an extracted answer is brought to the form of the expected one and compared."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pytest_vtc.scoring.base import NO_FACTS, Score
from pytest_vtc.scoring.edit_distance import edit_distance

_LETTER = re.compile(r"\(([a-zA-Z])\)")


class MathvistaNormalize:
    """Right if the answer, after `normalize_extracted_answer` of MathVista's `calculate_score.py`, is the expected one.

    Facts: `question_type` (multi_choice or free_form; without it, multi_choice if there are options), `answer_type`
    (text, integer, float, list) and `precision` (decimals of a float).

    - multi_choice: the first "(a)" of either case, or a capital alone, is that option; anything else is the option
      nearest by edit distance, and unparsed unless it is one to the letter;
    - integer: cut off after the point ("8.9" is 8); float: rounded; what is no number ("8 cm") is wrong and unparsed;
    - list, and text without options: as it stands.

    Published scores have an answer extracted by a language model first; a sentence that contains the answer is read by
    this rule only if the question has options.
    """

    name: ClassVar[str] = "mathvista_normalize"
    description: ClassVar[str] = "MathVista's normalised match of a short answer, without a judge that extracts it"

    def score(
        self, prediction: str, answers: Sequence[str], options: Sequence[str], facts: Mapping[str, str] = NO_FACTS
    ) -> Score:
        if facts.get("question_type", "multi_choice" if options else "free_form") == "multi_choice" and options:
            parsed, fallback = _option(prediction.strip(), options)
            return Score(float(parsed in answers), parsed, fallback)
        parsed = _value(prediction, facts)
        return Score(float(parsed in answers), parsed, parsed is None)


def _option(said: str, options: Sequence[str]) -> tuple[str, bool]:
    """The option that is meant, and whether it is merely the nearest one."""
    if letter := _LETTER.search(said):
        said = letter[1].upper()
    letters = string.ascii_uppercase[: len(options)]
    if len(said) == 1 and said in letters:
        return options[letters.index(said)], False
    nearest = min(options, key=lambda option: edit_distance(said, option))
    return nearest, nearest != said


def _value(said: str, facts: Mapping[str, str]) -> str | None:
    try:
        match facts.get("answer_type"):
            case "integer":
                return str(int(float(said)))
            case "float":
                return str(round(float(said), int(float(facts.get("precision", "")))))
            case _:
                return said
    except (ValueError, OverflowError):  # no number, or one that is infinite
        return None
