"""The source of measurements: answers windows of cases from the store, and has the engine compute the rest."""

from __future__ import annotations

import datetime
import gc
import itertools
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pytest

from pytest_vtc.case_keys import CaseKeys
from pytest_vtc.case_scores import AnsweredCase, CaseScores, Result
from pytest_vtc.cells import CaseFailed, Generation, Measurement
from pytest_vtc.collection import CaseItem, SkippedCellItem
from pytest_vtc.datasets.base import DatasetError, Sample
from pytest_vtc.engine import Engine, Job
from pytest_vtc.gates import is_gated
from pytest_vtc.in_flight import Company, InFlight, InFlightError, bury_dead, marker_name, prune
from pytest_vtc.loading_progress import loading_in_sight
from pytest_vtc.manifest_fields import LoadedModel
from pytest_vtc.models.attention import attention_in_use
from pytest_vtc.models.backend import PromptError
from pytest_vtc.models.catalogue import TINY, ModelError, ModelLocation
from pytest_vtc.models.loading import load_backend
from pytest_vtc.models.precision import precision_in_use
from pytest_vtc.parity import ParityError, check_parity, usable_samples
from pytest_vtc.prompt_lengths import check_prompts
from pytest_vtc.run_manifest import describe_run
from pytest_vtc.schedule import WINDOW_CASES, WINDOW_IMAGES, Schedule, cautious_window
from pytest_vtc.store import STORE_NAME, Store, StoreError
from pytest_vtc.sweep import Block, Case, Sweep
from pytest_vtc.worker import Worker


class PartnerFailed(CaseFailed):
    """A case was measured, its stock partner was not: the error is the partner's."""

    of_partner = True


@dataclass(frozen=True)
class Found:
    """What a case brings. rows: measurements, its own first, each with its place in the sweep."""

    rows: list[tuple[int, Measurement]]
    partner_failed: PartnerFailed | None


class Bench:
    """`measure` is called by each item as it runs; the first case of a window computes the window.

    A stock partner that is not about to run as an item of its own comes along. On a worker of pytest-xdist the window
    is what its queue holds, the store is only read, and `outbox` gathers what the controller is to store.
    Raises StoreError, InFlightError or ModelError.
    """

    def __init__(self, config: pytest.Config, session: pytest.Session, sweep: Sweep) -> None:
        self.session, self.sweep = session, sweep
        self._started = datetime.datetime.now().astimezone(), time.monotonic()
        self._worker = Worker.of(config, session)
        self.store = Store(sweep.settings.output / STORE_NAME, readonly=self._worker is not None)
        self.keys = CaseKeys(sweep)
        self._scores = CaseScores(sweep)
        self.loaded: dict[str, LoadedModel] = {}
        self.windows = 0
        """How many windows were computed or looked up: few, whatever order the items run in."""
        self._engine: tuple[str, Engine] | None = None
        self._ready: dict[int, Result] = {}
        self._partners: dict[int, Result] = {}
        self._outbox: list[tuple[str, Generation]] = []
        self._stopped = ""
        self._news = True
        self.schedule = Schedule(sweep, (item.order for item in session.items if isinstance(item, CaseItem)))
        self._computed = np.zeros(sweep.n_cases, dtype=np.bool_)
        self._partner_sent = np.zeros(sweep.n_cases, dtype=np.bool_)
        output = sweep.settings.output
        self._in_flight = InFlight(output, marker_name("" if self._worker is None else self._worker.name))
        if self._worker is None:
            bury_dead(output)  # otherwise the controller has done so
        self._in_flight.refresh()
        # Items and what was imported are there to stay. To look through them for garbage, again and again, takes as
        # long as pytest takes for a test.
        gc.freeze()

    # What an item asks for

    def measure(self, item: CaseItem) -> Found:
        """The case's measurement, and its stock partner's if no item of its own brings that.

        Raises CaseFailed if the case could not be measured.
        """
        case = item.case
        self.schedule.asked(case.order)
        if case.order not in self._ready:
            self._run_window(case)
        found = self._ready.pop(case.order)
        self.schedule.delivered(case.order)
        stock = case.stock.order
        partner = None if case.cell.is_stock else self._partners.get(stock)
        if not self.schedule.needs_partner(stock):
            self._partners.pop(stock, None)
        if isinstance(found, CaseFailed):
            raise found
        rows = [(case.order, found)]
        if isinstance(partner, CaseFailed):
            return Found(rows, PartnerFailed(f"measured, but its stock partner could not be: {partner}"))
        if partner is not None and not self._partner_sent[stock]:
            self._partner_sent[stock] = True
            rows.append((stock, partner))
        return Found(rows, None)

    def engine(self, model: ModelLocation) -> Engine:
        """The engine on a model, which is loaded on first need, checked for parity, and let go when another is asked.

        Ends the session if the model cannot be loaded or its compressed path is not the stock model.
        """
        if self._engine is None or self._engine[0] != model.label:
            self._engine = None  # frees the previous model before the next one is loaded
            gc.unfreeze()
            gc.collect()
            self._engine = (model.label, self._load(model))
            gc.freeze()
        return self._engine[1]

    def _load(self, model: ModelLocation) -> Engine:
        settings = self.sweep.settings
        if self._stopped:
            raise CaseFailed(self._stopped)
        device = None if self._worker is None else self._worker.claim_device()
        try:
            with loading_in_sight(self.session.config) as say:
                backend = load_backend(
                    model,
                    settings.dtype,
                    settings.quantization,
                    device,
                    attention=settings.attention,
                    trust_remote_code=settings.trust_remote_code,
                    on_progress=None if model.label == TINY else say,  # it is small, and always there
                )
            mine = [block for block in self.sweep.blocks if block.model == model]
            for block in mine:
                longest = 1 if settings.answers == "letters" else block.max_new_tokens
                check_prompts(backend, block.data.name, self.schedule.samples(block), longest)
            first = itertools.chain.from_iterable(map(self.schedule.one_of_each_image, mine))
            parity = check_parity(backend, usable_samples(backend, first), batched=settings.batch_size != 1)
        except (ModelError, PromptError, ParityError) as error:
            self._stop(str(error))
        except (RuntimeError, AssertionError) as error:
            # Kernels that this machine or this quantisation lacks show at the first forward pass.
            self._stop(f"{model.label} does not run here: {type(error).__name__}: {error}")
        self.loaded[model.label] = {
            "parity": parity.to_dict(),
            "overridden": backend.overridden,
            **precision_in_use(backend.model),
            "attention": attention_in_use(backend.model),
        }
        self._news = True
        return Engine(
            backend,
            positions=settings.positions,
            batch_size=settings.batch_size,
            seed=settings.seed,
            answers=settings.answers,
        )

    def _stop(self, message: str) -> NoReturn:
        """End the session: nothing that is left of it could be measured."""
        if self._worker is None:
            pytest.exit(f"vtc: {message}", returncode=pytest.ExitCode.TESTS_FAILED)
        # A worker that exits is taken for one that crashed: it fails its case with the reason, and takes no more.
        self._stopped = message
        self.session.shouldstop = f"vtc: {message}"
        raise CaseFailed(message)

    # What results need beside measurements

    def outbox(self) -> list[tuple[str, dict[str, Any]]]:
        """On a worker: what the controller is to store, by store key, as plain data; each is handed out once."""
        rows, self._outbox = self._outbox, []
        return [(key, generation.to_dict()) for key, generation in rows]

    def news(self) -> dict[str, Any] | None:
        """`facts`, if something that reports do not carry has changed since the last call, otherwise None."""
        changed, self._news = self._news, False
        return self.facts() if changed else None

    def facts(self) -> dict[str, Any]:
        """Plain data on the run that reports do not carry: cells in order, cases expected, the run's manifest."""
        # Distinct cases: two test functions in a suite measure the same ones.
        expected = self.schedule.expected()
        sweep = self.sweep
        cells = [cell for cell in sweep.cells if cell.id in expected or is_gated(cell, sweep.gates)]
        seen = {item.skipped for item in self.session.items if isinstance(item, SkippedCellItem)}
        skipped = [item for item in sweep.skipped if item in seen or is_gated(item.cell, sweep.gates)]
        return {
            "cells": [cell.to_dict() for cell in cells],
            "skipped": [item.to_dict() for item in skipped],
            "expected": expected,
            "samples": {cell.id: len(block.data.samples) for block in self.sweep.blocks for cell in block.cells},
            "gates": [str(gate) for gate in self.sweep.gates],
            "gate_inconclusive": self.sweep.settings.gate_inconclusive,
            "output": str(self.sweep.settings.output),
            "shard": None if self.sweep.settings.shard is None else str(self.sweep.settings.shard),
            "manifest": describe_run(self),
        }

    def command(self) -> list[str]:
        """The command line that began the run: on a worker, its controller's."""
        workerinput: Mapping[str, Any] = getattr(self.session.config, "workerinput", {})
        return [str(part) for part in workerinput.get("mainargv", sys.argv)]

    def started(self) -> tuple[str, float]:
        """When the run began, ISO 8601 with time zone, and seconds since."""
        at, clock = self._started
        return at.isoformat(timespec="seconds"), time.monotonic() - clock

    def close(self) -> None:
        """At the end of the session: forget the suspects that were measured."""
        gc.unfreeze()
        try:
            if self._worker is None:  # otherwise the controller does, which sees all workers
                self._in_flight.settle()
                prune(self.sweep.settings.output, self.store)
            self.store.close()
        except StoreError as error:
            self._stop(str(error))

    # Windows

    def _limits(self, block: Block) -> tuple[int, int]:
        """The largest number of cases and of images in a window of this block: what the model at work has shown."""
        known = self._engine is not None and self._engine[0] == block.model.label
        cases, images = self._engine[1].limits.window() if known and self._engine else (WINDOW_CASES, WINDOW_IMAGES)
        if self.sweep.settings.sequential:
            # An image is never split for it: that would have its features computed more than once.
            cases = min(cases, max(cautious_window(self.schedule.n_done(block)), self.schedule.largest_image(block)))
        return cases, images

    def _run_window(self, first: Case) -> None:
        if self._worker is not None:
            self.schedule.assign(self._worker.queue(self.schedule), self._ready)
            self._refresh()
        self.windows += 1
        window = self.schedule.window(first.order, *self._limits(first.block))
        partners = [
            stock
            for stock in dict.fromkeys(self.sweep.case(order).stock.order for order in window)
            if not self.schedule.selected[stock] and stock not in self._partners
        ]
        wanted = {order: self.sweep.case(order) for order in (*window, *partners)}
        results, keys = self._stored(wanted)
        missing = [order for order in window if order not in results]
        together = self._together(first.order, missing, keys)
        done = sorted({*window} - {*missing} | {*together})
        needed = {self.sweep.case(order).stock.order for order in done}
        alongside = [stock for stock in partners if stock in needed and stock not in results]
        for orders in self._runs(first.order, together, alongside, keys):
            results |= self._run([wanted[order] for order in orders], keys, self._upcoming(window))
        self._partners |= {stock: results[stock] for stock in partners if stock in results}
        self._ready |= {order: results[order] for order in done}
        self.schedule.ready(done)

    def _together(self, first: int, missing: Sequence[int], keys: Mapping[int, str]) -> list[int]:
        """The cases of a window that are computed with `first`: not those that are suspected of killing the process."""
        company = self._company(first, keys) if first in missing else Company.WINDOW
        if company >= Company.ALONE:
            return [first]
        alike = [order for order in missing if self._company(order, keys) == company]
        return alike if company == Company.WINDOW else [o for o in alike if self.schedule.same_image(first, o)]

    def _runs(
        self, first: int, together: list[int], partners: list[int], keys: Mapping[int, str]
    ) -> Iterable[list[int]]:
        """The runs of the engine for a window: one, unless a suspect has to be alone."""
        alone = {stock for stock in partners if self._company(stock, keys) > Company.WINDOW}
        if first in together and self._company(first, keys) >= Company.ALONE:
            alone = {*partners}
        yield from ([stock] for stock in sorted(alone))
        if rest := [*together, *(stock for stock in partners if stock not in alone)]:
            yield rest

    def _upcoming(self, window: Sequence[int]) -> Iterator[Sample]:
        """The samples of the cases after a window, as far as it is worth while to look for them."""
        orders = itertools.islice(self.schedule.upcoming(window), 4 * WINDOW_CASES)
        return (self.sweep.case(order).sample for order in orders)

    def _run(self, cases: Sequence[Case], keys: Mapping[int, str], upcoming: Iterable[Sample]) -> dict[int, Result]:
        """Compute these cases together and store them. upcoming: samples of the cases that follow."""
        block = cases[0].block
        own = [keys[case.order] for case in cases]
        companies = {self._in_flight.company(key) for key in own}
        if Company.NONE in companies:
            return {case.order: CaseFailed(_how_it_died(self._in_flight.report(keys[case.order]))) for case in cases}
        engine = self.engine(block.model)  # a model that kills the process as it is loaded is no case's fault
        jobs = [
            Job(
                case.sample,
                None if case.cell.compressor is None else self.sweep.compressors[case.cell.compressor],
                1.0 if case.cell.ratio is None else case.cell.ratio,
            )
            for case in cases
        ]
        company = max(companies)
        if len(cases) == 1 and company > Company.WINDOW:
            company = max(company, Company.ALONE)  # a suspect that has no company left, whatever it was allowed
        try:
            with self._in_flight.computing(own, company):
                computed = engine.run(jobs, block.max_new_tokens, upcoming)
        except InFlightError as error:
            self._stop(str(error))
        self._keep([(key, found) for key, found in zip(own, computed, strict=True) if isinstance(found, Generation)])
        self._computed[[case.order for case in cases]] = True
        pairs = list(zip(cases, computed, strict=True))
        failed = {case.order: found for case, found in pairs if isinstance(found, CaseFailed)}
        return failed | self._scored(
            AnsweredCase(case, found, cached=False) for case, found in pairs if isinstance(found, Generation)
        )

    def _company(self, order: int, keys: Mapping[int, str]) -> Company:
        return self._in_flight.company(keys[order])

    def _refresh(self) -> None:
        try:
            self._in_flight.refresh()
        except InFlightError as error:
            self._stop(str(error))

    def _stored(self, wanted: Mapping[int, Case]) -> tuple[dict[int, Result], dict[int, str]]:
        """What the store answers of `wanted`, and the store keys of all that have one."""
        results: dict[int, Result] = {}
        keys: dict[int, str] = {}
        for order, case in wanted.items():
            try:
                keys[order] = self.keys.key(case)
            except DatasetError as error:
                results[order] = CaseFailed(str(error))
        # A fresh run still takes from the store what it has put there itself.
        allowed = [key for order, key in keys.items() if not self.sweep.settings.fresh or self._computed[order]]
        try:
            found = self.store.get_many(allowed)
        except StoreError as error:
            self._stop(str(error))
        results |= self._scored(
            AnsweredCase(wanted[order], found[key], cached=not self._computed[order])
            for order, key in keys.items()
            if key in found
        )
        return results, keys

    def _scored(self, answers: Iterable[AnsweredCase]) -> dict[int, Result]:
        try:
            return self._scores.results(answers)
        except StoreError as error:
            self._stop(str(error))

    def _keep(self, window: Sequence[tuple[str, Generation]]) -> None:
        if self._worker is not None:
            self._outbox.extend(window)
            return
        try:
            self.store.put_many(window)
        except StoreError as error:
            # Going on would compute what cannot be kept; what was stored before is safe.
            self._stop(str(error))


def _how_it_died(how: str) -> str:
    return (
        f"the process died while this case was computed alone{f' ({how})' if how else ''}; "
        "its neighbours were measured, and the same command tries it again"
    )
