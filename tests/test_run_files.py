"""Files of a run are read back as they were written, and what is wrong with them is said with its place."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.report.json_report import write
from pytest_vtc.results import Results
from pytest_vtc.run_files import RunFilesError, read_run
from tests.run_of import HALF, STOCK, measured, run_of


def a_run() -> Results:
    scores = {STOCK: [1.0, 1.0, 0.0], HALF: [1.0, 0.0, 0.0]}
    rows = [measured(cell, i, values[i]) for i in range(3) for cell, values in scores.items()]
    return run_of(scores, measurements=rows)


def in_files(results: Results, folder: Path) -> Path:
    write(results, analyse(results), [], folder)
    return folder


def edit(folder: Path, change: Callable[[dict], object]) -> None:
    path = folder / "results.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return in_files(a_run(), tmp_path / "mine")


def test_what_was_written_is_read_back(folder: Path) -> None:
    run = read_run(folder)
    assert list(run.measurements()) == list(a_run().measurements)
    assert (run.name, list(run.cells.values())) == ("mine", [STOCK, HALF])


def test_a_folder_and_its_results_file_are_the_same_run(folder: Path) -> None:
    assert read_run(folder / "results.json").by_cell() == read_run(folder).by_cell()


def test_the_order_of_the_lines_does_not_matter(folder: Path) -> None:
    straight = read_run(folder).by_cell()
    lines = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
    random.Random(3).shuffle(lines)
    (folder / "samples.jsonl").write_text("".join(lines))
    assert read_run(folder).by_cell() == straight


def test_only_the_cells_asked_for_are_kept(folder: Path) -> None:
    assert list(read_run(folder).by_cell({HALF})) == [HALF]


def test_what_is_not_there_is_named(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFilesError, match=r"empty holds no results\.json"):
        read_run(tmp_path / "empty")
    with pytest.raises(RunFilesError, match=r"no file or folder .*gone\.json; give a results\.json"):
        read_run(tmp_path / "gone.json")
    (folder / "samples.jsonl").unlink()
    with pytest.raises(RunFilesError, match=r"cannot read .*samples\.jsonl .*copy both"):
        read_run(folder).by_cell()


def test_files_of_another_schema_are_refused_with_the_versions(folder: Path) -> None:
    edit(folder, lambda d: d.update(schema_version=3))
    with pytest.raises(RunFilesError, match=r"written by pytest-vtc 0\.1\.0 in schema version 3; .* reads schema v"):
        read_run(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"results\.json:1 is not valid JSON"),
        ("[]", r"is no results file of pytest-vtc"),
        ('{"schema_version": 5, "manifest": {"pytest_vtc": "0.1.0"}}', "does not follow the schema"),
    ],
)
def test_a_results_file_that_is_none_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "results.json").write_text(text)
    with pytest.raises(RunFilesError, match=message):
        read_run(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda line: line[:20], r"samples\.jsonl:2 cannot be read \(JSONDecodeError"),
        (lambda _: "{}\n", r"samples\.jsonl:2 cannot be read \(KeyError"),
        (lambda line: line.replace("stock", "fps@0.5").replace("divprune", "fps"), "results.json has no cell"),
        (lambda line: line.replace('"score": 1.0', '"score": "1"'), r":2 cannot be read .*of the wrong kind"),
        (lambda _: "", r"holds 2 measurements of tiny/probes/divprune@0\.5, results\.json counts 3"),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(folder: Path, change: Callable[[str], str], message: str) -> None:
    path = folder / "samples.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[1] = change(lines[1])
    path.write_text("".join(lines))
    with pytest.raises(RunFilesError, match=message):
        read_run(folder).by_cell()


def test_a_case_that_is_there_twice_is_refused(folder: Path) -> None:
    path = folder / "samples.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[0]
    path.write_text("".join(lines))
    with pytest.raises(RunFilesError, match="holds tiny/probes/stock/s000 twice"):
        read_run(folder).by_cell()
