"""Notes on answers that a rule cannot read and scores all the same: what a compressor gains by babbling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_NAMED = 6


@dataclass(frozen=True)
class Unparsed:
    """One row. n: answers; n_unparsed: of them. by_chance, by_default: as in `pytest_vtc.results.CellSummary`."""

    name: str
    n: int
    n_unparsed: int
    by_chance: float
    by_default: float


def unparsed_notes(rule: str, rows: Sequence[Unparsed]) -> list[str]:
    """How many answers were unparsed and what they are worth, of the rows where that is anything.

    Stock, then the worst first.
    """
    return [
        *_note(f"Unparsed, scored by chance ({rule} guesses)", [(row, row.by_chance) for row in rows]),
        *_note(f"Unparsed, scored by what {rule} falls back on", [(row, row.by_default) for row in rows]),
    ]


def _note(what: str, rows: Sequence[tuple[Unparsed, float]]) -> list[str]:
    worth = [each for each in rows if each[1]]
    worth.sort(key=lambda each: (each[0].name != "stock", -each[0].n_unparsed / each[0].n))
    if not worth:
        return []
    said = [
        f"{row.name} {100 * row.n_unparsed / row.n:.1f} %, worth {100 * score / row.n:.1f} points of accuracy"
        for row, score in worth[:_NAMED]
    ]
    said[1:] = [each.removesuffix(" points of accuracy") for each in said[1:]]
    more = len(worth) - len(said)
    return [f"{what}: {'; '.join(said)}{f'; and {more} more with fewer' if more else ''}"]
