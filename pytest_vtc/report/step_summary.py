"""The summary of a job on GitHub Actions: the page of a run, appended to the file that $GITHUB_STEP_SUMMARY names."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_vtc.report.document_rows import Document
from pytest_vtc.report.markdown import render

VARIABLE = "GITHUB_STEP_SUMMARY"

LIMIT = 1024 * 1024
"""Bytes that GitHub shows of one step; a longer file is not shown at all."""


def append(document: Document) -> list[str]:
    """Append the page, if there is such a file. Returns a line for the person at the terminal if it could not be.

    A run is not the worse for it: nothing is raised.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return []
    path = Path(name)
    try:
        taken = path.stat().st_size if path.exists() else 0
        with path.open("a", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(("\n" if taken else "") + render(document, LIMIT - taken - 1))
    except OSError as error:
        return [f"WARNING: no summary for GitHub: cannot write {path} ({error.strerror})"]
    return []
