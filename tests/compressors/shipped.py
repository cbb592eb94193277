"""The compressors that lie in compressors/, whichever they are."""

from __future__ import annotations

from pytest_vtc.compression import Compressor
from pytest_vtc.discovery import known_compressors, resolve, shipped_folder

NAMES = sorted(name for name, found in known_compressors().items() if found.source.parent == shipped_folder())

SPECS = [
    *NAMES,
    "divprune(start='farthest_pair')",
    "divprune_hybrid(alpha=0.0)",
    "divprune_hybrid(alpha=1.0)",
    "random(seed=7)",
]
"""Each as it comes, and with parameters that choose another way through it."""


def compressor_of(spec: str) -> Compressor:
    """The compressor that a spec names."""
    (compressor,) = resolve([spec])
    return compressor
