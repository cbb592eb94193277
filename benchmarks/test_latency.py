"""How long each compressor takes on one image. Look at the table that pytest-benchmark prints; compare by N."""

from __future__ import annotations

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from pytest_vtc.compressed import run_compressor
from pytest_vtc.compression import budget
from pytest_vtc.discovery import known_compressors, shipped_names

RATIO = 0.25
WIDTH = 2560  # of the vision tokens of gemma-4-E4B-it
GRIDS = {64: (8, 8), 256: (16, 16), 576: (24, 24)}
# What takes the time of `downsample` is the model's vision side, which is not here.
COMPRESSORS = [name for name in shipped_names() if not known_compressors()[name].cls.needs]


@pytest.mark.parametrize("n_tokens", GRIDS)
@pytest.mark.parametrize("name", COMPRESSORS)
def test_latency(benchmark: BenchmarkFixture, name: str, n_tokens: int) -> None:
    compressor = known_compressors()[name].cls()
    features = torch.randn(n_tokens, WIDTH, generator=torch.Generator().manual_seed(n_tokens))
    rows, columns = GRIDS[n_tokens]
    raster = torch.arange(n_tokens)
    context = {
        "grid": (rows, columns),
        "positions": torch.stack([raster // columns, raster % columns], dim=1),
        "generator": torch.Generator().manual_seed(0),
    }
    n_target = budget(n_tokens, RATIO)
    benchmark.group = f"one image: {n_tokens:4} tokens, {n_target:3} kept"
    compressed = benchmark.pedantic(
        run_compressor, (compressor, features, n_target, context), rounds=10, warmup_rounds=2
    )
    assert 0 < compressed.n_kept <= n_target
