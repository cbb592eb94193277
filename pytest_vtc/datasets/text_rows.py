"""Reads the rows of CSV, TSV and JSONL files with their lines; the cells of CSV and TSV stay the text that they are."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from pytest_vtc.datasets.base import DatasetError

CSV_SUFFIXES = (".csv", ".tsv")
_DELIMITERS = ",;\t"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def csv_rows(path: Path) -> tuple[int, list[str], Iterator[tuple[int, dict[str, str]]]]:
    """The header of a CSV file with its line, and the rows that are not blank, with the lines on which they begin.

    UTF-8, with or without a byte order mark; commas, semicolons or tabs, whichever give the header the most columns. A
    name that is repeated in the header gets a number. Raises DatasetError with file and line, as an editor counts them.
    """
    lines = _lines(path)
    line, names = next(lines, (0, []))
    if not names:
        raise DatasetError(f"{path}: the file is empty; its first line has to name the columns: image,question,answer")
    header = _numbered(names)
    return line, header, _rows(path, lines, header)


def jsonl_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with their lines, blank ones left out. Raises DatasetError with file and line."""
    try:
        with path.open("rb") as file:
            for line, data in enumerate(file, 1):
                text = data.removeprefix(_BYTE_ORDER_MARK) if line == 1 else data
                if text.strip():
                    yield line, _object(text, f"{path}:{line}")
    except OSError as error:
        raise _unreadable(path, error) from error


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data.decode().rstrip())
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{where}: not UTF-8 text; save the file as UTF-8 (byte {error.start} of the line)"
        ) from error
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{where}: not JSON: {error.msg} (column {error.colno}); each line has to be one object"
        ) from error
    except (ValueError, RecursionError) as error:  # numbers and nesting beyond what Python reads
        raise DatasetError(f"{where}: not JSON: {error}; each line has to be one object") from error
    if not isinstance(value, dict):
        raise DatasetError(f"{where}: each line has to be one object, {{...}}, with the columns as its names")
    return cast("dict[str, Any]", value)


def _rows(
    path: Path, lines: Iterator[tuple[int, list[str]]], header: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    for line, cells in lines:
        if len(cells) != len(header):
            raise DatasetError(
                f"{path}:{line}: {len(cells)} cells where the header has {len(header)}; a cell that holds a delimiter, "
                "a quote or a line break has to be in quotes"
            )
        yield line, dict(zip(header, cells, strict=True))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that is not blank, and the line on which it begins."""
    text = _text(path)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DatasetError(f"{path}:{line}: not CSV: {error} (in a row that begins here)") from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, cells


def _numbered(names: Sequence[str]) -> list[str]:
    """The names of columns; the second and later ones of a name get a number."""
    seen: Counter[str] = Counter()
    numbered: list[str] = []
    for name in map(str.strip, names):
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return numbered


def _delimiter(text: str) -> str:
    """The one that gives the first line the most columns."""
    head = text.lstrip("\r\n").splitlines()[:1]
    return max(_DELIMITERS, key=lambda delimiter: max(map(len, csv.reader(head, delimiter=delimiter)), default=0))


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((data[: error.start] + b".").splitlines())
        raise DatasetError(
            f"{path}:{line}: not UTF-8 text; save it from the spreadsheet as CSV UTF-8 (byte {error.start})"
        ) from error


def _unreadable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"{path}: cannot read the file ({error.strerror})")
