"""Reads the values in rows of published tables, however one revision or another writes them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, cast

from pytest_vtc.datasets.base import DatasetError

PEOPLE = 10
"""How many people answered each question of VQAv2, TextVQA and VizWiz; VQA accuracy counts on it."""

_ROW = re.compile(r"row (\d+)$")


def text(row: Mapping[str, Any], column: str, where: str, *, may_be_blank: bool = False) -> str:
    """A string or a number, as a string. Raises DatasetError, beginning with `where`, if there is no such thing."""
    value = row[column]
    if not _is_text(value) or not (may_be_blank or str(value).strip()):
        raise DatasetError(f"{where}: {column} is {value!r}, which is no text")
    return str(value)


def texts(row: Mapping[str, Any], column: str, where: str) -> list[str]:
    """A list of strings or numbers, as strings; a single one, and a list that Python would write so, are read as well.

    None is read as a list without entries. Raises DatasetError, beginning with `where`, for anything else.
    """
    found = _listed(row[column])
    entries = cast("list[Any]", found) if isinstance(found, list) else [found]
    for entry in entries:
        if not _is_text(entry):
            raise DatasetError(f"{where}: {column} should be a list of strings, but holds {entry!r}")
    return [str(entry) for entry in entries]


def expected(row: Mapping[str, Any], column: str, where: str) -> list[str]:
    """The answers of a question: `texts` without blank ones, of which one must be left."""
    found = [answer for answer in texts(row, column, where) if answer.strip()]
    if not found:
        raise DatasetError(f"{where}: it has no answer ({column} is {row[column]!r}); those of test splits are hidden")
    return found


def answers_of_people(row: Mapping[str, Any], column: str, where: str) -> list[str]:
    """Ten answers: strings, or objects whose "answer" is one. A blank one is an answer, too.

    Raises DatasetError, beginning with `where`, if they are not ten.
    """
    found = _listed(row[column])
    if isinstance(found, Mapping):
        # An object of lists: so `datasets` writes a `Sequence` of objects.
        found = cast("Mapping[str, Any]", found).get("answer")
    if not isinstance(found, list) or not found:
        raise DatasetError(f"{where}: it has no answers ({column} is {row[column]!r}); those of test splits are hidden")
    answers: list[str] = []
    for entry in cast("list[Any]", found):
        answer = cast("Mapping[str, Any]", entry).get("answer") if isinstance(entry, Mapping) else entry
        if not _is_text(answer):
            raise DatasetError(f"{where}: one of the answers is {entry!r}, which holds no text")
        answers.append(str(answer))
    if len(answers) != PEOPLE:
        raise DatasetError(f"{where}: it has {len(answers)} answers, where {PEOPLE} people gave one each")
    return answers


def row_number(where: str) -> int:
    """The number of a row, from 1, in a table whose rows have no ids of their own. where: as in errors."""
    found = _ROW.search(where)
    if found is None:
        raise DatasetError(f"{where}: no number of a row stands at its end, and its rows have no other name")
    return int(found[1])


def _is_text(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _listed(value: Any) -> Any:
    """The list that a string spells, if it does; otherwise the value as it is, None as a list without entries."""
    if value is None:
        return []
    if not isinstance(value, str) or not value.lstrip().startswith("["):
        return value
    try:
        spelt = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return value
    return spelt if isinstance(spelt, list) else value
