"""What a case costs beyond its model: to collect it, to run it, to keep it; beside pytest's own tests in the same run.

    python benchmarks/harness/collection.py [--items 660000] [--run 20000] [--json FILE] [--no-check]

Every figure comes from a process of its own, kinds taking turns, and the smallest of the repeats counts: CPU time of
the process, and memory of the whole process. The model is a stand-in that answers at once; everything else is real
(items, fixtures, windows, store, scoring, reports, tables, files). README.md beside this file says what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from tabulate import tabulate

CELLS = 5
QUESTIONS_PER_IMAGE = 10
FLAT_AT = (10_000, 50_000, 100_000)

MAX_CPU_RATIO = 0.45
MAX_MEMORY_RATIO = 0.3
MAX_KEPT_KB = 2.0
MAX_RUN_US = 150.0

PARAMETRIZED = """
import pytest

@pytest.mark.parametrize("case", range({n}))
def test_accuracy(case):
    pass
"""
PLAIN = """
def make():
    def test():
        pass
    return test

globals().update((f"test_{{i}}", make()) for i in range({n}))
"""
LOADED = (
    """
from pytest_vtc.models.loading import load_backend

model = load_backend("tiny-gemma4")
"""
    + PLAIN
)
SWEEP = """
def test_accuracy(vtc_case):
    vtc_case.measure()
"""
SUITES = {"parametrize": PARAMETRIZED, "plain": PLAIN, "loaded": LOADED, "sweep": SWEEP}

Figures = dict[str, Any]


# One measurement, in a process of its own


class Meter:
    """Notes CPU time and memory around the run of `n` items. Its own cost is that of two short hooks an item."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.rss: dict[int, float] = {}
        self.n_run = 0
        self.began = self.ended = 0.0
        self.before_mb = self.ran_mb = self.after_mb = 0.0

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        if self.n_run == 0:
            self.before_mb = current_mb()
            self.began = time.process_time()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        self.n_run += 1
        if self.n_run in FLAT_AT:
            self.rss[self.n_run] = current_mb()
        if self.n_run == self.n:
            self.ended = time.process_time()
            self.ran_mb = current_mb()

    @pytest.hookimpl(tryfirst=True, wrapper=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        result = yield
        self.after_mb = current_mb()
        return result


def current_mb() -> float:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb() -> float:
    """Most that this program has held so far, in MB.

    ru_maxrss would count what the process that started it held before; it is taken where the system says nothing else.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def measure(kind: str, n: int, collect_only: bool) -> Figures:
    """Run a session of `n` items in the current folder and say what it took. To be called once in a process."""
    Path("test_suite.py").write_text(SUITES[kind].format(n=n))
    command = ["test_suite.py", "--rootdir=.", "-c", os.devnull]
    if kind == "sweep":
        command += ["--vtc-data=dataset/manifest.jsonl", "--vtc-n=all"]
        command += ["--vtc-compressors=divprune,identity", "--vtc-ratios=0.5,0.25"]
        answer_at_once()
    command += ["--collect-only", "-qq"] if collect_only else []
    meter = Meter(n)
    status = pytest.main(command, plugins=[] if collect_only else [meter])
    if status != pytest.ExitCode.OK:
        raise SystemExit(f"the session of {n} items of kind {kind!r} ended with {status!r}")
    return {
        "cpu_s": time.process_time(),
        "peak_mb": peak_mb(),
        "run_cpu_s": meter.ended - meter.began,
        "before_mb": meter.before_mb,
        "ran_mb": meter.ran_mb,
        "after_mb": meter.after_mb,
        "rss_mb": meter.rss,
    }


def write_dataset(folder: Path, n: int) -> None:
    """A manifest in the manner of GQA: ten questions on each image. No image is opened: the model is a stand-in."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    image = Image.new("RGB", (64, 64))
    with (folder / "manifest.jsonl").open("w") as file:
        for i in range(n):
            name = f"images/{i // QUESTIONS_PER_IMAGE}.png"
            if i % QUESTIONS_PER_IMAGE == 0:
                image.putpixel((0, 0), tuple((i >> shift) & 255 for shift in (0, 8, 16)))
                image.save(folder / name)
            question = f"Is the tall object number {i} to the left of the man?"
            row = {"id": f"2{i:08d}", "image": name, "prompt": question, "answer": "yes", "category": "verify"}
            file.write(json.dumps(row) + "\n")


def answer_at_once() -> None:
    """Replace the engine's work: same jobs, same kind of results, no image, no compressor, no model."""
    from pytest_vtc.cells import Generation
    from pytest_vtc.engine import Engine

    def run(_engine: Engine, jobs: Any, _max_new_tokens: int, _upcoming: Any) -> list[Generation]:
        kept = {ratio: round(64 * ratio) for ratio in (1.0, 0.5, 0.25)}
        return [
            Generation(
                answer="yes" if number % 3 else "no",
                n_tokens=64,
                n_asked=kept[job.ratio],
                n_kept=kept[job.ratio],
                kv_bytes=1024 * kept[job.ratio],
                n_generated=2,
                positions="compact",
                truncated=False,
                beyond_window=False,
                seconds=1e-6 * number,
            )
            for number, job in enumerate(jobs)
        ]

    Engine.run = run  # type: ignore[method-assign]


# Many of them


def in_a_process(kind: str, n: int, *, collect_only: bool) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        if kind == "sweep":
            write_dataset(Path(folder, "dataset"), -(-n // CELLS))
        command = [sys.executable, str(Path(__file__).resolve()), "--measure", kind, "--items", str(n)]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        environment.pop("PYTEST_ADDOPTS", None)
        done = subprocess.run(
            [*command, *(["--collect-only"] if collect_only else [])],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{kind}, {n} items: {done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def least(figures: list[Figures]) -> Figures:
    return {name: min(figure[name] for figure in figures) for name in figures[0] if name != "rss_mb"}


def taking_turns(
    kinds: list[str], sizes: list[int], repeats: int, *, collect_only: bool
) -> dict[tuple[str, int], Figures]:
    """The least of `repeats` measurements for each kind and size, interleaved so that a busy minute hits all alike."""
    found: dict[tuple[str, int], list[Figures]] = {}
    for _ in range(repeats):
        for size in sizes:
            for kind in kinds:
                found.setdefault((kind, size), []).append(in_a_process(kind, size, collect_only=collect_only))
    return {key: least(figures) for key, figures in found.items()}


def collection(n: int, repeats: int) -> Figures:
    """Sessions that only collect: of `n` items, and of one sample, which is what such a session costs without items."""
    found = taking_turns(["parametrize", "sweep"], [CELLS, n], repeats, collect_only=True)
    result: Figures = {"items": n}
    for kind in ("parametrize", "sweep"):
        few, many = found[kind, CELLS], found[kind, n]
        result[kind] = {
            "session_cpu_s": many["cpu_s"],
            "session_mb": many["peak_mb"],
            "items_cpu_s": many["cpu_s"] - few["cpu_s"],
            "items_mb": many["peak_mb"] - few["peak_mb"],
        }
    result["cpu_ratio"] = result["sweep"]["items_cpu_s"] / result["parametrize"]["items_cpu_s"]
    result["memory_ratio"] = result["sweep"]["items_mb"] / result["parametrize"]["items_mb"]
    return result


def running(n: int, repeats: int) -> Figures:
    """Sessions that run `n` items: CPU time from the start of the first to the end of the last, and what stays."""
    found = taking_turns(["plain", "loaded", "sweep"], [CELLS, n], repeats, collect_only=False)
    result: Figures = {"items": n}
    for kind in ("plain", "loaded", "sweep"):
        few, many = found[kind, CELLS], found[kind, n]
        result[kind] = {
            # From the difference of two sizes: what is paid once (loading, parity, the first import) is not per item.
            "run_us": (many["run_cpu_s"] - few["run_cpu_s"]) / (n - CELLS) * 1e6,
            "kept_kb": (many["ran_mb"] - few["ran_mb"]) / (n - CELLS) * 1024,
        }
    result["overhead_us"] = result["sweep"]["run_us"] - result["loaded"]["run_us"]
    return result


def flatness() -> Figures:
    """One session of 100,000 cases: memory of the process on the way."""
    found = in_a_process("sweep", FLAT_AT[-1], collect_only=False)
    rss = {int(n): mb for n, mb in found["rss_mb"].items()}
    first, middle, last = FLAT_AT
    return {
        "rss_mb": rss,
        "kb_per_case": (rss[last] - rss[first]) / (last - first) * 1024,
        "kb_per_case_first_half": (rss[middle] - rss[first]) / (middle - first) * 1024,
        "kb_per_case_second_half": (rss[last] - rss[middle]) / (last - middle) * 1024,
        "collected_mb": found["before_mb"],
        "tables_written_mb": found["after_mb"],
    }


# Telling


def show(collected: Figures, run: Figures, flat: Figures) -> None:
    print(f"\nCollecting {collected['items']:,} items (beyond a session of {CELLS}; whole session in parentheses)\n")
    rows = [
        [name, f"{c['items_cpu_s']:.1f} ({c['session_cpu_s']:.1f})", f"{c['items_mb']:.0f} ({c['session_mb']:.0f})"]
        for name, c in (("pytest.mark.parametrize", collected["parametrize"]), ("vtc_case", collected["sweep"]))
    ]
    rows.append(["ratio", f"{collected['cpu_ratio']:.2f}", f"{collected['memory_ratio']:.2f}"])
    print(tabulate(rows, headers=["", "CPU s", "peak MB"], disable_numparse=True))
    print(f"\nRunning {run['items']:,} items; the model is a stand-in that answers at once\n")
    rows = [
        [name, f"{r['run_us']:.0f}", f"{r['kept_kb']:.2f}"]
        for name, r in (
            ("empty test function, nothing imported", run["plain"]),
            ("empty test function, a model loaded", run["loaded"]),
            ("vtc_case", run["sweep"]),
        )
    ]
    rows.append(["vtc_case beyond the empty test beside a model", f"{run['overhead_us']:.0f}", ""])
    print(tabulate(rows, headers=["", "CPU us per item", "KB kept per item"], disable_numparse=True))
    print(f"\nMemory of the process while {FLAT_AT[-1]:,} cases run; the model is a stand-in that answers at once\n")
    rows = [["collected, none run", f"{flat['collected_mb']:.0f}"]]
    rows += [[f"{n:,} run", f"{mb:.0f}"] for n, mb in flat["rss_mb"].items()]
    rows.append(["tables and files written", f"{flat['tables_written_mb']:.0f}"])
    print(tabulate(rows, headers=["cases", "MB"], disable_numparse=True))
    print(
        f"\nper case run: {flat['kb_per_case']:.2f} KB ({flat['kb_per_case_first_half']:.2f} KB up to "
        f"{FLAT_AT[1]:,}, {flat['kb_per_case_second_half']:.2f} KB after): the measurement and pytest's three reports"
    )


def missed(collected: Figures, run: Figures, flat: Figures) -> list[str]:
    limits = [
        ("CPU time to collect, against parametrize", collected["cpu_ratio"], MAX_CPU_RATIO),
        ("memory to collect, against parametrize", collected["memory_ratio"], MAX_MEMORY_RATIO),
        ("us to run a case beyond an empty test", run["overhead_us"], MAX_RUN_US),
        ("KB kept per case that has run", run["sweep"]["kept_kb"], MAX_KEPT_KB),
        ("KB kept per case while 100,000 run", flat["kb_per_case"], MAX_KEPT_KB),
    ]
    return [f"{what}: {value:.2f}, limit {limit:g}" for what, value, limit in limits if value > limit]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=660_000, help="how many items are collected (660000)")
    parser.add_argument("--run", type=int, default=20_000, help="how many items are run (20000)")
    parser.add_argument("--repeats", type=int, default=3, help="measurements of each kind (3)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--no-check", action="store_true", help="print only; exit code 0 whatever the figures")
    parser.add_argument("--measure", choices=sorted(SUITES), help=argparse.SUPPRESS)
    parser.add_argument("--collect-only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure is not None:
        with contextlib.redirect_stdout(sys.stderr):
            figures = measure(given.measure, given.items, given.collect_only)
        print(json.dumps(figures))
        return 0
    collected = collection(given.items, given.repeats)
    run, flat = running(given.run, given.repeats), flatness()
    show(collected, run, flat)
    problems = missed(collected, run, flat)
    if given.json is not None:
        figures = {"collection": collected, "run": run, "flat": flat, "missed": problems}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    print("\n" + ("\n".join(f"NOT MET: {problem}" for problem in problems) or "Every limit is met."))
    return 1 if problems and not given.no_check else 0


if __name__ == "__main__":
    sys.exit(main())
