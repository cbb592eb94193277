"""Columns of text that know their width: what the terminal report is laid out with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tabulate import tabulate

Colour = Literal["bold", "red", "green", "yellow"]
Paint = Callable[[str, Colour], str]

GAP = 2
"""Blanks between two columns."""

_CODES: dict[Colour, str] = {"bold": "1", "red": "31", "green": "32", "yellow": "33"}


@dataclass(frozen=True)
class Column:
    """One column of a table. A heading or cell may have several lines; colours: of each cell, none if empty."""

    heading: str
    cells: Sequence[str]
    colours: Sequence[Colour | None] = ()

    @property
    def width(self) -> int:
        return max(len(line) for cell in (self.heading, *self.cells) for line in cell.split("\n"))

    def only(self, rows: Sequence[int]) -> Column:
        """The column with these rows alone."""
        return Column(self.heading, [self.cells[row] for row in rows])


def painter(enabled: bool) -> Paint:
    """A function that colours a text for the terminal, or leaves it as it is."""

    def paint(text: str, colour: Colour) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if enabled else text

    return paint


def total_width(columns: Sequence[Column]) -> int:
    """Width of a table of these columns."""
    return sum(column.width for column in columns) + GAP * max(0, len(columns) - 1)


def tabulated(columns: Sequence[Column], paint: Paint | None = None) -> list[str]:
    """The lines of a table: the first column to the left, all others to the right."""
    painted = [
        [paint(cell, colour) if paint and colour else cell for cell, colour in zip(c.cells, c.colours, strict=True)]
        if c.colours
        else c.cells
        for c in columns
    ]
    # Headings go in as a row of their own: as headings, tabulate makes every column two wider than its heading.
    rows = [[c.heading for c in columns], ["-" * c.width for c in columns], *zip(*painted, strict=True)]
    align = ["left", *["right"] * (len(columns) - 1)]
    return tabulate(rows, tablefmt="plain", colalign=align, disable_numparse=True).split("\n")


def chunks(columns: Sequence[Column], room: int) -> list[list[Column]]:
    """The columns in order, in as few runs as fit `room` each, gaps before every column included; at least one run."""
    found: list[list[Column]] = [[]]
    left = room
    for column in columns:
        if found[-1] and GAP + column.width > left:
            found.append([])
            left = room
        found[-1].append(column)
        left -= GAP + column.width
    return found


def broken(name: str, width: int) -> str:
    """A name over lines of at most `width`, broken after `_`, `(`, `=`, a comma or a blank where that is possible."""
    words = re.split(r"(?<=[_(=, ])", name)
    lines = [""]
    for piece in (word[start : start + width] for word in words for start in range(0, len(word), width)):
        if len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def clipped(text: str, width: int) -> str:
    """One line of printable text of at most `width` characters."""
    flat = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return flat if len(flat) <= width else f"{flat[: width - 3]}..."
