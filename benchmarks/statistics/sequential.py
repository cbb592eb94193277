"""How often a gate that is judged after every image is wrong, and how many samples it saves, on simulated runs.

python benchmarks/statistics/sequential.py [--quick] [--check] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from population import AFTER, BEFORE, Population
from scipy.stats import t as student
from tabulate import tabulate

from pytest_vtc.sequential import REJECTED, STAKES, WEIGHTS, Estimand, MarginTest, anytime_interval

SEED = 21
STOCK, CHANGED = 0.7, 0.15
MARGIN = 0.025
SIDE, BOTH = 2.5, 95.0
FIRST_LOOK = 30  # images, of the naive looks: before that nobody would trust the interval
CELLS_AT_ONCE = 4_000_000

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Setting:
    """One kind of run: `samples` questions, `sizes` (least, most, drawn evenly) of them on each image."""

    samples: int
    sizes: tuple[int, int]
    population: Population

    @property
    def images(self) -> int:
        return 2 * self.samples // sum(self.sizes)

    def draw(self, runs: int, rng: np.random.Generator) -> dict[Estimand, tuple[Array, Array]]:
        """Numerators and denominators of each image, [runs, images]."""
        sizes = rng.integers(self.sizes[0], self.sizes[1] + 1, size=(runs, self.images))
        fates = self.population.draw(sizes, rng).astype(np.float64)
        counts = fates.sum(axis=-1)
        before, after = fates @ BEFORE, fates @ AFTER
        return {"difference": (after - before, counts), "accuracy": (after, counts), "share": (after, before)}

    def truth(self, estimand: Estimand) -> float:
        population = self.population
        values: dict[Estimand, float] = {
            "difference": population.difference,
            "accuracy": population.accuracy,
            "share": population.share,
        }
        return values[estimand]


@dataclass(frozen=True)
class Crossed:
    """Per run: the image after which the bet on a side reached 40, counted from 1; beyond the last one if never."""

    above: NDArray[np.int64]
    below: NDArray[np.int64]


def bets(numerators: Array, denominators: Array, largest: int, estimand: Estimand, m: float) -> Crossed:
    """The shipped test for arrays of runs; `agree` compares the two."""
    above = {"difference": 1 + m, "accuracy": m, "share": m}[estimand] * largest
    below = {"difference": 1 - m, "accuracy": 1 - m, "share": 1.0}[estimand] * largest
    gains = numerators - m * denominators
    return Crossed(_first(_wealth(gains / above) >= REJECTED), _first(_wealth(-gains / below) >= REJECTED))


def naive(numerators: Array, denominators: Array, m: float) -> Crossed:
    """Looking after every image at the interval for one look: mean plus and minus t cluster-robust errors."""
    n, images = np.cumsum(denominators, axis=1), np.arange(1, numerators.shape[1] + 1)
    mean = np.cumsum(numerators, axis=1) / n
    squares = (
        np.cumsum(numerators**2, axis=1)
        - 2 * mean * np.cumsum(numerators * denominators, axis=1)
        + mean**2 * np.cumsum(denominators**2, axis=1)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        half = student.ppf(0.975, images - 1) * (images / (images - 1) * np.maximum(squares, 0)) ** 0.5 / n
    looked = (images >= FIRST_LOOK) & (half > 0)
    return Crossed(_first(looked & (mean - half > m)), _first(looked & (mean + half < m)))


def _wealth(per_cost: Array) -> Array:
    wealth = np.zeros_like(per_cost)
    for stake, weight in zip(STAKES, WEIGHTS, strict=True):
        wealth += weight * np.exp(np.minimum(np.cumsum(np.log1p(stake * per_cost), axis=1), 700))
    return wealth


def _first(reached: Flags) -> NDArray[np.int64]:
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1, reached.shape[1] + 1)


def chunks(setting: Setting, runs: int, rng: np.random.Generator) -> Iterator[dict[Estimand, tuple[Array, Array]]]:
    while runs:
        count = min(runs, max(1, CELLS_AT_ONCE // setting.images))
        runs -= count
        yield setting.draw(count, rng)


def agree(settings: list[Setting], runs: int, rng: np.random.Generator) -> int:
    """How many runs the vectorised test and the shipped ones were compared on; AssertionError if they differ."""
    compared = 0
    for setting in settings:
        drawn, largest = setting.draw(runs, rng), setting.sizes[1]
        for estimand, (numerators, denominators) in drawn.items():
            m = setting.truth(estimand)
            crossed = bets(numerators, denominators, largest, estimand, m)
            for run in range(runs):
                test = MarginTest(estimand, m, largest)
                at = next(
                    (
                        image
                        for image, sums in enumerate(zip(numerators[run], denominators[run], strict=True), 1)
                        if test.add(*map(float, sums)) is not None
                    ),
                    setting.images + 1,
                )
                sides = int(crossed.above[run]), int(crossed.below[run])
                if at != min(sides) or (at <= setting.images and test.side != ("above", "below")[sides[0] > sides[1]]):
                    raise AssertionError(f"shipped test: {test.side} after {at}; vectorised: {sides}")
                interval = anytime_interval(numerators[run], denominators[run], largest, estimand)
                low = interval.low is not None and interval.low > m + 1e-8
                high = interval.high is not None and interval.high < m - 1e-8
                if (low or high) and min(sides) > setting.images:
                    raise AssertionError(f"{interval} excludes {m}, and no bet against it has won")
                compared += 1
    return compared


def at_the_margin(quick: bool, runs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The drop is exactly the margin: neither verdict is right. Says how often each is given, at whatever time."""
    rows: list[dict[str, Any]] = []
    iccs = [0.0, 0.3] if quick else [0.0, 0.1, 0.3, 0.5]
    for sizes in ((1, 1), (10, 10), (1, 19)):
        for icc in iccs if sizes != (1, 1) else [0.0]:
            for changed in (CHANGED,) if quick else (0.05, CHANGED, 0.4):
                setting = Setting(5000, sizes, Population(STOCK, changed, -MARGIN, icc))
                found = {"pass": 0, "fail": 0, "naive pass": 0, "naive fail": 0}
                for drawn in chunks(setting, runs, rng):
                    sums = drawn["difference"]
                    judged = bets(*sums, sizes[1], "difference", -MARGIN), naive(*sums, -MARGIN)
                    for name, crossed in zip(("", "naive "), judged, strict=True):
                        first = np.minimum(crossed.above, crossed.below)
                        decided = first <= setting.images
                        found[f"{name}pass"] += int((decided & (crossed.above == first)).sum())
                        found[f"{name}fail"] += int((decided & (crossed.above != first)).sum())
                rows.append(
                    {"images": setting.images, "questions": _span(sizes), "icc": icc, "changed": changed}
                    | {name: 100 * count / runs for name, count in found.items()}
                )
    return rows


def coverage(quick: bool, runs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """How often the interval covers the truth after every image of the run, and where a gate has stopped it."""
    rows: list[dict[str, Any]] = []
    for sizes in ((1, 1), (10, 10), (1, 19)):
        for icc in (0.3,) if quick else (0.0, 0.3, 0.5):
            for difference in (-0.05, 0.0) if quick else (-0.2, -0.05, 0.0, 0.05):
                if sizes == (1, 1) and icc:
                    continue
                changed = max(CHANGED, abs(difference) + 0.05)
                setting = Setting(5000, sizes, Population(STOCK, changed, difference, icc))
                always = dict.fromkeys(("difference", "accuracy", "share"), 0)
                stopped = 0
                for drawn in chunks(setting, runs, rng):
                    gate = bets(*drawn["difference"], sizes[1], "difference", -MARGIN)
                    at = np.minimum(np.minimum(gate.above, gate.below), setting.images)
                    for estimand, sums in drawn.items():
                        crossed = bets(*sums, sizes[1], estimand, setting.truth(estimand))
                        missed = np.minimum(crossed.above, crossed.below)
                        always[estimand] += int((missed > setting.images).sum())
                        stopped += int((missed > at).sum()) if estimand == "difference" else 0
                rows.append(
                    {
                        "images": setting.images,
                        "questions": _span(sizes),
                        "icc": icc,
                        "true difference": 100 * difference,
                    }
                    | {name: 100 * count / runs for name, count in always.items()}
                    | {"where stopped": 100 * stopped / runs}
                )
    return rows


def savings(quick: bool, runs: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """The drop is not the margin: how often a run of 5,000 is decided, rightly or not, and after how many samples."""
    rows: list[dict[str, Any]] = []
    for sizes, icc in (((1, 1), 0.0), ((10, 10), 0.2)):
        for drop in (0.0, 0.05, 0.1, 0.2) if quick else (-0.02, 0.0, 0.01, 0.04, 0.05, 0.075, 0.1, 0.2, 0.4):
            changed = max(CHANGED, abs(drop) + 0.05)
            setting = Setting(5000, sizes, Population(STOCK, changed, -drop, icc))
            right = wrong = 0
            used: list[NDArray[np.int64]] = []
            for drawn in chunks(setting, runs, rng):
                crossed = bets(*drawn["difference"], sizes[1], "difference", -MARGIN)
                good, bad = (crossed.above, crossed.below) if drop < MARGIN else (crossed.below, crossed.above)
                right += int((good <= np.minimum(bad, setting.images)).sum())
                wrong += int((bad < np.minimum(good, setting.images + 1)).sum())
                used.append(np.minimum(np.minimum(good, bad), setting.images) * sizes[1])
            needed = np.concatenate(used)
            rows.append(
                {"questions": _span(sizes), "icc": icc, "drop": 100 * drop, "changed": 100 * changed}
                | {"decided rightly": 100 * right / runs, "wrongly": 100 * wrong / runs}
                | {"mean samples": float(needed.mean()), "nine in ten by": float(np.quantile(needed, 0.9))}
                | {"one look": one_look(changed, drop, sizes[1], icc), "saved": 100 - 100 * float(needed.mean()) / 5000}
            )
    return rows


def one_look(changed: float, drop: float, size: int, icc: float) -> int:
    """Samples with which one look at the end decides rightly in 80 % of runs, if one had known the drop."""
    variance = (changed - drop**2) * (1 + icc * (size - 1))
    return int(np.ceil((1.96 + 0.8416) ** 2 * variance / (drop - MARGIN) ** 2))


def _span(sizes: tuple[int, int]) -> str:
    return str(sizes[0]) if sizes[0] == sizes[1] else f"{sizes[0]}-{sizes[1]}"


def outside(tables: dict[str, list[dict[str, Any]]], runs: int) -> list[str]:
    """What is worse than promised by more than two standard errors."""

    def above(rate: float, limit: float) -> bool:
        return rate - 200 * (rate / 100 * (1 - rate / 100) / runs) ** 0.5 > limit

    found = [
        f"{name} at the margin: {row[name]:.1f} % in {row}"
        for row in tables["at the margin"]
        for name in ("pass", "fail")
        if above(row[name], SIDE)
    ]
    found += [
        f"{name} not covered: {100 - row[name]:.1f} % in {row}"
        for row in tables["coverage"]
        for name in ("difference", "accuracy", "share", "where stopped")
        if above(100 - row[name], 100 - BOTH)
    ]
    return found + [
        f"decided wrongly: {row['wrongly']:.1f} % in {row}" for row in tables["savings"] if above(row["wrongly"], SIDE)
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a part of the grid with fewer runs, half a minute")
    parser.add_argument("--check", action="store_true", help="exit with 1 if an error is larger than promised")
    parser.add_argument("--json", type=Path, help="write the tables there")
    options = parser.parse_args()
    runs = 1000 if options.quick else 10_000
    rng = np.random.default_rng(SEED)
    started = time.monotonic()
    few = [Setting(300, sizes, Population(STOCK, CHANGED, -0.1, 0.2)) for sizes in ((1, 1), (10, 10), (1, 19))]
    print(f"The shipped test and interval agree with what is simulated here in {agree(few, 20, rng)} runs.")
    tables = {
        "at the margin": at_the_margin(options.quick, runs, rng),
        "coverage": coverage(options.quick, runs, rng),
        "savings": savings(options.quick, runs, rng),
    }
    gate = f"gate max_drop={100 * MARGIN:g}"
    said = {
        "at the margin": f"True drop {100 * MARGIN:g} points, {gate}, a look after each image up to 5,000 samples: % "
        "of runs with each verdict; `naive`: the same looks at the interval for one look",
        "coverage": "Anytime-valid intervals: % of runs in which they cover the truth after every image of 5,000 "
        f"samples, and in which that of the difference does where {gate} stopped the run",
        "savings": f"{gate}, at most 5,000 samples: % of runs decided, and samples used; `one look`: samples that "
        "decide 80 % of runs by one look at the end",
    }
    for name, rows in tables.items():
        print(f"\n{said[name]} ({runs:,} runs each)\n")
        print(tabulate(rows, headers="keys", floatfmt=".4g"))
    failures = outside(tables, runs)
    print("", *(failures or ["All errors are within what is promised."]), sep="\n")
    print(f"{time.monotonic() - started:.0f} s")
    if options.json:
        options.json.write_text(json.dumps(tables, indent=2) + "\n")
    return 1 if options.check and failures else 0


if __name__ == "__main__":
    sys.exit(main())
