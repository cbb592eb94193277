"""Verdicts of gates on made-up runs, for the tests of judging."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_vtc.analysis import analyse
from pytest_vtc.gates import Verdict, parse_gate
from pytest_vtc.judging import evaluate
from pytest_vtc.results import Results
from tests.run_of import HALF, STOCK, run_of


def verdicts_of(results: Results, *gates: str, samples: int | None = None, shard: str | None = None) -> list[Verdict]:
    """samples: of the sweep, per cell; as many as were selected if not given."""
    sweep = {cell.id: results.expected[cell.id] if samples is None else samples for cell in results.cells}
    return evaluate([parse_gate(gate) for gate in gates], results, analyse(results), sweep, shard)


def judged(results: Results, *gates: str, **more: Any) -> list[tuple[str, str, str]]:
    return [(verdict.name, verdict.outcome, verdict.reason) for verdict in verdicts_of(results, *gates, **more)]


def lost_and_gained(n: int, lost: int, gained: int = 0, right: int | None = None) -> Results:
    """n samples, `right` (or all but the gained) of them right in stock, of which `lost` are lost in divprune@0.5."""
    right = n - gained if right is None else right
    stock = [1.0] * right + [0.0] * (n - right)
    half = [0.0] * lost + [1.0] * (right - lost + gained) + [0.0] * (n - right - gained)
    return run_of({STOCK: stock, HALF: half})


def with_kv(results: Results, n_bytes: int) -> Results:
    rows = [replace(m, generation=replace(m.generation, kv_bytes=n_bytes)) for m in results.measurements]
    return replace(results, measurements=rows)
