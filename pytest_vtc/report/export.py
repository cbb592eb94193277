"""`python -m pytest_vtc export`: a results.json as CSV, LaTeX or Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pytest_vtc.report import csv_table, latex, markdown
from pytest_vtc.report.sheets import What, sheets
from pytest_vtc.run_files import read_run
from pytest_vtc.whole_file import write_whole

Format = Literal["csv", "latex", "markdown"]


class ExportError(RuntimeError):
    """Tables that a run does not have, or a file that cannot be written; the message says why."""


def exported(source: Path, form: Format, what: What | None) -> str:
    """The text. source: a results.json or its folder. what: one kind of table; None for all in Markdown, else cells.

    Raises RunFilesError or ExportError.
    """
    document = read_run(source).document
    if form == "csv":
        return csv_table.table(document, what or "cells")
    if form == "markdown" and what is None:
        return markdown.render(document)
    found = list(sheets(document, what or "cells", brief=form == "latex"))
    if not found:
        raise ExportError(f"{source} has no {_NONE[what or 'cells']}")
    return latex.page(found) if form == "latex" else markdown.page(found)


_NONE: dict[What, str] = {
    "cells": "cells: nothing was measured",
    "published": "published figures: its datasets have no metric of their own, or nothing of them was scored",
    "categories": "categories: its samples have none, or none with enough samples",
    "pairs": "pairs: at no ratio was more than one compressor measured on a dataset with answers",
    "shares": "shares: they are means over several datasets with answers",
}


def save(text: str, path: Path) -> None:
    """Write the text to a file, whole or not at all. Raises ExportError."""
    try:
        write_whole(path, [text])
    except OSError as error:
        raise ExportError(f"cannot write {path} ({error.strerror}); choose another file with --output") from error
