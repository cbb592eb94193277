"""What the model said on the first samples: what is shown of a dataset that has no answers to score by."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vtc.cells import Cell
from pytest_vtc.report.columns import clipped
from pytest_vtc.results import Results, in_run_order

_SAMPLES = 3


def first_answers(results: Results, cells: Sequence[Cell], width: int) -> list[str]:
    """The first samples with the answer of every cell; the cells are of one model and dataset."""
    answers: dict[str, dict[Cell, str]] = {}
    for measurement in in_run_order(results):
        if (measurement.cell.model, measurement.cell.dataset) != (cells[0].model, cells[0].dataset):
            continue
        if measurement.sample not in answers and len(answers) == _SAMPLES:
            break
        answers.setdefault(measurement.sample, {})[measurement.cell] = measurement.generation.answer
    label = min(width // 2, max(len(cell.variant) for cell in cells))
    lines: list[str] = []
    for sample, by_cell in answers.items():
        lines.append(clipped(f"Sample {sample}", width))
        for cell in cells:
            if cell in by_cell:
                start = f"  {clipped(cell.variant, label).ljust(label)}  "
                lines.append(start + (clipped(by_cell[cell], width - len(start)) or "(empty)"))
        lines.append("")
    return lines
