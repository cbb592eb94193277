"""Gates: limits on what compression costs, as a person writes them, and what they say. Judging is in judging.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, cast, get_args

from pytest_vtc.cells import Cell

Condition = Literal["max_drop", "min_accuracy", "min_retained", "max_kv_bytes"]
Rule = Literal["interval", "point"]
Outcome = Literal["pass", "fail", "inconclusive", "not judged"]
InconclusiveAs = Literal["skip", "fail", "pass"]

FORM = (
    'PATTERN: CONDITION[, CONDITION or QUALIFIER], such as "divprune@0.5: max_drop=2.5" or '
    '"*@0.25: min_retained=0.97, category=count"; max_drop is in percentage points below stock, min_accuracy in '
    "percent, min_retained a share of stock's accuracy, max_kv_bytes in bytes a sample"
)

_QUALIFIERS = ("category", "rule")
_RANGES: dict[str, tuple[float, str]] = {
    "max_drop": (100.0, "a number from 0 to 100"),
    "min_accuracy": (100.0, "a number from 0 to 100"),
    "min_retained": (1.0, "a share from 0 to 1"),
}
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_QUOTED = r'"[^"]*"|\'[^\']*\''
_CONDITIONS = re.compile(rf"(?:[^:\"']|{_QUOTED})*")
_NEEDS_QUOTES = re.compile(r"[,:\"'\s]|^$")


class GateError(ValueError):
    """A gate that cannot be read or judged; the message says why and how one is written."""


@dataclass(frozen=True)
class Limit:
    """One condition. value: points for `max_drop`, percent for `min_accuracy`, a share of 1, or bytes per sample."""

    condition: Condition
    value: float

    @property
    def is_upper(self) -> bool:
        """Whether the figure may be at most the value; otherwise it must be at least that."""
        return self.condition.startswith("max_")

    def __str__(self) -> str:
        short = f"{self.value:g}" if self.condition != "max_kv_bytes" else f"{self.value:.0f}"
        return f"{self.condition}={short if float(short) == self.value else repr(self.value)}"


@dataclass(frozen=True)
class Gate:
    """Limits for every cell that matches. pattern: shell wildcards (`*`, `?`, `[...]`), case matters.

    category: pattern of the categories that are judged, each by itself; None for the whole dataset. rule: whether the
    95 % interval or the estimate alone is held against a limit. source: file and line, if it was read from a file.
    """

    pattern: str
    limits: tuple[Limit, ...]
    category: str | None = None
    rule: Rule = "interval"
    source: str = field(default="", compare=False)

    def __str__(self) -> str:
        parts = [*map(str, self.limits)]
        if self.category is not None:
            parts.append(f"category={quoted(self.category)}")
        if self.rule == "point":
            parts.append("rule=point")
        return f"{self.pattern}: {', '.join(parts)}"

    @property
    def called(self) -> str:
        """The gate as messages speak of it."""
        return f"{self.source}: gate {str(self)!r}" if self.source else f"gate {str(self)!r}"

    def matches(self, cell: Cell) -> bool:
        """Whether the pattern fits the cell's variant, its dataset/variant or its whole id; never a stock cell."""
        names = (cell.variant, f"{cell.dataset}/{cell.variant}", cell.id)
        return not cell.is_stock and any(_fits(name, self.pattern) for name in names)

    def takes(self, category: str) -> bool:
        """Whether a category is one of those that are judged."""
        return self.category is not None and _fits(category, self.category)


@dataclass(frozen=True)
class Verdict:
    """What a limit says about a cell, about all seeds of one together, or about a category of them.

    name: `divprune@0.5 max_drop=2.5`, unique in its run. cell: of several seeds, the one called as the group is.
    outcome: `inconclusive` if the interval holds the limit, `not judged` if there is nothing to judge by.
    limit, estimate, low, high: in the unit of the limit; a drop is positive where accuracy was lost. low, high: the
    95 % interval. n: samples. n_needed: about how many would decide. All None where there is none.
    """

    name: str
    cell: Cell
    outcome: Outcome
    reason: str
    condition: str | None = None
    limit: float | None = None
    category: str | None = None
    rule: Rule = "interval"
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    n_needed: int | None = None


def reported(outcome: Outcome, inconclusive: InconclusiveAs) -> Literal["passed", "failed", "skipped"]:
    """How a verdict counts as a test. inconclusive: what --vtc-gate-inconclusive says."""
    if outcome == "inconclusive":
        return {"skip": "skipped", "fail": "failed", "pass": "passed"}[inconclusive]  # type: ignore[return-value]
    return "passed" if outcome == "pass" else "failed" if outcome == "fail" else "skipped"


# Reading


def read_gates(entries: Iterable[str], folder: Path) -> tuple[Gate, ...]:
    """Gates as they are given: one each, or `@FILE` with one a line, blank lines and # comments aside.

    folder: what a relative FILE is relative to. Raises GateError, with file and line for one in a file.
    """
    gates: list[Gate] = []
    for entry in entries:
        if entry.startswith("@"):
            gates += _read_file(folder / Path(entry[1:]).expanduser())
        else:
            gates.append(parse_gate(entry))
    return tuple(gates)


def _read_file(path: Path) -> Iterable[Gate]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise GateError(f"cannot read the gates in {path} ({why}); write @FILE with one gate a line") from error
    for number, line in enumerate(lines, 1):
        if text := re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip():
            yield parse_gate(text, f"{path}:{number}")


def parse_gate(text: str, source: str = "") -> Gate:
    """Read one gate, `PATTERN: CONDITION[, CONDITION or QUALIFIER]`. Raises GateError.

    source: where it stands, which messages begin with.
    """
    named = f"{source}: gate {text!r}" if source else f"gate {text!r}"
    pattern, parts = _split(named, text)
    limits: list[Limit] = []
    qualifiers: dict[str, str] = {}
    for part in parts:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not part:
            raise GateError(f"{named} lacks a condition; write {FORM}")
        if name not in (*get_args(Condition), *_QUALIFIERS):
            raise GateError(
                f"{named}: unknown condition {name!r}; known: {', '.join(get_args(Condition))}, and the qualifiers "
                f"{' and '.join(_QUALIFIERS)}; write {FORM}"
            )
        if name in qualifiers or name in (limit.condition for limit in limits):
            raise GateError(f"{named} has {name} twice; write {FORM}")
        if name in _QUALIFIERS:
            qualifiers[name] = _qualifier(named, name, value)
        else:
            condition = cast("Condition", name)
            limits.append(Limit(condition, _value(named, condition, value if equals else "")))
    if not limits:
        raise GateError(f"{named} lacks a condition; write {FORM}")
    rule = cast("Rule", qualifiers.get("rule", "interval"))
    return Gate(pattern, tuple(limits), qualifiers.get("category"), rule, source)


def _split(named: str, text: str) -> tuple[str, list[str]]:
    """The pattern, and what stands behind the last colon that is not quoted there, cut at commas outside quotes."""
    # From the right: the parameters in a compressor's spec, and names of models, may hold a colon.
    starts = [i for i, character in enumerate(text) if character == ":"]
    at = next((i for i in starts if _CONDITIONS.fullmatch(text, i + 1)), None)
    if at is None:
        raise GateError(
            f"{named} has {'no colon outside quotes, or an open quote' if starts else 'no colon'}; write {FORM}; a "
            "category with a comma, a colon or a quote in it needs quotes around it"
        )
    pattern, rest = text[:at].strip(), text[at + 1 :]
    if not pattern:
        raise GateError(f"{named} names no cells; write {FORM}")
    return pattern, [part.strip() for part in re.split(rf",(?=(?:[^\"']|{_QUOTED})*$)", rest)]


def _qualifier(named: str, name: str, value: str) -> str:
    if name == "rule":
        if value not in get_args(Rule):
            raise GateError(f"{named}: rule is {' or '.join(get_args(Rule))}, not {value!r}; write {FORM}")
        return value
    if not value:
        raise GateError(f"{named}: category needs a name, such as category=count or category=*; write {FORM}")
    return value[1:-1] if re.fullmatch(_QUOTED, value) else value


def _value(named: str, condition: Condition, text: str) -> float:
    if condition == "max_kv_bytes":
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", text, re.IGNORECASE)
        if found is None:
            raise GateError(
                f"{named}: {condition} needs a number of bytes, such as 1500000, 1.5MB or 1.5MiB, not {text!r}; "
                f"write {FORM}"
            )
        return float(found[1]) * _UNITS[(found[2] or "").lower()]
    highest, asked = _RANGES[condition]
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= highest:
        raise GateError(f"{named}: {condition} needs {asked}, not {text!r}; write {FORM}")
    return value


def quoted(category: str) -> str:
    """A category as it is written in a gate: in quotes if it could be misread without."""
    if not _NEEDS_QUOTES.search(category):
        return category
    return f'"{category}"' if "'" in category else f"'{category}'"


# Matching


def unmatched(gates: Iterable[Gate], cells: Sequence[Cell]) -> list[Gate]:
    """The gates that match no cell but stock: they would never be judged."""
    return [gate for gate in gates if not any(gate.matches(cell) for cell in cells)]


def without_category(gates: Iterable[Gate], cells: Sequence[Cell], categories: Mapping[str, set[str]]) -> list[Gate]:
    """The gates whose category is none of any dataset that they are about: they would never be judged.

    categories: those of each dataset of the cells.
    """
    lost: list[Gate] = []
    for gate in gates:
        datasets = {cell.dataset for cell in cells if gate.matches(cell)}
        if gate.category is not None and not any(gate.takes(name) for data in datasets for name in categories[data]):
            lost.append(gate)
    return lost


def is_gated(cell: Cell, gates: Iterable[Gate]) -> bool:
    """Whether any gate matches the cell."""
    return any(gate.matches(cell) for gate in gates)


def _fits(name: str, pattern: str) -> bool:
    # A spec may hold brackets, which are wildcards to fnmatch: what is written exactly always matches.
    return name == pattern or fnmatchcase(name, pattern)
