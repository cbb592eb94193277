"""Published metrics by name."""

from __future__ import annotations

import functools

from pytest_vtc.scoring.base import ScoringError
from pytest_vtc.scoring.published.base import Answered, Published
from pytest_vtc.scoring.published.category_mean import CategoryMean
from pytest_vtc.scoring.published.circular import Circular
from pytest_vtc.scoring.published.hallusion import Hallusion
from pytest_vtc.scoring.published.llava_bench import LlavaBench
from pytest_vtc.scoring.published.mia_bench import MiaBench
from pytest_vtc.scoring.published.mm_vet import MmVet
from pytest_vtc.scoring.published.mme import Mme
from pytest_vtc.scoring.published.mmmu import Mmmu
from pytest_vtc.scoring.published.ocrbench import Ocrbench
from pytest_vtc.scoring.published.pope import Pope, PopeLmms
from pytest_vtc.scoring.published.vizwiz import Vizwiz

__all__ = ["Answered", "Published", "known_metrics", "metric", "metric_of"]


def known_metrics() -> dict[str, Published]:
    """Every published metric by name."""
    every: list[Published] = [
        *(Circular(), CategoryMean(), Mmmu()),
        *(Mme(), Pope(), PopeLmms(), Hallusion(), Ocrbench(), Vizwiz()),
        *(MmVet(), LlavaBench(), MiaBench()),
    ]
    return {each.name: each for each in every}


@functools.cache
def metric(name: str) -> Published:
    """The metric called `name`. Raises ScoringError, naming the nearest ones, if there is none."""
    metrics = known_metrics()
    if name not in metrics:
        from pytest_vtc.datasets.base import nearest

        raise ScoringError(f"unknown published metric {name!r}: {nearest(name, list(metrics))}")
    return metrics[name]


def metric_of(name: str | None, whose: str) -> str | None:
    """The metric that stands for `name` in the bookkeeping of a harness, such as `pope_lmms`; `name` if it has none."""
    theirs = f"{name}_{whose}"
    return theirs if theirs in known_metrics() else name
