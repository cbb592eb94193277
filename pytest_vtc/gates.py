"""Gates: limits on accuracy or on its loss, written by a person, judged on complete cells only."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, cast, get_args

from pytest_vtc.cells import Cell, SkippedCell
from pytest_vtc.results import CellSummary

Condition = Literal["max_drop", "min_accuracy"]
Outcome = Literal["pass", "fail", "inconclusive", "not judged", "not decided"]

FORM = (
    'PATTERN: CONDITION[, CONDITION], such as "divprune@0.5: max_drop=2.5" (percentage points below stock) '
    'or "*@0.5: min_accuracy=90" (percent)'
)

_ROUNDING = 1e-9  # a drop of 5 in 200 samples is 2.5000000000000004 points


class GateError(ValueError):
    """A gate that cannot be read; the message says why and how one is written."""


@dataclass(frozen=True)
class Limit:
    """One condition. value: percentage points for `max_drop`, percent for `min_accuracy`; 0 to 100."""

    condition: Condition
    value: float

    def __str__(self) -> str:
        return f"{self.condition}={self.value:g}"


@dataclass(frozen=True)
class Gate:
    """Limits for every cell that matches. pattern: shell wildcards (`*`, `?`, `[...]`), case matters."""

    pattern: str
    limits: tuple[Limit, ...]

    def __str__(self) -> str:
        return f"{self.pattern}: {', '.join(map(str, self.limits))}"

    def matches(self, cell: Cell) -> bool:
        """Whether the pattern fits the cell's variant, its dataset/variant or its whole id; never a stock cell."""
        names = (cell.variant, f"{cell.dataset}/{cell.variant}", cell.id)
        # A spec may hold brackets, which are wildcards to fnmatch: what is written exactly always matches.
        return not cell.is_stock and any(name == self.pattern or fnmatchcase(name, self.pattern) for name in names)


@dataclass(frozen=True)
class Verdict:
    """What a limit says about a cell. name: `divprune@0.5 max_drop=2.5`, unique in its run."""

    name: str
    cell: Cell
    outcome: Outcome
    reason: str


def parse_gate(text: str) -> Gate:
    """Read one gate, `PATTERN: CONDITION[, CONDITION]`. Raises GateError."""
    # From the right: the parameters in a compressor's spec may hold a colon, conditions cannot.
    pattern, colon, conditions = text.rpartition(":")
    pattern = pattern.strip()
    if not colon:
        raise GateError(f"gate {text!r} has no colon; write {FORM}")
    if not pattern:
        raise GateError(f"gate {text!r} names no cells; write {FORM}")
    limits = tuple(_limit(text, part.strip()) for part in conditions.split(","))
    for limit in limits:
        if sum(other.condition == limit.condition for other in limits) > 1:
            raise GateError(f"gate {text!r} has {limit.condition} twice; write {FORM}")
    return Gate(pattern, limits)


def unmatched(gates: Iterable[Gate], cells: Sequence[Cell]) -> list[Gate]:
    """The gates that match no cell but stock: they would never be judged."""
    return [gate for gate in gates if not any(gate.matches(cell) for cell in cells)]


def is_gated(cell: Cell, gates: Iterable[Gate]) -> bool:
    """Whether any gate matches the cell."""
    return any(gate.matches(cell) for gate in gates)


def evaluate(
    gates: Sequence[Gate],
    summaries: Sequence[CellSummary],
    samples: Mapping[str, int],
    complete: bool,
    shard: str | None = None,
    skipped: Sequence[SkippedCell] = (),
) -> list[Verdict]:
    """One verdict per gate, matching cell and limit, in that order; a limit met twice on one cell is judged once.

    samples: cell id -> samples of the sweep; a cell of which fewer were selected is not decided.
    complete: False if the run ended before its last case; nothing is decided then. shard: the part of a run that this
    is, which decides nothing either. skipped: cells that their models cannot run; of these nothing is decided.
    A drop passes if it is at most its limit, an accuracy if it is at least its limit.
    """
    cells = [*(summary.cell for summary in summaries), *(item.cell for item in skipped)]
    where = {(cell.model, cell.dataset) for cell in cells}

    def name(cell: Cell, limit: Limit) -> str:
        return f"{cell.id if len(where) > 1 else cell.variant} {limit}"

    verdicts: dict[str, Verdict] = {}
    for gate in gates:
        for summary in summaries:
            if not gate.matches(summary.cell):
                continue
            for limit in gate.limits:
                if shard is not None:
                    outcome, reason = "not decided", f"this is shard {shard}: merge the shards first"
                else:
                    outcome, reason = _judge(limit, summary, samples[summary.cell.id], complete)
                verdict = Verdict(name(summary.cell, limit), summary.cell, outcome, reason)
                verdicts.setdefault(verdict.name, verdict)
        for item, limit in itertools.product(skipped, gate.limits):
            if gate.matches(item.cell):
                verdict = Verdict(name(item.cell, limit), item.cell, "not decided", f"not run: {item.reason}")
                verdicts.setdefault(verdict.name, verdict)
    return list(verdicts.values())


def _limit(text: str, condition: str) -> Limit:
    name, equals, number = (part.strip() for part in condition.partition("="))
    if not condition:
        raise GateError(f"gate {text!r} lacks a condition; write {FORM}")
    if name not in get_args(Condition):
        raise GateError(
            f"gate {text!r}: unknown condition {name!r}; known: {', '.join(get_args(Condition))}; write {FORM}"
        )
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not equals or not 0 <= value <= 100:
        raise GateError(f"gate {text!r}: {name} needs a number from 0 to 100, not {number!r}; write {FORM}")
    return Limit(cast("Condition", name), value)


def _judge(limit: Limit, summary: CellSummary, n_samples: int, complete: bool) -> tuple[Outcome, str]:
    if not complete:
        return "not decided", "the run was interrupted"
    if summary.n_expected < n_samples:
        return "not decided", f"only {summary.n_expected} of its {n_samples} cases were selected"
    if summary.n_missing or summary.n_errors:
        failed = f", {summary.n_errors} of them failed with an error" if summary.n_errors else ""
        return "not decided", f"{summary.n_missing} of {summary.n_expected} cases are missing{failed}"
    if not summary.scored or summary.accuracy is None:
        return "not decided", f"dataset {summary.cell.dataset} has no answers to score by"
    if limit.condition == "min_accuracy":
        percent = summary.accuracy.estimate * 100
        outcome = "pass" if percent >= limit.value - _ROUNDING else "fail"
        return outcome, f"accuracy {percent:.2f} % over {summary.n_scored} samples; at least {limit.value:g} % asked"
    if summary.delta_pp is None or summary.n_paired < summary.n_scored:
        lacking = summary.n_scored - summary.n_paired
        return "not decided", f"{lacking} of its {summary.n_scored} samples have no stock measurement"
    drop = -summary.delta_pp.estimate
    outcome = "pass" if drop <= limit.value + _ROUNDING else "fail"
    change = f"{abs(drop):.2f} pp {'below' if drop > 0 else 'above'} stock" if drop else "equal to stock"
    return outcome, f"{change} over {summary.n_paired} paired samples; at most {limit.value:g} pp below allowed"
