"""Which compressors no other one beats at the same ratio: the short form of all their pairwise comparisons."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Contender:
    """One compressor at one ratio. standing: better than, worse than and not told apart from so many others there."""

    name: str
    ratio: float
    accuracy: float
    standing: tuple[int, int, int]


def unbeaten(contenders: Sequence[Contender]) -> Iterator[tuple[float, list[str], int]]:
    """Each ratio, the largest first, with those that none is significantly better than, best first, and of how many.

    All of them where no two are told apart.
    """
    for ratio in sorted({contender.ratio for contender in contenders}, reverse=True):
        here = [contender for contender in contenders if contender.ratio == ratio]
        best = [contender for contender in here if not contender.standing[1]]
        yield ratio, [c.name for c in sorted(best, key=lambda c: -c.accuracy)], len(here)


def unbeaten_text(names: Sequence[str], of: int) -> str:
    """`scope, fps (of 10)`, or that no two are told apart."""
    if len(names) == of:
        return f"all {of}: no difference is significant"
    return f"{', '.join(names)} (of {of})"


def ranking_lines(contenders: Sequence[Contender], width: int) -> list[str]:
    """A heading and a line for each ratio; nothing if there is nobody to compare."""
    if not contenders:
        return []
    lines = ["Not significantly beaten by another at the same ratio, best first:"]
    label = max(len(f"{contender.ratio:g}") for contender in contenders)
    for ratio, names, of in unbeaten(contenders):
        start = f"  {f'{ratio:g}'.rjust(label)}  "
        # A name, and the number of all, stay in one piece: their blanks do not break.
        text = unbeaten_text([name.replace(" ", "\xa0") for name in names], of).replace(" (of ", "\xa0(of\xa0")
        wrapped = textwrap.wrap(start + text, width, subsequent_indent=" " * len(start), break_on_hyphens=False)
        lines += [line.replace("\xa0", " ") for line in wrapped]
    return lines
