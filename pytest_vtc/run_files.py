"""Reads what a run wrote, results.json and the samples.jsonl beside it, and says where something is wrong with them."""

from __future__ import annotations

import importlib.metadata
import json
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_vtc.cells import CaseError, Cell, Measurement
from pytest_vtc.manifest_fields import Manifest
from pytest_vtc.report.json_report import SCHEMA_VERSION, measurement_of

RESULTS, SAMPLES = "results.json", "samples.jsonl"


class RunFilesError(ValueError):
    """Files of a run that are missing or cannot be read; the message names file and line and says what to do."""


@dataclass(frozen=True)
class RunFiles:
    """A run on disk. path: its results.json; document: the content of that file."""

    path: Path
    document: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def name(self) -> str:
        """The folder's name, which says more than that of the file."""
        return self.path.resolve().parent.name

    @property
    def manifest(self) -> Manifest:
        return self.document["manifest"]

    @cached_property
    def cells(self) -> dict[str, Cell]:
        """By id, in the order of the run."""
        return {c["id"]: Cell(c["model"], c["dataset"], c["compressor"], c["ratio"]) for c in self.document["cells"]}

    def errors(self) -> list[CaseError]:
        """The cases that could not be measured."""
        return [CaseError(self.cells[e["cell"]], e["sample"], e["message"]) for e in self.document["errors"]]

    def measurements(self) -> Iterator[Measurement]:
        """The lines of samples.jsonl, as they are read. Raises RunFilesError."""
        path = self.folder / SAMPLES
        seen: Counter[str] = Counter()
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        measurement = _measurement(line, self.cells)
                    except (ValueError, KeyError, TypeError) as error:
                        raise RunFilesError(
                            f"{path}:{number} cannot be read ({type(error).__name__}: {error}); {_AGAIN}"
                        ) from error
                    seen[measurement.cell.id] += 1
                    yield measurement
        except OSError as error:
            raise RunFilesError(
                f"cannot read {path} ({error.strerror}); it belongs beside {RESULTS}: copy both, or run again"
            ) from error
        for cell in self.document["cells"]:
            if seen[cell["id"]] != cell["n_measured"]:
                raise RunFilesError(
                    f"{path} holds {seen[cell['id']]:,} measurements of {cell['id']}, {RESULTS} counts "
                    f"{cell['n_measured']:,}: the two are of different runs, or one is cut off; {_AGAIN}"
                )

    def by_cell(self, wanted: Collection[Cell] | None = None) -> dict[Cell, dict[str, Measurement]]:
        """The measurements by cell and sample id, in run order whatever the order of the lines. Raises RunFilesError.

        wanted: the cells to keep; all if None.
        """
        found: dict[Cell, dict[str, Measurement]] = {
            cell: {} for cell in self.cells.values() if wanted is None or cell in wanted
        }
        rows = [measurement for measurement in self.measurements() if measurement.cell in found]
        for measurement in sorted(rows, key=lambda m: (m.order, m.sample)):
            of_cell = found[measurement.cell]
            if measurement.sample in of_cell:
                raise RunFilesError(
                    f"{self.folder / SAMPLES} holds {measurement.cell.id}/{measurement.sample} twice; {_AGAIN}"
                )
            of_cell[measurement.sample] = measurement
        return found


_AGAIN = "run the command that wrote it again (what was measured is in its store)"


def read_run(path: Path) -> RunFiles:
    """Open the run in a folder, or that of a results.json. Raises RunFilesError."""
    path = path.expanduser()
    path = path / RESULTS if path.is_dir() else path
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if path.parent.is_dir() and path.name == RESULTS:
            raise RunFilesError(
                f"{path.parent} holds no {RESULTS}: no run has finished there; look for another folder, or run it again"
            ) from None
        raise RunFilesError(f"no file or folder {path}; give a {RESULTS}, or the folder that holds it") from None
    except json.JSONDecodeError as error:
        raise RunFilesError(f"{path}:{error.lineno} is not valid JSON: {error.msg}; {_AGAIN}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RunFilesError(f"cannot read {path} ({type(error).__name__}: {error}); {_AGAIN}") from error
    try:
        version, writer = document["schema_version"], document["manifest"]["pytest_vtc"]
    except (KeyError, TypeError):
        raise RunFilesError(f"{path} is no results file of pytest-vtc; give a {RESULTS}, or its folder") from None
    if version != SCHEMA_VERSION:
        raise RunFilesError(
            f"{path} was written by pytest-vtc {writer} in schema version {version}; this is pytest-vtc "
            f"{importlib.metadata.version('pytest-vtc')}, which reads schema version {SCHEMA_VERSION}: run it again "
            "with this version (answers still in the store are taken from there)"
        )
    run = RunFiles(path, document)
    try:
        _check(run)
    except (KeyError, TypeError, AttributeError) as error:
        raise RunFilesError(
            f"{path} does not follow the schema of its version ({type(error).__name__}: {error}); {_AGAIN}"
        ) from error
    return run


def _check(run: RunFiles) -> None:
    """Read once all that is read later, so that what is missing is said with the file's name."""
    document, manifest = run.document, run.manifest
    run.errors()
    for cell in document["cells"]:
        _ = cell["n_measured"] + cell["n_expected"]
        _ = manifest["models"][cell["model"]], manifest["datasets"][cell["dataset"]]["fingerprint"]
    _ = manifest["run"]["shard"], manifest["seed"], manifest["settings"], manifest["versions"], manifest["git"]
    _ = manifest["compressors"], manifest["hardware"], document["interrupted"], document["gates"]["asked"]


def _measurement(line: str, cells: dict[str, Cell]) -> Measurement:
    data = json.loads(line)
    if (cell := cells.get(data["cell"])) is None:
        raise ValueError(f"{RESULTS} has no cell {data['cell']}: the two files are of different runs")
    measurement = measurement_of(data, cell)
    score = measurement.score
    texts = (measurement.sample, measurement.group, measurement.answer, *measurement.expected)
    if not (score is None or isinstance(score, int | float)) or not all(isinstance(text, str) for text in texts):
        raise TypeError("a value is of the wrong kind")
    return measurement
