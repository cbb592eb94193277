"""Decides which cases are computed together, answers from the store what it holds, and hands the rest to the engine."""

from __future__ import annotations

import bisect
import datetime
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import pytest

from pytest_vtc.cells import Cell, Generation, Measurement
from pytest_vtc.collection import CaseItem
from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.discovery import source_hash
from pytest_vtc.engine import CaseFailed, Engine, Job
from pytest_vtc.models.catalogue import ModelError, ModelLocation
from pytest_vtc.models.identity import identify
from pytest_vtc.models.loading import load_backend
from pytest_vtc.parity import ParityError, check_parity, usable_samples
from pytest_vtc.results import LoadedModel
from pytest_vtc.run_manifest import describe_run
from pytest_vtc.scoring import rule
from pytest_vtc.store import Store, StoreError, case_key
from pytest_vtc.sweep import Block, Case, Sweep

ENGINE_VERSION = 1
"""Part of every key: raised when the engine or a backend changes what a case can answer."""

_MAX_CASES = 512
_MAX_IMAGES = 16


class PartnerFailed(CaseFailed):
    """A case was measured, its stock partner was not: the error is the partner's."""

    of_partner = True


@dataclass(frozen=True)
class Found:
    """What a case brings. rows: measurements, its own first, each with its place in the sweep."""

    rows: list[tuple[int, Measurement]]
    partner_failed: PartnerFailed | None


class Bench:
    """The session's source of measurements: `measure` is called by each item as it runs.

    The first case of a window computes the window: the next cases in the sweep's order, of the same model and dataset,
    up to some hundred cases or a few images. A stock partner that is not about to run as an item of its own comes with
    them.
    """

    def __init__(self, config: pytest.Config, session: pytest.Session, sweep: Sweep) -> None:
        self.config, self.session, self.sweep = config, session, sweep
        self._started = datetime.datetime.now().astimezone(), time.monotonic()
        self.store = Store(sweep.settings.output / "measurements.sqlite")
        self.identities = {
            block.model.label: identify(block.model, sweep.settings.dtype, sweep.settings.quantization)
            for block in sweep.blocks
        }
        # Once, at the start: a file that is edited during the run is not what this run imported.
        self.source_hashes = {spec: source_hash(compressor) for spec, compressor in sweep.compressors.items()}
        self.loaded: dict[str, LoadedModel] = {}
        self._engine: tuple[str, Engine] | None = None
        self._is_worker = hasattr(config, "workerinput")
        self._ready: dict[int, Measurement | CaseFailed] = {}
        self._partners: dict[int, Measurement | CaseFailed] = {}
        self._delivered: set[int] = set()
        self._computed: set[str] = set()
        self._stopped = ""
        self.windows = 0
        """How many windows were computed or looked up: few, whatever order the items run in."""
        self._news = True
        self._order: list[CaseItem] = [item for item in session.items if isinstance(item, CaseItem)]
        self._remaining = Counter(item.case.order for item in self._order)
        """Items still to ask for each case: one, or one per test function."""
        distinct = {item.case.order: item.case for item in self._order}
        self._selected = set(distinct)
        self._by_block: dict[int, list[Case]] = {}
        for case in sorted(distinct.values(), key=lambda case: case.order):
            self._by_block.setdefault(id(case.block), []).append(case)
        self._key_parts: dict[str, dict[str, Any]] = {}

    # What an item asks for

    def measure(self, item: CaseItem) -> Found:
        """The case's measurement, and its stock partner's if no item of its own brings that.

        Raises CaseFailed if the case could not be measured.
        """
        case = item.case
        self._remaining[case.order] -= 1
        if case.order not in self._ready:
            self._run_window([case, *self._upcoming(case)])
        found = self._ready.pop(case.order)
        if isinstance(found, CaseFailed):
            raise found
        rows = [(case.order, found)]
        partner = None if case.cell.is_stock else self._partners.get(case.stock.order)
        if isinstance(partner, CaseFailed):
            return Found(rows, PartnerFailed(f"measured, but its stock partner could not be: {partner}"))
        if partner is not None and case.stock.order not in self._delivered:
            self._delivered.add(case.stock.order)
            rows.append((case.stock.order, partner))
        return Found(rows, None)

    def engine(self, model: ModelLocation) -> Engine:
        """The engine on a model, which is loaded on first need, checked for parity, and let go when another is asked.

        Ends the session if the model cannot be loaded or its compressed path is not the stock model.
        """
        if self._engine is None or self._engine[0] != model.label:
            self._engine = None  # frees the previous model before the next one is loaded
            self._engine = (model.label, self._load(model))
        return self._engine[1]

    def _load(self, model: ModelLocation) -> Engine:
        settings = self.sweep.settings
        if self._stopped:
            raise CaseFailed(self._stopped)
        try:
            backend = load_backend(model, settings.dtype, settings.quantization)
            samples = usable_samples(backend, self._samples(model))
            parity = check_parity(backend, samples, batched=settings.batch_size != 1)
        except (ModelError, ParityError) as error:
            self._stop(str(error))
        except (RuntimeError, AssertionError) as error:
            # Kernels that this machine or this quantisation lacks show at the first forward pass.
            self._stop(f"{model.label} does not run here: {type(error).__name__}: {error}")
        self.loaded[model.label] = {
            "parity": parity.to_dict(),
            "overridden": backend.overridden,
            "dtype": str(backend.dtype).removeprefix("torch."),
        }
        self._news = True
        return Engine(backend, positions=settings.positions, batch_size=settings.batch_size, seed=settings.seed)

    def _samples(self, model: ModelLocation) -> Iterator[Sample]:
        """The run's own samples on a model, one of each group, in order."""
        groups: set[str] = set()
        for item in self._order:
            sample = item.case.sample
            if item.case.cell.model == model.label and sample.group not in groups:
                groups.add(sample.group)
                yield sample

    def _stop(self, message: str) -> NoReturn:
        """End the session: nothing that is left of it could be measured."""
        if not self._is_worker:
            pytest.exit(f"vtc: {message}", returncode=pytest.ExitCode.TESTS_FAILED)
        # A worker that exits is taken for one that crashed: it fails its case with the reason, and takes no more.
        self._stopped = message
        self.session.shouldstop = f"vtc: {message}"
        raise CaseFailed(message)

    # What results need beside measurements

    def news(self) -> dict[str, Any] | None:
        """`facts`, if something that reports do not carry has changed since the last call, otherwise None."""
        changed, self._news = self._news, False
        return self.facts() if changed else None

    def facts(self) -> dict[str, Any]:
        """Plain data on the run that reports do not carry: cells in order, cases expected, the run's manifest."""
        # Distinct cases: two test functions in a suite measure the same ones.
        selected: dict[str, set[str]] = {}
        for item in self._order:
            case = item.case
            selected.setdefault(case.cell.id, set()).add(case.sample.id)
            # A stock cell is also expected to hold the partners that come along.
            selected.setdefault(case.cell.stock.id, set()).add(case.sample.id)
        gated = {cell.id for gate in self.sweep.gates for cell in self.sweep.cells if gate.matches(cell)}
        cells = [cell for cell in self.sweep.cells if cell.id in selected or cell.id in gated]
        return {
            "cells": [cell.to_dict() for cell in cells],
            "expected": {cell_id: len(samples) for cell_id, samples in selected.items()},
            "samples": {cell.id: len(block.data.samples) for block in self.sweep.blocks for cell in block.cells},
            "gates": [str(gate) for gate in self.sweep.gates],
            "output": str(self.sweep.settings.output),
            "manifest": describe_run(self),
        }

    def started(self) -> tuple[str, float]:
        """When the run began, ISO 8601 with time zone, and seconds since."""
        at, clock = self._started
        return at.isoformat(timespec="seconds"), time.monotonic() - clock

    # Windows

    def _upcoming(self, first: Case) -> Iterator[Case]:
        """The cases that share the window of `first`: those still to come of its model and dataset.

        In the sweep's order, whatever order the items run in: cases of one image belong together also if a plugin has
        shuffled the items.
        """
        groups = {first.sample.group}
        n_cases = 1
        for case in self._pending(first):
            groups.add(case.sample.group)
            n_cases += 1
            if len(groups) > _MAX_IMAGES or n_cases > _MAX_CASES:
                return
            yield case

    def _pending(self, first: Case) -> Iterator[Case]:
        if self._is_worker:
            own = sorted((item.case for item in self._own_queue()), key=lambda case: case.order)
            candidates = [case for case in own if case.block is first.block]
        else:
            candidates = self._by_block[id(first.block)]
        start = bisect.bisect_right(candidates, first.order, key=lambda case: case.order)
        for case in itertools.chain(candidates[start:], candidates[:start]):
            if self._remaining[case.order] and case.order not in self._ready and case.order != first.order:
                yield case

    def _own_queue(self) -> Iterator[CaseItem]:
        """What this worker of pytest-xdist is going to run next: only its own queue of indices tells."""
        plugins = self.config.pluginmanager.get_plugins()
        runner = next((p for p in plugins if hasattr(p, "torun") and hasattr(p, "nextitem_index")), None)
        if runner is None or not hasattr(runner.torun, "lock"):
            return  # an xdist without that queue: cases are computed one by one
        with runner.torun.lock() as queue:
            indices = [runner.nextitem_index, *itertools.islice(queue, _MAX_CASES)]
        for index in indices:
            if isinstance(index, int) and isinstance(item := self.session.items[index], CaseItem):
                yield item

    def _run_window(self, cases: list[Case]) -> None:
        partners = {
            case.stock.order: case.stock
            for case in cases
            if not case.cell.is_stock
            and case.stock.order not in self._selected
            and case.stock.order not in self._partners
        }
        wanted = {case.order: case for case in cases} | partners
        self.windows += 1
        results, keys = self._stored(wanted)
        missing = [case for key, case in wanted.items() if key not in results]
        if missing:
            computed = dict(zip((case.order for case in missing), self._compute(missing), strict=True))
            self._keep([(keys[key], result) for key, result in computed.items() if isinstance(result, Generation)])
            for key, result in computed.items():
                results[key] = result if isinstance(result, CaseFailed) else _score(wanted[key], result, cached=False)
        for key in wanted:
            (self._partners if key in partners else self._ready)[key] = results[key]

    def _stored(self, wanted: Mapping[int, Case]) -> tuple[dict[int, Measurement | CaseFailed], dict[int, str]]:
        """What the store answers of `wanted`, and the store keys of the others."""
        results: dict[int, Measurement | CaseFailed] = {}
        keys: dict[int, str] = {}
        for key, case in wanted.items():
            try:
                keys[key] = self._store_key(case)
            except DatasetError as error:
                results[key] = CaseFailed(str(error))  # an image that has gone since the dataset was read
        # A fresh run still takes from the store what it has put there itself.
        allowed = [stored for stored in keys.values() if not self.sweep.settings.fresh or stored in self._computed]
        try:
            found = self.store.get_many(allowed)
        except StoreError as error:
            self._stop(str(error))
        results |= {
            key: _score(wanted[key], found[stored], cached=stored not in self._computed)
            for key, stored in keys.items()
            if stored in found
        }
        return results, keys

    def _keep(self, window: Sequence[tuple[str, Generation]]) -> None:
        try:
            self.store.put_many(window)
        except StoreError as error:
            # Going on would compute what cannot be kept; what was stored before is safe.
            self._stop(str(error))
        self._computed.update(key for key, _ in window)

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
        return self.engine(block.model).run(jobs, block.max_new_tokens)

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
            "max_new_tokens": block.max_new_tokens,
        }
        if cell.compressor is not None:
            compressor = self.sweep.compressors[cell.compressor]
            parts["compressor"] = {
                "name": compressor.name,
                "source": self.source_hashes[cell.compressor],
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
