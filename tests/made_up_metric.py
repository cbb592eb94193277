"""A published metric for the tests of what is done with one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_vtc.cells import Cell
from pytest_vtc.results import Results
from pytest_vtc.scoring import published
from pytest_vtc.scoring.published import Answered, Published, metric
from tests.run_of import manifest, measured, run_of


class Pairs:
    """Of the images, the percentage with every answer right; the sum of the scores; what was read."""

    name = "pairs"
    description = "images with every answer right, in %"
    headings = ("pairs", "sum")
    decimals = 1

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        images: dict[str, bool] = {}
        for row in rows:
            images[row.group] = images.get(row.group, True) and row.score == 1
        said = {f"said {row.parsed}": 1.0 for row in rows}
        return {"pairs": 100 * sum(images.values()) / len(images), "sum": sum(row.score for row in rows), **said}


@contextmanager
def known(made: Published) -> Iterator[None]:
    """For as long, this is the only metric there is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(published, "known_metrics", lambda: {made.name: made})
        metric.cache_clear()
        try:
            yield
        finally:
            metric.cache_clear()


def run_on_pairs(scores: Mapping[Cell, Sequence[float | None]], whole_groups: bool = False, **more: Any) -> Results:
    """A run on a dataset with this metric, two questions on each image; a score of None is a case that is missing."""
    made = more.pop("manifest", None) or manifest()
    made["datasets"]["probes"].update(published="pairs", whole_groups=whole_groups)
    rows = [
        measured(cell, i, value, group=f"image {i // 2}")
        for cell, values in scores.items()
        for i, value in enumerate(values)
        if value is not None
    ]
    return run_of({cell: [1.0] * len(values) for cell, values in scores.items()}, manifest=made, measurements=rows)
