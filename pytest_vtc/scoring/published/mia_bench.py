"""MIA-Bench's figures: how far instructions are followed as a whole, and by the kind of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered

_KINDS = ("describe", "mention", "length_limit", "linguistics", "grammar", "textual", "math", "perspective")


class MiaBench:
    """Means of 100 x the share of the points, 0 to 100: `total`, and each kind of part over the answers that have it.

    What the rule has parsed are the shares of the parts and the total: `0.75 1 0.9`. The fact `kinds` has the kind of
    each part: `describe,length_limit`. Of two parts of one kind in an instruction the later one counts, as in the
    authors' notebook. An answer without shares counts 0 in all; the notebook leaves out what it cannot read.
    """

    name: ClassVar[str] = "mia_bench"
    decimals: ClassVar[int] = 1
    description: ClassVar[str] = "MIA-Bench's score, in total and per kind of instruction"
    headings: ClassVar[tuple[str, ...]] = ("total", *_KINDS)

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        shares: dict[str, list[float]] = {"total": [row.score for row in rows], **{kind: [] for kind in _KINDS}}
        for row in rows:
            kinds = [kind.strip() for kind in row.facts.get("kinds", "").split(",")]
            parts = _shares(row.parsed) or [0.0] * len(kinds)
            for kind, share in dict(zip(kinds, parts, strict=False)).items():
                if kind not in ("", "total"):
                    shares.setdefault(kind, []).append(share)
        return {name: 100 * sum(found) / len(found) for name, found in shares.items() if found}


def _shares(parsed: str | None) -> list[float]:
    """Of the parts, without the total; empty if there are none."""
    try:
        return [float(share) for share in (parsed or "").split()][:-1]
    except ValueError:
        return []
