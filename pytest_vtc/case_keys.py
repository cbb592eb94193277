"""The store's key of a case: everything that can change its answer."""

from __future__ import annotations

from typing import Any

from pytest_vtc.cells import Cell
from pytest_vtc.discovery import source_hash
from pytest_vtc.models.identity import ModelIdentity, identify
from pytest_vtc.store import case_key
from pytest_vtc.sweep import Block, Case, Sweep

ENGINE_VERSION = 2
"""Part of every key: raised when the engine or a backend changes what a case can answer."""


class CaseKeys:
    """Keys of a sweep's cases. Raises ModelError if the configuration of a model cannot be read."""

    def __init__(self, sweep: Sweep) -> None:
        self._sweep = sweep
        settings = sweep.settings
        self.identities: dict[str, ModelIdentity] = {
            block.model.label: identify(
                block.model,
                settings.dtype,
                settings.quantization,
                attention=settings.attention,
                trust_remote_code=settings.trust_remote_code,
            )
            for block in sweep.blocks
        }
        # Once, at the start: a file that is edited during the run is not what this run imported.
        self.source_hashes = {spec: source_hash(compressor) for spec, compressor in sweep.compressors.items()}
        self._parts: dict[str, dict[str, Any]] = {}

    def key(self, case: Case) -> str:
        """Raises DatasetError for an image that has gone since the dataset was read."""
        cell = case.cell
        if cell.id not in self._parts:
            self._parts[cell.id] = self._cell_parts(case.block, cell)
        parts = self._parts[cell.id] | {"sample": case.sample.fingerprint()}
        if self._sweep.settings.answers == "letters":
            parts["options"] = len(case.sample.options)  # the letters to choose from
        return case_key(parts)

    def _cell_parts(self, block: Block, cell: Cell) -> dict[str, Any]:
        settings = self._sweep.settings
        identity = self.identities[cell.model]
        parts: dict[str, Any] = {
            "engine": ENGINE_VERSION,
            "model": identity.key_parts(),
            "positions": settings.positions or identity.default_positions,
            "answers": settings.answers,
            "max_new_tokens": block.max_new_tokens,
        }
        if cell.compressor is not None:
            compressor = self._sweep.compressors[cell.compressor]
            parts["compressor"] = {
                "name": compressor.name,
                "source": self.source_hashes[cell.compressor],
                "parameters": {name: repr(value) for name, value in compressor.parameters.items()},
                "ratio": cell.ratio,
                "seed": settings.seed,
            }
        return parts
