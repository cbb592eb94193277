"""The engine against the loop everybody writes: same model, same cells, answers compared one by one.

    python benchmarks/harness/throughput.py                                  # tiny-gemma4 on easy-VQA, on this machine
    python benchmarks/harness/throughput.py --random-weights gemma-4-E4B-it  # a GPU: the real sizes, random values

Exit code 1 if an answer differs, or if a ratio is not what the documentation promises (--no-check: answers only).
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from reference_loop import ReferenceLoop
from tabulate import tabulate
from workload import COMPRESSORS, RATIOS, SEED, first_of_each_image, jobs_for, run_windows, variants

from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.engine import Engine
from pytest_vtc.models.gemma4 import Gemma4Backend
from pytest_vtc.models.loading import load_backend
from pytest_vtc.models.random_catalogue import locate_random

PROMISED = {"all questions of each image": 30.0, "one question per image": 15.0}
PROMISED_OVERHEAD = 1.25


@dataclass(frozen=True)
class Measured:
    """One comparison: the medians of several, each with loop and engine run one after the other.

    Seconds are wall time per case. ratio: loop / engine. overhead: engine / time inside the model's own calls.
    """

    workload: str
    images: int
    cases: int
    loop_cases: int
    loop_seconds: float
    engine_seconds: float
    ratio: float
    overhead: float
    ratios: list[float]
    different: int


class ModelClock:
    """Adds up the time inside the model: vision tower, prefill and decoding, whoever calls them."""

    def __init__(self, model: Any) -> None:
        self.model, self.seconds = model, 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Times every call within. The model's methods keep their signatures: `generate` reads them."""
        inner, outer = self.model.model, self.model
        inner.get_image_features = self._timed(type(inner).get_image_features.__get__(inner))
        outer.forward = self._timed(type(outer).forward.__get__(outer))
        try:
            yield
        finally:
            del inner.get_image_features, outer.forward

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def timed(*args: Any, **kwargs: Any) -> Any:
            _synchronize()
            started = time.perf_counter()
            result = call(*args, **kwargs)
            _synchronize()
            self.seconds += time.perf_counter() - started
            return result

        return timed


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def compare(
    backend: Gemma4Backend, workload: str, samples: Sequence[Sample], n_loop: int, max_new_tokens: int, repeats: int
) -> Measured:
    """The loop on the first `n_loop` samples, the engine on all of them, `repeats` times in turn."""
    cells = variants()
    jobs = jobs_for(samples, cells)
    loop = ReferenceLoop(backend, max_new_tokens, SEED)
    loop_seconds: list[float] = []
    engine_seconds: list[float] = []
    overheads: list[float] = []
    different = 0
    loop.run(samples[:1], cells)
    run_windows(Engine(backend, seed=SEED), jobs[: len(cells) * 8], max_new_tokens)
    for _ in range(repeats):
        started = time.perf_counter()
        expected = loop.run(samples[:n_loop], cells)
        loop_seconds.append((time.perf_counter() - started) / len(expected))
        started = time.perf_counter()
        found = run_windows(Engine(backend, seed=SEED), jobs, max_new_tokens)
        engine_seconds.append((time.perf_counter() - started) / len(jobs))
        # Apart from the run that is timed: waiting for a GPU at each call would slow it.
        clock = ModelClock(backend.model)
        with clock.running():
            started = time.perf_counter()
            run_windows(Engine(backend, seed=SEED), jobs, max_new_tokens)
            overheads.append((time.perf_counter() - started) / clock.seconds)
        different = max(different, sum(a != b for a, b in zip(expected, found, strict=False)))  # the loop's are fewer
    ratios = [loop / engine for loop, engine in zip(loop_seconds, engine_seconds, strict=True)]
    images = len({source for sample in samples for source in sample.images})
    return Measured(
        workload, images, len(jobs), len(expected), median(loop_seconds), median(engine_seconds),
        median(ratios), median(overheads), ratios, different,
    )  # fmt: skip


@dataclass(frozen=True)
class Session:
    """The sweep as a pytest session, in seconds of wall time.

    whole: everything computed. again: everything from the store. collected: only started and collected.
    """

    cases: int
    whole: float
    again: float
    collected: float


def pytest_sweep(n: int, repeats: int) -> Session:
    """The cells on `n` questions of easy-VQA, in a process of its own; the medians of `repeats` runs."""
    whole: list[float] = []
    again: list[float] = []
    collected: list[float] = []
    cases = 1
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder)
            (path / "test_accuracy.py").write_text("def test_accuracy(vtc_case):\n    vtc_case.measure()\n")
            command = [
                sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_accuracy.py",
                "--vtc-data=easyvqa", f"--vtc-n={n}", f"--vtc-compressors={','.join(COMPRESSORS)}",
                f"--vtc-ratios={','.join(map(str, RATIOS))}", f"--vtc-seed={SEED}",
            ]  # fmt: skip
            for seconds, more in ((whole, []), (again, []), (collected, ["--collect-only"])):
                started = time.perf_counter()
                subprocess.run([*command, *more], cwd=path, check=True, capture_output=True)
                seconds.append(time.perf_counter() - started)
            with (path / "vtc-results" / "samples.jsonl").open(encoding="utf-8") as lines:
                cases = sum(1 for _ in lines)
    return Session(cases, median(whole), median(again), median(collected))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60, help="images of easy-VQA; default 60")
    parser.add_argument("--loop-samples", type=int, default=24, help="samples the loop is timed on; default 24")
    parser.add_argument("--repeats", type=int, default=5, help="comparisons, of which the median counts; default 5")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument(
        "--random-weights", metavar="NAME", help="a Gemma 4 in its real size; NAME:4 with 4 text layers, to try it"
    )
    parser.add_argument("--skip-pytest", action="store_true", help="leave out the same sweep through pytest")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--no-check", action="store_true", help="only print speed; answers must be equal all the same")
    options = parser.parse_args()
    model = locate_random(options.random_weights) if options.random_weights else "tiny-gemma4"
    backend = load_backend(model, options.dtype, on_progress=print)
    if not isinstance(backend, Gemma4Backend):
        parser.error("--random-weights: the loop that is compared with is one for Gemma 4 with a vision tower")
    gc.freeze()  # as a session does once the model is loaded
    data = open_samples("easyvqa", data_home(), None, SEED)
    one_each = first_of_each_image(data.samples, 10_000)
    groups = {sample.group for sample in one_each[: options.images]}
    whole = [sample for sample in data.samples if sample.group in groups]
    measured: list[Measured] = []
    for workload, samples in zip(PROMISED, (whole, one_each[: 4 * options.images]), strict=True):
        print(f"{workload}: {len(samples):,} samples in {len(variants())} cells ...", flush=True)
        measured.append(compare(backend, workload, samples, options.loop_samples, data.max_new_tokens, options.repeats))
    print(report(measured))
    if torch.cuda.is_available():
        print(f"the device computes {busy_share(backend, whole, data.max_new_tokens):.0%} of the engine's time")
    through_pytest = None
    if not (options.skip_pytest or options.random_weights):
        through_pytest = pytest_sweep(len(whole), min(3, options.repeats))
        n, per_case = through_pytest.cases, 1e3 / through_pytest.cases
        print(
            f"The same cells as a pytest session, {n:,} cases of easy-VQA: {through_pytest.whole:.1f} s, or "
            f"{through_pytest.whole * per_case:.2f} ms a case. pytest takes {through_pytest.again:.1f} s of them "
            f"(the same session from its store): {through_pytest.collected:.1f} s to start and collect, "
            f"{(through_pytest.again - through_pytest.collected) * per_case:.2f} ms a case to run."
        )
    if options.json:
        figures = [asdict(m) for m in measured]
        also = None if through_pytest is None else asdict(through_pytest)
        options.json.write_text(json.dumps({"engine": figures, "pytest": also}, indent=2) + "\n")
    if options.random_weights:
        return 0  # random values in half precision: next tokens tie, and batches round differently
    if different := sum(m.different for m in measured):
        print(f"NOT MET: {different} answers differ")
        return 1
    return 1 if not options.no_check and not all(map(fast_enough, measured)) else 0


def busy_share(backend: Gemma4Backend, samples: Sequence[Sample], max_new_tokens: int) -> float:
    """Share of the engine's wall time in which the GPU runs a kernel."""
    jobs = jobs_for(samples, variants())
    run_windows(Engine(backend, seed=SEED), jobs, max_new_tokens)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        started = time.perf_counter()
        run_windows(Engine(backend, seed=SEED), jobs, max_new_tokens)
        _synchronize()
        seconds = time.perf_counter() - started
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / seconds


def fast_enough(measured: Measured) -> bool:
    return measured.ratio >= PROMISED[measured.workload] and measured.overhead <= PROMISED_OVERHEAD


def report(measured: Sequence[Measured]) -> str:
    rows = [
        [
            m.workload, f"{m.images:,}", f"{m.cases:,}", f"{1e3 * m.loop_seconds:.2f}",
            f"{1e3 * m.engine_seconds:.3f}", f"{m.ratio:.1f}x", f"{min(m.ratios):.1f}-{max(m.ratios):.1f}",
            f"{m.overhead:.2f}", f"{m.different} of {m.loop_cases:,}",
        ]
        for m in measured
    ]  # fmt: skip
    headers = ["workload", "images", "cases", "loop\nms/case", "engine\nms/case", "loop /\nengine",
               "least to\nmost", "engine /\nmodel calls", "answers that\ndiffer"]  # fmt: skip
    return tabulate(rows, headers, disable_numparse=True)


if __name__ == "__main__":
    sys.exit(main())
