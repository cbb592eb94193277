"""The global random states of Python, numpy and torch: an algorithm must neither follow nor touch them."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

SOURCES = ("torch", "numpy", "random")


def states() -> dict[str, Any]:
    """A snapshot of each of `SOURCES`, comparable with ==."""
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": (kind, np.asarray(keys).tobytes(), *rest),
        "random": random.getstate(),
    }


@contextmanager
def seeded(**seeds: int) -> Generator[None, None, None]:
    """Global seeds by source, 0 for those not named; afterwards all are as they were."""
    old_torch, old_numpy, old_random = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        # Not torch.manual_seed, which seeds the devices as well.
        torch.set_rng_state(torch.Generator().manual_seed(seeds.get("torch", 0)).get_state())
        np.random.seed(seeds.get("numpy", 0))
        random.seed(seeds.get("random", 0))
        yield
    finally:
        torch.set_rng_state(old_torch)
        np.random.set_state(old_numpy)
        random.setstate(old_random)
