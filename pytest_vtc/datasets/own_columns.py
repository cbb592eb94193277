"""Reads questions from tables of a person's own: which column is what, and what its cells may hold.

A role is given one column or several, `image=photo,question=text,answer=a1+a2`; the roles are

    image      the image, or several in the order in which the model sees them
    question   what is asked; options are put below it, with the request for a letter
    prompt     instead of `question`: what the model is asked, exactly
    answer     every accepted answer; with options the letter, the text, or (not in CSV) the number counted from 0
    options    the texts of a multiple-choice question, A first
    category, id, group   as in a manifest; the row's number and the image if missing
"""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pytest_vtc.datasets.base import OWN_STYLE, DatasetError
from pytest_vtc.datasets.choices import lettered
from pytest_vtc.datasets.hub_dataset import Question
from pytest_vtc.datasets.manifest_rows import MAX_OPTIONS

LETTER_PROMPT = "Answer with the option's letter from the given choices directly."
SEPARATOR = "||"
"""Divides several values in one cell of text."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "images", "file_name", "img", "picture", "photo", "decoded_image", "image_path"),
    "question": ("question", "query", "problem", "instruction"),
    "prompt": ("prompt",),
    "answer": ("answer", "answers", "label", "labels", "gt_answer", "ground_truth", "target", "solution"),
    "options": ("options", "choices"),
    "category": ("category", "type", "question_type", "subject", "topic", "task"),
    "id": ("id", "question_id", "questionid", "qid", "uid", "index", "pid"),
    "group": ("group", "image_id", "imageid"),
}
"""By role, names under which tables have it, the most telling first."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Columns:
    """Which columns of a table are what; see the module's description. exact: the question is a prompt."""

    image: tuple[str, ...]
    question: str
    exact: bool
    answer: tuple[str, ...]
    options: tuple[str, ...] = ()
    category: str | None = None
    id: str | None = None
    group: str | None = None

    @property
    def text(self) -> list[str]:
        """All but the images, each once."""
        single = (name for name in (self.question, self.category, self.id, self.group) if name is not None)
        return list(dict.fromkeys([*single, *self.answer, *self.options]))

    def __str__(self) -> str:
        roles = {
            "image": self.image, "prompt" if self.exact else "question": (self.question,), "answer": self.answer,
            "options": self.options, "category": (self.category,), "id": (self.id,), "group": (self.group,),
        }  # fmt: skip
        given = {role: [name for name in names if name is not None] for role, names in roles.items()}
        return ",".join(f"{role}={'+'.join(names)}" for role, names in given.items() if names)


def parse(text: str) -> dict[str, str]:
    """Read `image=a+b,question=c`, by role. Raises DatasetError."""
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, names = (each.strip() for each in part.partition("="))
        if not equals or not names or role not in _NAMES:
            raise DatasetError(
                f"--vtc-columns: {part!r} is no role and its column; write image=...,question=...,answer=..., and, if "
                f"there are such columns, {', '.join(f'{each}=...' for each in list(_NAMES)[4:])}"
            )
        if role in found:
            raise DatasetError(
                f"--vtc-columns: {role} is given twice; several columns of a role are joined: {role}=a+b"
            )
        found[role] = names
    if "question" in found and "prompt" in found:
        raise DatasetError("--vtc-columns: question and prompt exclude each other; a prompt is used exactly as it is")
    return found


def choose(asked: Mapping[str, str], have: Sequence[str], place: str, scored: bool = True) -> Columns:
    """The columns that were asked for, or, where nothing was, those whose names say what they are.

    have: the table's. place: how to name the table. scored: it needs answers. Raises DatasetError listing the columns.
    """
    roles = {role: _named(names, have, role, place) for role, names in asked.items()} or _guessed(have)
    if "prompt" in roles and "question" not in asked:
        roles.pop("question", None)
    question = roles.get("question") or roles.get("prompt")
    missing = [name for name, found in (("image", roles.get("image")), ("question", question)) if not found]
    if scored and not roles.get("answer"):
        missing.append("answer")
    if missing:
        said = "is not given" if asked else "is not recognised"
        raise DatasetError(
            f"{place}: the column of {' and of '.join(missing)} {said}; name it by --vtc-columns "
            f"{','.join(f'{role}=...' for role in ('image', 'question', 'answer'))}; the columns are {', '.join(have)}"
        )
    assert question is not None
    single = {role: names[0] for role, names in roles.items() if role in ("category", "id", "group")}
    options = tuple(roles.get("options", ()))
    return Columns(
        tuple(roles["image"]), question[0], "prompt" in roles, tuple(roles.get("answer", ())), options, **single
    )


def _named(names: str, have: Sequence[str], role: str, place: str) -> list[str]:
    found = [names] if names in have else [name.strip() for name in names.split("+")]
    if absent := [name for name in found if name not in have]:
        raise DatasetError(f"{place}: no column {absent[0]!r} for {role}; the columns are {', '.join(have)}")
    if len(found) > 1 and role not in ("image", "answer", "options"):
        raise DatasetError(f"{place}: {role} takes one column, not {', '.join(found)}")
    return found


def _guessed(have: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    by_name: dict[str, list[str]] = {}
    for column in have:
        by_name.setdefault(_plain(column), []).append(column)
    for role, names in _NAMES.items():
        if (name := next((name for name in names if name in by_name), None)) is not None:
            found[role] = by_name[name] if role in ("image", "answer", "options") else by_name[name][:1]
    letters = list(itertools.takewhile(lambda letter: letter in have, _LETTERS))
    if "options" not in found and len(letters) > 1:
        found["options"] = letters
    return found


def _plain(column: str) -> str:
    """Without case and number: several columns of one role are called `image_1`, `image_2`, or are repeated."""
    return re.sub(r"[_ #]?\d+$", "", column.strip().lower())


@dataclass(frozen=True)
class Reader:
    """Makes a question of a row. names: what the numbers of a column stand for, if they are classes.

    separator: what divides several values in a cell of text, None if cells hold lists where there are several.
    """

    columns: Columns
    names: Callable[[str], Sequence[str]] = lambda _: ()
    separator: str | None = None

    def question(self, row: Mapping[str, Any], where: str) -> Question:
        """Its id is blank if no column has it. Raises DatasetError beginning with `where`."""
        columns = self.columns
        options = self._options(row, where)
        text = self._text(row, columns.question, where)
        if text is None or not text.strip():
            raise DatasetError(f"{where}: the question (column {columns.question}) is blank")
        if options and not columns.exact:
            text = f"{text}\n{lettered(options)}\n{LETTER_PROMPT}"
        said = None if columns.id is None else self._text(row, columns.id, where)
        if said is not None and (not said.strip() or not said.isprintable()):
            raise DatasetError(f"{where}: the id {said!r} must be printable and not blank, since it names a test")
        return Question(
            id=said or "",
            prompts={OWN_STYLE: text},
            answers=self._answers(row, options, where),
            options=options,
            category=self._optional(row, columns.category, where),
            group=self._optional(row, columns.group, where) or None,
        )

    def values(self, cell: Any) -> list[Any]:
        """What a cell holds: one value, a list, or values with a separator between them; nothing for null and NaN."""
        if _is_null(cell):
            return []
        if isinstance(cell, (list, tuple)):
            return [value for value in cast("list[Any]", cell) if not _is_null(value)]
        if isinstance(cell, str) and self.separator is not None:
            return [part.strip() for part in cell.split(self.separator)]
        return [cell]

    def _answers(self, row: Mapping[str, Any], options: Sequence[str], where: str) -> list[str]:
        found: list[str] = []
        for column in self.columns.answer:
            names = self.names(column)
            for value in self.values(row[column]):
                if isinstance(value, dict):  # as the VQA datasets have it, with how sure the person was
                    value = cast("dict[str, Any]", value).get("answer")
                if names and isinstance(value, int) and 0 <= value < len(names):
                    value = names[value]
                if _is_null(value):
                    continue
                text = _as_text(value, where, column)
                if text.strip():
                    found.append(self._letter(value, text, options, where))
        if self.columns.answer and not found:
            raise DatasetError(f"{where}: the answer (column {', '.join(self.columns.answer)}) is blank")
        return found

    def _letter(self, value: Any, text: str, options: Sequence[str], where: str) -> str:
        """With options the letter of the right one; the answer itself without."""
        if not options:
            return text
        letters, text = _LETTERS[: len(options)], text.strip()
        named = [place for place, option in enumerate(options) if option.strip() == text]
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number or (self.separator is None and text.isdecimal() and not named):
            if named and named != [int(text)]:
                raise DatasetError(
                    f"{where}: the answer {text} is the text of one option and, counted from 0, the number of another; "
                    "give the letter"
                )
            if not 0 <= int(text) < len(options):
                raise DatasetError(f"{where}: the answer is {text}; options are counted from 0 to {len(options) - 1}")
            return letters[int(text)]
        if len(bare := text.strip("().")) == 1 and bare in letters:
            if named and named != [letters.index(bare)]:
                raise DatasetError(
                    f"{where}: the answer {text!r} is the letter of one option and the text of another; write (A), (B) "
                    "and so on, in brackets, for the letter of the right one"
                )
            return bare
        if named:
            return letters[named[0]]
        raise DatasetError(
            f"{where}: the answer {text!r} is neither a letter up to {letters[-1]} nor the text of an option"
        )

    def _options(self, row: Mapping[str, Any], where: str) -> list[str]:
        values: list[Any] = []
        for column in self.columns.options:
            cell = row[column]
            if isinstance(cell, dict):  # {"text": [...], "label": [...]}
                cell = cast("dict[str, Any]", cell).get("text")
            listed = _literal(cell) or cell
            # With the nulls between them: an option that is left out would give those behind it other letters.
            values += cast("list[Any]", listed) if isinstance(listed, (list, tuple)) else self.values(listed) or [None]
        column = ", ".join(self.columns.options)
        texts = ["" if _is_null(value) else _as_text(value, where, column) for value in values]
        while texts and not texts[-1].strip():
            texts.pop()
        if len(texts) > MAX_OPTIONS:
            raise DatasetError(f"{where}: {len(texts)} options; there are letters for {MAX_OPTIONS}")
        if not all(text.strip() for text in texts):
            raise DatasetError(f"{where}: an option is blank, and one after it is not")
        return texts

    def _optional(self, row: Mapping[str, Any], column: str | None, where: str) -> str:
        return "" if column is None else self._text(row, column, where) or ""

    def _text(self, row: Mapping[str, Any], column: str, where: str) -> str | None:
        value, names = row[column], self.names(column)
        if names and isinstance(value, int) and 0 <= value < len(names):
            return names[value]
        if _is_null(value):
            return None
        text = _as_text(value, where, column)
        # Many write a blank behind the comma in CSV; a prompt is exactly what stands there.
        is_prompt = self.columns.exact and column == self.columns.question
        return text if self.separator is None or is_prompt else text.strip()


def _is_null(value: Any) -> bool:
    """Of the words None, nan and null none is: a person may have asked for them."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def _as_text(value: Any, where: str, column: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)) and math.isfinite(value):
        return str(int(value)) if value == int(value) else repr(value)
    raise DatasetError(f"{where}: column {column} holds {str(value)[:60]!r}, which is neither text nor a number")


def _literal(cell: Any) -> list[Any]:
    """A list that is written as Python or JSON writes it."""
    if not isinstance(cell, str) or not cell.lstrip().startswith("["):
        return []
    try:
        value = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return []
    return cast("list[Any]", value) if isinstance(value, list) else []
