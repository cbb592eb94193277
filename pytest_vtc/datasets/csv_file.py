"""Reads a CSV file that lies beside its images, as spreadsheets write it, into samples.

The first line names the columns: `image` (or `file_name`), `question` (or `prompt`) and `answer`, and, if wanted,
`id`, `category`, `group`, and the options of a multiple-choice question as `options` or as `A`, `B`, `C` and so on;
--vtc-columns says so where they are called otherwise. Several answers, options or images stand in one cell with `||`
between them, or in columns of the same name. Paths of images are relative to the file. UTF-8, with or without a byte
order mark; commas, semicolons or tabs; cells in quotes may hold all of these, and line breaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pytest_vtc.datasets.base import OWN_STYLE, DatasetError, Sample
from pytest_vtc.datasets.manifest import Header, read_samples
from pytest_vtc.datasets.own_columns import SEPARATOR, Columns, Reader, choose
from pytest_vtc.datasets.text_rows import CSV_SUFFIXES as SUFFIXES
from pytest_vtc.datasets.text_rows import csv_rows


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
    line, header, rows = csv_rows(path)
    columns = choose(asked, header, f"{path}:{line}", scored=scoring != "none")
    samples = read_samples(path, _described(path, rows, columns), Header(scoring=scoring))
    if not samples:
        raise DatasetError(f"{path}: it has a header and no rows")
    return samples


def _described(
    path: Path, rows: Iterator[tuple[int, dict[str, str]]], columns: Columns
) -> Iterator[tuple[int, dict[str, Any]]]:
    """As rows of a manifest, with their lines."""
    reader = Reader(columns, separator=SEPARATOR)
    for number, (line, row) in enumerate(rows, 1):
        where = f"{path}:{line}"
        images = [name for column in columns.image for name in reader.values(row[column]) if name]
        if not images:
            raise DatasetError(f"{where}: the image (column {', '.join(columns.image)}) is blank")
        described = reader.question(row, where).manifest_row(images, OWN_STYLE)
        yield line, described if described["id"] else {**described, "id": str(number)}
