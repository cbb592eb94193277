"""Compressors against each other, and their mean share of stock over datasets; corrections over a whole run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell
from pytest_vtc.paired_tests import benjamini_hochberg, holm
from pytest_vtc.results import Results
from pytest_vtc.standings import standing
from pytest_vtc.statistics import paired_difference
from tests.run_of import HALF, QUARTER, STOCK, of_seed, run_of, seeded

FPS = Cell("tiny", "probes", "fps", 0.5)
POOL = Cell("tiny", "probes", "pool", 0.5)


def scores(n_right: int, n: int = 60) -> list[float]:
    return [1.0] * n_right + [0.0] * (n - n_right)


def a_run(**right: int) -> Results:
    cells = {"stock": STOCK, "half": HALF, "quarter": QUARTER, "fps": FPS, "pool": POOL}
    return run_of({cells[name]: scores(n) for name, n in right.items()})


def test_every_two_compressors_at_one_ratio_are_a_pair() -> None:
    pairs = analyse(a_run(stock=60, half=50, quarter=40, fps=45, pool=10)).pairs
    assert [(pair.ratio, pair.first, pair.second) for pair in pairs] == [
        (0.5, "divprune", "fps"), (0.5, "divprune", "pool"), (0.5, "fps", "pool"),
    ]  # fmt: skip


def test_a_pair_is_compared_on_the_same_samples() -> None:
    pair = analyse(a_run(stock=60, half=50, fps=45)).pairs[0]
    assert pair.versus.difference_pp == paired_difference(scores(45), scores(50)).scaled(100)


def test_pairs_are_corrected_for_those_at_their_ratio() -> None:
    pairs = analyse(a_run(stock=60, half=50, fps=45, pool=10)).pairs
    assert [pair.p_holm for pair in pairs] == holm([pair.versus.p for pair in pairs])


def test_a_compressor_stands_above_those_it_is_significantly_better_than() -> None:
    analysis = analyse(a_run(stock=60, half=50, fps=50, pool=10))
    by_cell = {summary.cell: standing(analysis.pairs, summary.cell) for summary in analysis.cells}
    assert by_cell == {STOCK: (0, 0, 0), HALF: (1, 0, 1), FPS: (1, 0, 1), POOL: (0, 2, 0)}


def test_of_several_seeds_their_mean_is_one_side_of_a_pair() -> None:
    results = run_of(
        {STOCK: scores(60), of_seed(0): scores(20), of_seed(1): scores(30), FPS: scores(45)}, manifest=seeded(0, 1)
    )
    (pair,) = analyse(results).pairs
    means = np.mean([scores(20), scores(30)], axis=0)
    assert (pair.first, pair.second) == ("random", "fps")
    assert pair.versus.difference_pp == paired_difference(scores(45), means).scaled(100)


def test_a_seed_without_any_measurement_leaves_the_others_in_their_pair() -> None:
    results = run_of(
        {STOCK: scores(60), of_seed(0): scores(20), of_seed(1): scores(30), of_seed(2): [], FPS: scores(45)},
        manifest=seeded(0, 1, 2),
        expected={of_seed(2): 60},
    )
    (pair,) = analyse(results).pairs
    means = np.mean([scores(20), scores(30)], axis=0)
    assert pair.versus.difference_pp == paired_difference(scores(45), means).scaled(100)


def test_cells_are_corrected_for_their_number() -> None:
    analysis = analyse(a_run(stock=60, half=55, quarter=50, fps=52))
    compared = [summary for summary in analysis.cells if summary.versus is not None]
    assert [summary.p_holm for summary in compared] == holm([s.versus.p if s.versus else None for s in compared])
    assert analysis.n_tests == 3


def test_all_seeds_of_a_compressor_are_one_test() -> None:
    results = run_of(
        {STOCK: scores(60), of_seed(0): scores(20), of_seed(1): scores(30), FPS: scores(45)}, manifest=seeded(0, 1)
    )
    analysis = analyse(results)
    (group,) = analysis.seed_groups
    fps = next(summary for summary in analysis.cells if summary.cell == FPS)
    assert group.versus is not None
    assert fps.versus is not None
    assert [fps.p_holm, group.p_holm] == holm([fps.versus.p, group.versus.p])
    assert [s.p_holm for s in analysis.cells if s.cell in group.cells] == [None, None]


def test_categories_are_corrected_for_their_number() -> None:
    results = run_of({STOCK: scores(60), HALF: scores(50), FPS: scores(28)})
    halves = [replace(m, category="colour" if m.sample < "s030" else "shape") for m in results.measurements]
    analysis = analyse(replace(results, measurements=halves))
    variants = [variant for category in analysis.categories for variant in category.variants]
    assert [v.q for v in variants] == benjamini_hochberg([v.p for v in variants])
    assert [v.variant for v in variants if v.p is None] == ["stock", "stock"]


def test_with_one_dataset_there_is_no_mean_over_datasets() -> None:
    assert analyse(a_run(stock=60, half=50)).shares == []


def test_the_mean_share_counts_every_dataset_alike() -> None:
    other = {cell: Cell("tiny", "easyvqa", cell.compressor, cell.ratio) for cell in (STOCK, HALF)}
    results = run_of(
        {STOCK: scores(60), HALF: scores(30), other[STOCK]: scores(50), other[HALF]: scores(45)},
    )
    (mean,) = analyse(results).shares
    assert mean.share.estimate == pytest.approx((30 / 60 + 45 / 50) / 2)
    assert (mean.compressor, mean.ratio, mean.datasets, mean.missing) == ("divprune", 0.5, ("probes", "easyvqa"), ())


def test_a_mean_over_datasets_says_which_are_missing() -> None:
    other = {cell: Cell("tiny", "easyvqa", cell.compressor, cell.ratio) for cell in (STOCK, HALF)}
    results = run_of(
        {STOCK: scores(60), HALF: scores(30), other[STOCK]: scores(50), other[HALF]: []},
        expected={other[HALF]: 60},
    )
    (mean,) = analyse(results).shares
    assert (mean.datasets, mean.missing) == (("probes",), ("easyvqa",))
