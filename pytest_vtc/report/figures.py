"""How figures are written for people: percent, percentage points, intervals, p-values, tokens."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_vtc.standings import SIGNIFICANT
from pytest_vtc.statistics import Interval

MARK = "*"
"""Stands behind a figure that differs significantly."""

ANYTIME = "{ }: the same of cells that were judged after every image; they hold however often one has looked"
"""What braces mean."""

PUBLISHED = (
    "( ) at published metrics: difference to stock, over the samples measured in both; point estimates, as intervals "
    "and tests are of the accuracy"
)
"""What parentheses mean."""

YES = "Yes: answers read as yes; no other answer than yes and no is expected"

NOTHING = "--"
"""Stands where there is no figure."""


def tenths(value: float, signed: bool = False) -> str:
    """With one decimal place; a small loss is 0.0 and not -0.0."""
    return rounded(value, 1, signed)


def percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f}%"


def p_value(p: float | None) -> str:
    if p is None:
        return NOTHING
    text = "<0.001" if p < 0.001 else f"{p:.3f}"
    return f"{p:.4f}" if text == f"{SIGNIFICANT:.3f}" else text  # on which side of the limit it lies is to be seen


def yes_rate(n_yes: int | None, n_measured: int) -> float | None:
    """Share of the measured answers; None where yes is not asked for, or nothing was measured."""
    return n_yes / n_measured if n_yes is not None and n_measured else None


def mean_tokens(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def tokens(whole: float | None, kept: float | None, stock: bool) -> str:
    """`64->32`: of how many tokens how many were really kept; means over the samples."""
    if whole is None or kept is None:
        return NOTHING
    return mean_tokens(whole) if stock else f"{mean_tokens(whole)}->{mean_tokens(kept)}"


def spread(accuracies: Sequence[float]) -> str:
    """`45.5..52.0`: the lowest and the highest in percent; nothing if there are none."""
    return f"{100 * min(accuracies):.1f}..{100 * max(accuracies):.1f}" if accuracies else ""


def bracketed(interval: Interval | None, pad: int = 0) -> str:
    """`[-3.0, -0.2]`, each end at least `pad` wide; in braces if it is anytime-valid; nothing where there is none."""
    if interval is None or interval.low is None or interval.high is None:
        return ""
    left, right = "{}" if interval.anytime else "[]"
    return f"{left}{tenths(interval.low).rjust(pad)}, {tenths(interval.high).rjust(pad)}{right}"


def with_intervals(estimates: Sequence[str], intervals: Sequence[Interval | None]) -> list[str]:
    """Each estimate with its interval behind it, the ends padded so that a right-aligned column lines up."""
    ends = [end for i in intervals if i is not None for end in (i.low, i.high) if end is not None]
    pad = max((len(tenths(end)) for end in ends), default=0)
    return [f"{text} {bracketed(i, pad)}".rstrip() for text, i in zip(estimates, intervals, strict=True)]


def rounded(value: float, places: int, signed: bool = False) -> str:
    """With so many decimal places; a small loss is 0.0 and not -0.0."""
    return f"{round(value, places) or 0.0:{'+' if signed else '-'}.{places}f}"


def cut_groups(cut: Sequence[tuple[str, int]], left_out: bool) -> str:
    """A note on rows that lack samples of groups, with how many. left_out: whether such groups do not count at all."""
    said = ", ".join(f"{n:,} at {name}" for name, n in cut)
    return f"Groups with samples missing, {'left out' if left_out else 'their others counted'}: {said}"


def standing_text(standing: tuple[int, int, int] | None) -> str:
    """`+7 -1 =3`: better than 7 others, worse than 1, not told apart from 3."""
    return NOTHING if standing is None else "+{} -{} ={}".format(*standing)
