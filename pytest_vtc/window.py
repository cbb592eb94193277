"""Decides which cases are computed together, answers from the store what it holds, and hands the rest to the engine."""

from __future__ import annotations

import datetime
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from pytest_vtc.cells import Cell, Generation, Measurement
from pytest_vtc.collection import Case, CaseItem
from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.discovery import source_hash
from pytest_vtc.engine import CaseFailed, Engine, Job
from pytest_vtc.models.catalogue import ModelError, ModelLocation
from pytest_vtc.models.identity import identify
from pytest_vtc.models.loading import load_backend
from pytest_vtc.parity import ParityError, check_parity
from pytest_vtc.results import LoadedModel
from pytest_vtc.run_manifest import describe_run
from pytest_vtc.scoring import rule
from pytest_vtc.store import Store, StoreError, case_key
from pytest_vtc.sweep import Block, Sweep

CaseKey = tuple[str, str]
"""Cell id and sample id."""

ENGINE_VERSION = 1
"""Part of every key: raised when the engine or a backend changes what a case can answer."""

_MAX_CASES = 512
_MAX_IMAGES = 16
_PARITY_SAMPLES = 4


class Bench:
    """The session's source of measurements: `measure` is called by each item as it runs.

    The first case of a window computes the window: the next cases in run order, of the same model and dataset, up to
    some hundred cases or a few images. A stock partner that is neither stored nor about to run as an item of its own is
    computed with them.
    """

    def __init__(self, config: pytest.Config, session: pytest.Session, sweep: Sweep) -> None:
        self.config, self.session, self.sweep = config, session, sweep
        self._started = datetime.datetime.now().astimezone(), time.monotonic()
        self.store = Store(sweep.settings.output / "measurements.sqlite")
        self.identities = {
            block.model.label: identify(block.model, sweep.settings.dtype, sweep.settings.quantization)
            for block in sweep.blocks
        }
        self.loaded: dict[str, LoadedModel] = {}
        self._loaded: tuple[str, Engine] | None = None
        self._ready: dict[CaseKey, Measurement | CaseFailed] = {}
        self._partners: dict[CaseKey, Measurement | CaseFailed] = {}
        self._delivered: set[CaseKey] = set()
        self._order: list[CaseItem] = [item for item in session.items if isinstance(item, CaseItem)]
        self._place = {id(item): i for i, item in enumerate(self._order)}
        self._selected = {item.case.key for item in self._order}
        self._key_parts: dict[str, dict[str, Any]] = {}

    # What an item asks for

    def measure(self, item: CaseItem) -> list[tuple[int, Measurement]]:
        """The case's measurement, followed by its stock partner's if no item of its own brings that, each with its
        place in the sweep.

        Raises CaseFailed if either could not be measured.
        """
        case = item.case
        if case.key not in self._ready:
            self._run_window([case, *self._upcoming(item)])
        found = self._ready.pop(case.key)
        if isinstance(found, CaseFailed):
            raise found
        partner = None if case.cell.is_stock else self._partners.get(case.stock.key)
        if isinstance(partner, CaseFailed):
            raise CaseFailed(f"its stock partner could not be measured: {partner}")
        if partner is None or case.stock.key in self._delivered:
            return [(case.order, found)]
        self._delivered.add(case.stock.key)
        return [(case.order, found), (case.stock.order, partner)]

    def engine(self, model: ModelLocation) -> Engine:
        """The engine on a model, which is loaded on first need, checked for parity, and let go when another is asked.

        Ends the session if the model cannot be loaded or its compressed path is not the stock model.
        """
        if self._loaded is None or self._loaded[0] != model.label:
            self._loaded = None  # frees the previous model before the next one is loaded
            self._loaded = (model.label, self._load(model))
        return self._loaded[1]

    def _load(self, model: ModelLocation) -> Engine:
        settings = self.sweep.settings
        try:
            backend = load_backend(model, settings.dtype, settings.quantization)
            parity = check_parity(backend, self._parity_samples(model))
        except (ModelError, ParityError) as error:
            pytest.exit(f"vtc: {error}", returncode=pytest.ExitCode.TESTS_FAILED)
        except (RuntimeError, AssertionError) as error:
            # Kernels that this machine or this quantisation lacks show at the first forward pass.
            pytest.exit(
                f"vtc: {model.label} does not run here: {type(error).__name__}: {error}",
                returncode=pytest.ExitCode.TESTS_FAILED,
            )
        self.loaded[model.label] = {"parity": parity.to_dict(), "overridden": backend.overridden}
        return Engine(backend, positions=settings.positions, batch_size=settings.batch_size, seed=settings.seed)

    def _parity_samples(self, model: ModelLocation) -> Sequence[Sample]:
        """A handful of the run's own samples, of different images, whose images can be opened."""
        chosen: dict[str, Sample] = {}
        for item in self._order:
            sample = item.case.sample
            if item.case.cell.model != model.label or sample.group in chosen or not sample.images:
                continue
            try:
                for image in sample.images:
                    image.open()
            except DatasetError:
                continue  # fails its own cases, with a message
            chosen[sample.group] = sample
            if len(chosen) == _PARITY_SAMPLES:
                break
        return list(chosen.values())

    def facts(self) -> dict[str, Any]:
        """Plain data on the run that reports do not carry: cells in order, cases expected, the run's manifest."""
        expected: dict[str, int] = {}
        stock_of_selected: dict[str, set[str]] = {}
        for item in self._order:
            case = item.case
            expected[case.cell.id] = expected.get(case.cell.id, 0) + 1
            stock_of_selected.setdefault(case.cell.stock.id, set()).add(case.sample.id)
        # A stock cell is also expected to hold the partners that came along.
        expected |= {cell_id: len(samples) for cell_id, samples in stock_of_selected.items()}
        cells = [cell for cell in self.sweep.cells if cell.id in expected]
        return {
            "cells": [cell.to_dict() for cell in cells],
            "expected": expected,
            "gates": [str(gate) for gate in self.sweep.gates],
            "output": str(self.sweep.settings.output),
            "manifest": describe_run(self),
        }

    def started(self) -> tuple[str, float]:
        """When the run began, ISO 8601 with time zone, and seconds since."""
        at, clock = self._started
        return at.isoformat(timespec="seconds"), time.monotonic() - clock

    # Windows

    def _upcoming(self, item: CaseItem) -> Iterator[Case]:
        """The cases that run after this item and may share its window."""
        groups = {item.case.sample.group}
        for other in itertools.islice(self._queue(item), _MAX_CASES - 1):
            if other.case.block is not item.case.block:
                return
            groups.add(other.case.sample.group)
            if len(groups) > _MAX_IMAGES:
                return
            if other.case.key not in self._ready:
                yield other.case

    def _queue(self, item: CaseItem) -> Iterator[CaseItem]:
        if not hasattr(self.config, "workerinput"):
            yield from itertools.islice(self._order, self._place[id(item)] + 1, None)
            return
        # A worker of pytest-xdist knows what it will run only from its own queue of indices.
        plugins = self.config.pluginmanager.get_plugins()
        runner = next((p for p in plugins if hasattr(p, "torun") and hasattr(p, "nextitem_index")), None)
        if runner is None:
            return
        with runner.torun.lock() as queue:
            indices = [runner.nextitem_index, *itertools.islice(queue, _MAX_CASES)]
        for index in indices:
            if isinstance(index, int) and isinstance(other := self.session.items[index], CaseItem):
                yield other

    def _run_window(self, cases: list[Case]) -> None:
        partners = {
            case.stock.key: case.stock
            for case in cases
            if not case.cell.is_stock and case.stock.key not in self._selected and case.stock.key not in self._partners
        }
        wanted = {case.key: case for case in cases} | partners
        results, keys = self._stored(wanted)
        missing = [case for key, case in wanted.items() if key not in results]
        if missing:
            computed = dict(zip((case.key for case in missing), self._compute(missing), strict=True))
            self._keep([(keys[key], result) for key, result in computed.items() if isinstance(result, Generation)])
            for key, result in computed.items():
                results[key] = result if isinstance(result, CaseFailed) else _score(wanted[key], result, cached=False)
        for key in wanted:
            (self._partners if key in partners else self._ready)[key] = results[key]

    def _stored(
        self, wanted: Mapping[CaseKey, Case]
    ) -> tuple[dict[CaseKey, Measurement | CaseFailed], dict[CaseKey, str]]:
        """What the store answers of `wanted`, and the store keys of the others."""
        results: dict[CaseKey, Measurement | CaseFailed] = {}
        keys: dict[CaseKey, str] = {}
        for key, case in wanted.items():
            try:
                keys[key] = self._store_key(case)
            except DatasetError as error:
                results[key] = CaseFailed(str(error))  # an image that has gone since the dataset was read
        if not self.sweep.settings.fresh:
            found = self.store.get_many(keys.values())
            results |= {
                key: _score(wanted[key], found[stored], cached=True) for key, stored in keys.items() if stored in found
            }
        return results, keys

    def _keep(self, window: Sequence[tuple[str, Generation]]) -> None:
        try:
            self.store.put_many(window)
        except StoreError as error:
            # Going on would compute what cannot be kept; what was stored before is safe.
            pytest.exit(f"vtc: {error}", returncode=pytest.ExitCode.TESTS_FAILED)

    def _compute(self, cases: Sequence[Case]) -> list[Generation | CaseFailed]:
        block = cases[0].block
        jobs = [
            Job(
                case.sample,
                None if case.cell.compressor is None else self.sweep.compressors[case.cell.compressor],
                1.0 if case.cell.ratio is None else case.cell.ratio,
            )
            for case in cases
        ]
        limit = self.sweep.settings.max_new_tokens or block.data.max_new_tokens
        return self.engine(block.model).run(jobs, limit)

    # Keys

    def _store_key(self, case: Case) -> str:
        if case.cell.id not in self._key_parts:
            self._key_parts[case.cell.id] = self._cell_parts(case.block, case.cell)
        return case_key(self._key_parts[case.cell.id] | {"sample": case.sample.fingerprint()})

    def _cell_parts(self, block: Block, cell: Cell) -> dict[str, Any]:
        settings = self.sweep.settings
        identity = self.identities[cell.model]
        parts: dict[str, Any] = {
            "engine": ENGINE_VERSION,
            "model": identity.key_parts(),
            "positions": settings.positions or identity.default_positions,
            "max_new_tokens": settings.max_new_tokens or block.data.max_new_tokens,
        }
        if cell.compressor is not None:
            compressor = self.sweep.compressors[cell.compressor]
            parts["compressor"] = {
                "name": compressor.name,
                "source": source_hash(compressor),
                "parameters": {name: repr(value) for name, value in compressor.parameters.items()},
                "ratio": cell.ratio,
                "seed": settings.seed,
            }
        return parts


def _score(case: Case, generation: Generation, cached: bool) -> Measurement:
    sample = case.sample
    score = (
        rule(case.block.data.scoring).score(generation.answer, sample.answers, sample.options)
        if sample.answers
        else None
    )
    return Measurement(
        cell=case.cell,
        sample=sample.id,
        category=sample.category,
        group=sample.group or sample.id,
        expected=sample.answers,
        generation=generation,
        score=None if score is None else score.value,
        parsed=None if score is None else score.parsed,
        unparsed=False if score is None else score.unparsed,
        cached=cached,
    )
