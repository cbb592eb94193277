"""Reads the options and answers of multiple-choice rows, however a revision writes them; wordings of their prompts."""

from __future__ import annotations

import math
import string
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_vtc.datasets.base import DatasetError

LETTER_PROMPT = "Answer with the option's letter from the given choices directly."
"""How LLaVA and lmms-eval ask for a letter."""


def present(value: Any) -> str | None:
    """The text of a cell that may be empty: None for null, a blank, NaN, and the "nan" that tables make of it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value)
    return None if text.strip() in ("", "nan") else text


def options_in(row: Mapping[str, Any], columns: Sequence[str], where: str) -> list[str]:
    """The options of a row that has a column for each. Empty ones at the end are none; others are "nan".

    Raises DatasetError, beginning with `where`, if there are fewer than two.
    """
    cells = [present(row[column]) for column in columns]
    while cells and cells[-1] is None:
        cells.pop()
    if len(cells) < 2:
        shown = {column: row[column] for column in columns}
        raise DatasetError(f"{where}: expected two options or more in {', '.join(columns)}, found {shown}")
    return ["nan" if cell is None else cell for cell in cells]


def letter(value: Any, options: Sequence[str], where: str) -> str:
    """The letter of the right option. Raises DatasetError, beginning with `where`, if it is none of `options`."""
    said = str(value).strip().upper()
    if len(said) != 1 or said not in string.ascii_uppercase[: len(options)]:
        raise DatasetError(f"{where}: the answer is {value!r}, not the letter of one of {len(options)} options")
    return said


def letter_at(value: Any, options: Sequence[str], where: str) -> str:
    """The letter of the right option, given as its index from 0 (a number, or a string of one), or as itself.

    Raises DatasetError, beginning with `where`, if it is none of `options`.
    """
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not text.isdecimal():
        return letter(value, options, where)
    if int(text) >= len(options):
        raise DatasetError(f"{where}: the answer is {value!r}, not the index of one of {len(options)} options, from 0")
    return string.ascii_uppercase[int(text)]


def lettered(options: Sequence[str]) -> str:
    """The options of a multiple-choice question as lines: `A. first`, `B. second` and so on."""
    return "\n".join(f"{chr(ord('A') + place)}. {option}" for place, option in enumerate(options))


def lines_of(options: Sequence[str]) -> str:
    """A line for each option: `A. first`, `B. second`. One that is empty leaves its letter out.

    So lmms-eval does for MMBench, and VLMEvalKit for all.
    """
    return "\n".join(
        f"{named}. {option}"
        for named, option in zip(string.ascii_uppercase, options, strict=False)
        if present(option) is not None
    )


def letter_prompt(question: str, options: Sequence[str]) -> str:
    """As LLaVA and lmms-eval ask: the question, a line for each option, empty or not, and for the letter."""
    return f"{question}\n{lettered(options)}\n{LETTER_PROMPT}"


def vlmevalkit_prompt(question: str, options: Sequence[str], hint: str | None = None) -> str:
    """As VLMEvalKit asks models that have no prompts of their own there, with the blank and the new line at its end."""
    hinted = "" if hint is None else f"Hint: {hint}\n"
    return (
        f"{hinted}Question: {question}\nOptions:\n{lines_of(options)}\n"
        "Please select the correct answer from the options above. \n"
    )
