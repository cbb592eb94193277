"""`python -m pytest_vtc export`: a results.json as CSV, LaTeX or Markdown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pytest_vtc.report import csv_table, latex, markdown
from pytest_vtc.report.json_report import SCHEMA_VERSION
from pytest_vtc.report.sheets import What, sheets
from pytest_vtc.whole_file import write_whole

Format = Literal["csv", "latex", "markdown"]


class ExportError(RuntimeError):
    """Results that cannot be read, or a file that cannot be written; the message names it and says what to do."""


def exported(source: Path, form: Format, what: What | None) -> str:
    """The text. source: a results.json or its folder. what: one kind of table; None for all in Markdown, else cells.

    Raises ExportError.
    """
    document = _read(source)
    if form == "csv":
        return csv_table.table(document, what or "cells")
    if form == "markdown" and what is None:
        return markdown.render(document)
    found = list(sheets(document, what or "cells", brief=form == "latex"))
    if not found:
        raise ExportError(f"{source} has no {what}: {_WHY_NONE[what or 'cells']}")
    return latex.page(found) if form == "latex" else markdown.page(found)


_WHY_NONE: dict[What, str] = {
    "cells": "nothing was measured",
    "categories": "its samples have none, or none with enough samples",
    "pairs": "at no ratio was more than one compressor measured on a dataset with answers",
    "shares": "they are means over several datasets with answers",
}


def save(text: str, path: Path) -> None:
    """Write the text to a file, whole or not at all. Raises ExportError."""
    try:
        write_whole(path, [text])
    except OSError as error:
        raise ExportError(f"cannot write {path} ({error.strerror}); choose another file with --output") from error


def _read(source: Path) -> dict[str, Any]:
    path = source / "results.json" if source.is_dir() else source
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = document["schema_version"]
    except OSError as error:
        raise ExportError(f"cannot read {path} ({error.strerror}); name a results.json, or its folder") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path} is no results file of pytest-vtc ({type(error).__name__}: {error})") from error
    if version != SCHEMA_VERSION:
        raise ExportError(
            f"{path} has schema version {version}, this pytest-vtc reads version {SCHEMA_VERSION}: run it again (what "
            "was measured is in the store), or export with the version that wrote it"
        )
    return document
