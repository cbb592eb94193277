"""How the engine's speed and memory follow the number of cells, of questions per image, of rows per batch, of cases.

python benchmarks/harness/scaling.py
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import psutil
from tabulate import tabulate
from workload import SEED, Variant, jobs_for, run_windows, variants

from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.engine import Engine
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.loading import load_backend

Row = list[str | int | float]


def seconds_per_case(
    backend: Backend, samples: Sequence[Sample], cells: Sequence[Variant], batch_size: int | None, repeats: int
) -> float:
    """The fastest of `repeats` runs, after one that is not counted."""
    jobs = jobs_for(samples, cells)
    taken: list[float] = []
    for _ in range(repeats + 1):
        engine = Engine(backend, seed=SEED, batch_size=batch_size)
        started = time.perf_counter()
        run_windows(engine, jobs, 3)
        taken.append((time.perf_counter() - started) / len(jobs))
    return min(taken[1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16, help="images of easy-VQA; default 16")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--memory-cases", type=int, default=20_000, help="cases of the memory run; default 20,000")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    backend = load_backend("tiny-gemma4")
    every = open_samples("easyvqa", data_home(), None, SEED).samples
    of_image: dict[str, list[Sample]] = defaultdict(list)
    for sample in every:
        of_image[sample.group].append(sample)
    images = list(of_image.values())[: options.images]
    figures: dict[str, list[Row]] = {}

    def show(title: str, headers: list[str], rows: list[Row]) -> None:
        figures[title] = rows
        print(f"\n{title}\n{tabulate(rows, headers, floatfmt='.2f')}", flush=True)

    def rate(samples: Sequence[Sample], cells: Sequence[Variant], batch_size: int | None = None) -> Row:
        seconds = seconds_per_case(backend, samples, cells, batch_size, options.repeats)
        return [len(samples) * len(cells), 1e3 * seconds, round(1 / seconds)]

    headers = ["cases", "ms/case", "cases/s"]
    five = [sample for group in images for sample in group[:5]]
    rows: list[Row] = []
    for n_ratios in (0, 1, 3, 6):
        cells = variants(ratios=(0.5, 0.25, 0.125, 0.4, 0.3, 0.2)[:n_ratios])
        rows.append([len(cells), *rate(five, cells)])
    show("cells (five questions an image)", ["cells", *headers], rows)
    rows = [[n, *rate([s for group in images for s in group[:n]], variants())] for n in (1, 2, 5, 10)]
    show("questions an image (13 cells)", ["questions", *headers], rows)
    few = [sample for group in images[:4] for sample in group[:5]]
    rows = [["chosen" if n is None else n, *rate(few, variants(), n)] for n in (1, 8, 64, 256, None)]
    show("rows a batch (13 cells, five questions an image)", ["rows", *headers], rows)
    show("memory", ["cases", "resident MB"], memory(backend, every, options.memory_cases))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def memory(backend: Backend, samples: Sequence[Sample], n_cases: int) -> list[Row]:
    """Resident memory of the process as one engine goes on, at five points; nothing of what it answered is kept."""
    cells = variants()
    engine = Engine(backend, seed=SEED)
    rows: list[Row] = []
    step = max(1, n_cases // 5 // len(cells))
    for i in range(5):
        part = samples[i * step : (i + 1) * step]
        run_windows(engine, jobs_for(part, cells), 3)
        gc.collect()
        done = min(len(samples), (i + 1) * step) * len(cells)
        rows.append([done, round(psutil.Process().memory_info().rss / 1e6)])
    return rows


if __name__ == "__main__":
    sys.exit(main())
