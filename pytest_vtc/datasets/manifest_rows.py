"""Makes samples of the rows of a manifest, and keeps once what many of them have in common. `manifest`: the format."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from pytest_vtc.datasets.base import DatasetError, ImageSource, Sample
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.datasets.row_values import PEOPLE
from pytest_vtc.scoring import NO_FACTS
from pytest_vtc.scoring.answerable import unanswerable

MAX_OPTIONS = 26
RULES_OF_PEOPLE = frozenset({"vqa_official", "vqa_evalai", "vqav2_lmms", "vqa_vlmevalkit"})
"""Rules whose answers are those of several people, of whom one may have said nothing."""

_Value = TypeVar("_Value", str, tuple[str, ...])


class RowError(ValueError):
    """What is wrong with one row; whoever reads the file adds which line."""


def read_sample(
    row: Mapping[str, Any], shared: SharedValues, line: int, scoring: str, own_style: str, asked_style: str | None
) -> Sample:
    """The sample that a row describes. own_style: what the style of its `prompt` is called. Raises RowError."""
    names = _image_names(row)
    answers = _answers(row, scoring)
    options = tuple(_text(row, "options", item) for item in _list(row, "options"))
    if len(options) > MAX_OPTIONS:
        raise RowError(f'"options" has {len(options)} entries; there are letters for {MAX_OPTIONS}')
    if scoring != "none" and (reason := unanswerable(scoring, answers, options)) is not None:
        raise RowError(reason)
    return Sample(
        id=_id(row),
        images=shared.images(names, line),
        prompt=_prompt(row, own_style, asked_style),
        answers=shared.one(answers),
        options=shared.one(options),
        category=shared.one(optional_text(row, "category") or ""),
        group=shared.one(_group(row, names[0])),
        facts=shared.facts(object_of_strings(row, "facts")),
    )


def _group(row: Mapping[str, Any], first_image: str) -> str:
    group = optional_text(row, "group")
    return posixpath.normpath(first_image) if group is None else group


def _required(row: Mapping[str, Any], key: str) -> Any:
    if row.get(key) is None:
        have = ", ".join(row) or "nothing"
        raise RowError(f'the field "{key}" is missing (found: {have})')
    return row[key]


def _id(row: Mapping[str, Any]) -> str:
    value = _required(row, "id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = _text(row, "id", value)
    if not text.strip() or not text.isprintable():
        raise RowError(f'"id" is {text!r}; it must be printable and not blank, since it names a test')
    return text


def _image_names(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row.get("images") is None:
        names = (_text(row, "image", _required(row, "image")),)
    elif row.get("image") is not None:
        raise RowError('give "image" or "images", not both')
    else:
        names = tuple(_text(row, "images", item) for item in _list(row, "images"))
    if not names or not all(names):
        raise RowError("a sample needs at least one image, and a path for each")
    return names


def _answers(row: Mapping[str, Any], scoring: str) -> tuple[str, ...]:
    if row.get("answer") is None and scoring == "none":
        return ()
    value = _required(row, "answer")
    answers = tuple(_answer(item) for item in (cast("list[Any]", value) if isinstance(value, list) else [value]))
    if not answers:
        raise RowError('"answer" is an empty list; give at least one, or a header with "scoring": "none"')
    blank = sum(not answer.strip() for answer in answers)
    # Where ten people have said nothing, an unanswerable question is published.
    if blank and (scoring not in RULES_OF_PEOPLE or blank == len(answers) < PEOPLE):
        raise RowError('"answer" is blank; nothing could ever match it')
    return answers


def _answer(value: Any) -> str:
    if isinstance(value, bool):
        raise RowError(f'"answer" is {str(value).lower()}; write the word the model should say, "yes" for example')
    if isinstance(value, (int, float)):
        if not math.isfinite(value):
            raise RowError(f'"answer" is {value}; it must be finite')
        return str(int(value)) if value == int(value) else repr(value)
    return _text({"answer": value}, "answer", value)


def _prompt(row: Mapping[str, Any], own_style: str, style: str | None) -> str:
    prompt = _text(row, "prompt", _required(row, "prompt"))
    if style is None or style == own_style:
        return prompt
    others = object_of_strings(row, "prompts")
    if style not in others:
        known = ", ".join([own_style, *others])
        raise RowError(f"there is no prompt of the style {style!r}; known here: {known}")
    return others[style]


def object_of_strings(row: Mapping[str, Any], key: str) -> Mapping[str, str]:
    """The object of strings in a field; an empty one if there is none. Raises RowError."""
    value = row.get(key)
    if not value and (value is None or isinstance(value, dict)):
        return NO_FACTS
    if not isinstance(value, dict):
        raise RowError(f'"{key}" must be an object of strings, not {kind(value)}')
    return {_text(row, key, name): _text(row, key, text) for name, text in cast("dict[Any, Any]", value).items()}


def optional_text(row: Mapping[str, Any], key: str) -> str | None:
    """The string in a field. Raises RowError if it holds something else."""
    return None if row.get(key) is None else _text(row, key, row[key])


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowError(f'"{key}" must be a list, not {kind(value)}')
    return cast("list[Any]", value)


def _text(row: Mapping[str, Any], key: str, value: Any) -> str:
    if not isinstance(value, str):
        where = f'an entry of "{key}"' if isinstance(row.get(key), list | dict) else f'"{key}"'
        raise RowError(f"{where} must be a string, not {kind(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError(f'"{key}" holds half of a surrogate pair, which is not text') from error
    return value


def kind(value: object) -> str:
    """What JSON calls a value, for a message."""
    kinds: dict[type, str] = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "null")


class SharedValues:
    """What many rows have in common, kept once: their images, with the line where each is first named, and values.

    A hundred thousand questions ask about ten thousand images, in a few dozen categories, and most say yes or no.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._images: dict[tuple[str, ...], tuple[ImageFile, ...]] = {}
        self._lines: dict[str, int] = {}
        self._files: dict[str, ImageFile] = {}
        self._values: dict[Any, Any] = {}

    def images(self, names: tuple[str, ...], line: int) -> tuple[ImageSource, ...]:
        if (known := self._images.get(names)) is not None:
            return known
        for name in names:
            if name not in self._files:
                self._files[name], self._lines[name] = ImageFile(self._folder / name), line
        return self._images.setdefault(names, tuple(self._files[name] for name in names))

    def one(self, value: _Value) -> _Value:
        """The value itself, or the equal one that was there before."""
        return self._values.setdefault(value, value)

    def facts(self, facts: Mapping[str, str]) -> Mapping[str, str]:
        if not facts:
            return NO_FACTS
        return self._values.setdefault(tuple(facts.items()), {self.one(name): self.one(v) for name, v in facts.items()})

    def check(self, manifest: Path) -> None:
        """Raise DatasetError if any image is not there, naming the first few."""
        missing = [name for name, file in self._files.items() if not _is_file(file.path)]
        if missing:
            shown = "; ".join(
                f"{manifest}:{self._lines[name]}: no image at {self._files[name]}" for name in missing[:3]
            )
            more = f"; and {len(missing) - 3:,} more" if len(missing) > 3 else ""
            raise DatasetError(f"{shown}{more} (paths are relative to the folder of {manifest.name})")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null byte: no such file can be there
        return False


def neighbours(samples: Iterable[Sample]) -> Iterable[Sample]:
    """The samples group by group: groups in order of their first sample, samples of a group in their order."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    return (sample for group in groups.values() for sample in group)
