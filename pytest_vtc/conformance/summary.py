"""The table at the end of a conformance run, as lines of text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_vtc.conformance.properties import SLOW, TIMED
from pytest_vtc.report.columns import Column, broken, tabulated

_WIDTH = 80


@dataclass(frozen=True)
class Tried:
    """One property of one compressor, as it came out.

    n_properties: that the compressor has in all. outcome: passed, failed or skipped, the latter for `reason`. seconds:
    what an image takes, if that was what was tried.
    """

    compressor: str
    n_properties: int
    name: str
    outcome: str
    seconds: float | None
    reason: str


def summary(specs: Sequence[str], tried: Sequence[Tried]) -> list[str]:
    """Lines of at most 80 characters: a table, what was broken, what was not tried and why."""
    rows = [(spec, found) for spec in specs if (found := [each for each in tried if each.compressor == spec])]
    table = tabulated(
        [
            Column("Compressor", [broken(spec, 36) for spec, _ in rows]),
            Column("Verdict", [_verdict(found) for _, found in rows]),
            Column("Time per image", [_time(found) for _, found in rows]),
        ]
    )
    notes = [f"{spec} breaks {', '.join(_names(found, 'failed'))}" for spec, found in rows if _names(found, "failed")]
    notes += _not_tried(specs, tried)
    slow = [spec for spec, found in rows if any((each.seconds or 0) > SLOW for each in found)]
    if slow:
        notes.append(f"slow, more than {SLOW:g} s an image: {', '.join(slow)}")
    if any(each.seconds is not None for each in tried):
        rows_, columns = TIMED.image.grid
        notes.append(
            f"time: keeping {TIMED.n_target} of {rows_ * columns} tokens of width {TIMED.image.features.shape[1]}, one "
            "image at a time, on the CPU"
        )
    return [
        *table,
        "",
        *(
            line
            for note in notes
            for line in textwrap.wrap(note, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)
        ),
    ]


def _verdict(found: Sequence[Tried]) -> str:
    n_broken, n_skipped, n = len(_names(found, "failed")), len(_names(found, "skipped")), len(found)
    of_all = found[0].n_properties
    if n_broken:
        return f"breaks {n_broken} of {n}"
    if "runs" in _names(found, "skipped") or n_skipped == n:
        return "not tried"
    if n < of_all:
        return f"holds {n - n_skipped} of {of_all}"
    return "conforms"


def _time(found: Sequence[Tried]) -> str:
    seconds = next((each.seconds for each in found if each.seconds is not None), None)
    if seconds is None:
        return "--"
    ms = seconds * 1000
    return f"{ms:.{2 if ms < 1 else 1 if ms < 100 else 0}f} ms"


def _names(found: Sequence[Tried], outcome: str) -> list[str]:
    return [each.name for each in found if each.outcome == outcome]


def _not_tried(specs: Sequence[str], tried: Sequence[Tried]) -> list[str]:
    """Why some properties were not tried, those with one reason together."""
    names: dict[tuple[str, str], list[str]] = {}
    for each in tried:
        if each.outcome == "skipped":
            names.setdefault((each.compressor, each.reason), []).append(each.name)
    compressors: dict[tuple[str, str], list[str]] = {}
    for (spec, reason), of_spec in names.items():
        what = ", ".join(of_spec) if len(of_spec) < 6 else f"{len(of_spec)} properties"
        compressors.setdefault((what, reason), []).append(spec)
    return [
        f"not tried, as {reason}: {what} of {'each' if len(of) == len(specs) > 1 else ', '.join(of)}"
        for (what, reason), of in compressors.items()
    ]
