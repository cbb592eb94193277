"""The rows of the tables: what the seeds of one compressor come to together."""

from __future__ import annotations

from pytest_vtc.report.rows import rows_of
from pytest_vtc.results import summarize
from pytest_vtc.seed_groups import summarize_seeds
from tests.run_of import STOCK, measured, of_seed, run_of, seeded


def test_the_cache_of_several_seeds_is_that_of_all_their_samples() -> None:
    first, second = of_seed(0), of_seed(1)
    rows = [
        *(measured(STOCK, i, kv_bytes=n) for i, n in enumerate([1000, 2000])),
        *(measured(first, i, kv_bytes=n) for i, n in enumerate([500, 1400, 200])),
        measured(second, 0, kv_bytes=700),
    ]
    results = run_of({STOCK: [1.0] * 2, first: [1.0] * 3, second: [1.0]}, measurements=rows, manifest=seeded(0, 1))
    _, together = rows_of(summarize(results), summarize_seeds(results))
    budget = together.figures.budget
    assert budget is not None
    assert (budget.kv_bytes, budget.kv_share) == (2800 / 4, (500 + 1400 + 700) / (1000 + 2000 + 1000))
