"""results.json of small made-up runs, for the tests of what is made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell, SkippedCell
from pytest_vtc.report.json_report import to_document
from pytest_vtc.results import Results
from tests.run_of import measured, of_seed, run_of, seeded

PIPED = "odd(a='x|y_z')"


def document(results: Results) -> dict[str, Any]:
    """As it would be read back from the file."""
    return json.loads(json.dumps(to_document(results, analyse(results), [])))


def saved(content: dict[str, Any], folder: Path) -> Path:
    path = folder / "results.json"
    path.write_text(json.dumps(content))
    return path


def rich_run(*datasets: str, n_compressors: int = 3, n_categories: int = 2) -> Results:
    """A run with everything in it: seeds, names that need care, categories, a skipped cell, two datasets by default."""
    names = [PIPED, "divprune", *(f"method_{i}" for i in range(n_compressors - 2))]
    cells: list[Cell] = []
    for dataset in datasets or ("probes", "easyvqa"):
        cells += [
            Cell("tiny", dataset),
            *(Cell("tiny", dataset, name, ratio) for name in names for ratio in (0.5, 0.25)),
            *(Cell("tiny", dataset, of_seed(seed).compressor, 0.5) for seed in range(2)),
        ]
    rows = [
        measured(cell, f"{category}/{i}", float((i * 7 + rank) % 11 > rank % 9), category=f"cat_{category}")
        for rank, cell in enumerate(cells)
        for category in range(n_categories)
        for i in range(40 // n_categories)
    ]
    made = seeded(0, 1)
    made["datasets"] = dict.fromkeys(datasets or ("probes", "easyvqa"), made["datasets"]["probes"])
    made["models"]["tiny"]["substitutes"] = {"divprune": {"cls": "the mean <stands> in"}}
    skipped = (SkippedCell(Cell("tiny", "probes", "far", 0.5), "no encoder"),)
    return run_of({cell: [1.0] * 40 for cell in cells}, measurements=rows, manifest=made, skipped=skipped)
