"""Reads a CSV file that lies beside its images, as spreadsheets write it, into samples.

The first line names the columns: `image` (or `file_name`), `question` (or `prompt`) and `answer`, and, if wanted,
`id`, `category`, `group`, and the options of a multiple-choice question as `options` or as `A`, `B`, `C` and so on;
--vtc-columns says so where they are called otherwise. Several answers, options or images stand in one cell with `||`
between them, or in columns of the same name. Paths of images are relative to the file. UTF-8, with or without a byte
order mark; commas, semicolons or tabs; cells in quotes may hold all of these, and line breaks.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytest_vtc.datasets.base import OWN_STYLE, DatasetError, Sample
from pytest_vtc.datasets.manifest import Header, read_samples
from pytest_vtc.datasets.own_columns import SEPARATOR, Columns, Reader, choose

SUFFIXES = (".csv", ".tsv")
_DELIMITERS = ",;\t"


def csv_in(folder: Path) -> Path | None:
    """The CSV file of a folder of images; None if there is none. Raises DatasetError if there are several."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:3])
        raise DatasetError(f"{folder}: several CSV files ({names}); give the path of the one that is meant")
    return found[0] if found else None


def csv_samples(path: Path, asked: Mapping[str, str], scoring: str = "auto") -> tuple[Sample, ...]:
    """The samples in a CSV file. asked: columns by role, as `own_columns.parse` reads them; empty to go by their names.

    Sees to it that the images exist. Raises DatasetError with file and line, as an editor counts them.
    """
    lines = _lines(path)
    line, header = next(lines, (0, []))
    if not header:
        raise DatasetError(f"{path}: the file is empty; its first line has to name the columns: image,question,answer")
    columns = choose(asked, header, f"{path}:{line}", scored=scoring != "none")
    samples = read_samples(path, _rows(path, lines, header, columns), Header(scoring=scoring))
    if not samples:
        raise DatasetError(f"{path}: it has a header and no rows")
    return samples


def _rows(
    path: Path, lines: Iterator[tuple[int, list[str]]], header: Sequence[str], columns: Columns
) -> Iterator[tuple[int, dict[str, Any]]]:
    """As rows of a manifest, with their lines."""
    reader = Reader(columns, separator=SEPARATOR)
    for number, (line, cells) in enumerate(lines, 1):
        where = f"{path}:{line}"
        if len(cells) != len(header):
            raise DatasetError(
                f"{where}: {len(cells)} cells where the header has {len(header)}; a cell that holds a delimiter, a "
                "quote or a line break has to be in quotes"
            )
        row = dict(zip(header, cells, strict=True))
        images = [name for column in columns.image for name in reader.values(row[column]) if name]
        if not images:
            raise DatasetError(f"{where}: the image (column {', '.join(columns.image)}) is blank")
        described = reader.question(row, where).manifest_row(images, OWN_STYLE)
        yield line, described if described["id"] else {**described, "id": str(number)}


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each row that is not blank, and the line on which it begins; in the first, no name is repeated."""
    text = _text(path)
    delimiter = "\t" if path.suffix.lower() == ".tsv" else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = True
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DatasetError(f"{path}:{line}: not CSV: {error} (in a row that begins here)") from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield line, _numbered(cells) if first else cells
            first = False


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
        raise DatasetError(f"{path}: cannot read the file ({error.strerror})") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(data[: error.start].splitlines()) or 1
        raise DatasetError(
            f"{path}:{line}: not UTF-8 text; save it from the spreadsheet as CSV UTF-8 (byte {error.start})"
        ) from error
