"""Published metrics: figures by which the authors of a dataset rank models, where accuracy alone is not theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from pytest_vtc.scoring.base import NO_FACTS


@dataclass(frozen=True, slots=True)
class Answered:
    """One sample of a cell, judged. The fields are those of `pytest_vtc.cells.Measurement`.

    score: 0 to 1. parsed: what the rule read in the answer, None if nothing. expected: the accepted answers.
    """

    sample: str
    score: float
    parsed: str | None
    expected: tuple[str, ...] = ()
    category: str = ""
    group: str = ""
    facts: Mapping[str, str] = field(default_factory=lambda: NO_FACTS)


class Published(Protocol):
    """Figures over all scored samples of one cell. Never raises; a figure that cannot be had is left out.

    headings: the figures that a table shows, in its order, each a key of what `figures` returns. decimals: places that
    they are shown with, 3 for shares of 1, say, and 1 for percentages.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    headings: ClassVar[tuple[str, ...]]
    decimals: ClassVar[int]

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        """rows: at least one. Figures by name, in the unit in which they are published."""
        ...
