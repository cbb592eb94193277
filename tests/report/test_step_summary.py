"""The summary of a job on GitHub Actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_vtc.report.markdown import render
from pytest_vtc.report.step_summary import LIMIT, append
from tests.report.documents import document, rich_run

DOCUMENT = document(rich_run("probes"))


@pytest.fixture
def summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def test_the_page_is_written_to_the_file(summary: Path) -> None:
    assert append(DOCUMENT) == []
    assert summary.read_text() == render(DOCUMENT)


def test_the_page_is_appended_to_what_other_steps_have_written(summary: Path) -> None:
    summary.write_text("before\n")
    append(DOCUMENT)
    assert summary.read_text() == f"before\n\n{render(DOCUMENT)}"


def test_what_was_written_before_counts_towards_the_limit(summary: Path) -> None:
    summary.write_text("x" * (LIMIT - 2000))
    append(DOCUMENT)
    assert LIMIT - 2000 < summary.stat().st_size <= LIMIT
    assert "left out for want of room" in summary.read_text()


def test_a_full_file_is_left_as_it_is(summary: Path) -> None:
    summary.write_text("x" * LIMIT)
    (line,) = append(DOCUMENT)
    assert line.startswith(f"WARNING: no summary for GitHub: {summary} is full")
    assert summary.stat().st_size == LIMIT


def test_a_file_that_cannot_be_written_is_a_line_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert append(DOCUMENT) == [f"WARNING: no summary for GitHub: cannot write {tmp_path} (Is a directory)"]


def test_elsewhere_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert append(DOCUMENT) == []
    assert list(tmp_path.iterdir()) == []
