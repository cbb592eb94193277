"""Columns of text that know their width: what the terminal report is laid out with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_vtc.report.figures import MARK

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


def marked(cells: Sequence[str], marks: Sequence[bool]) -> list[str]:
    """The cells with a mark, or where others have one a blank, behind them, so that their figures line up."""
    if not any(marks):
        return list(cells)
    return [f"{cell}{MARK if mark else ' '}" for cell, mark in zip(cells, marks, strict=True)]


def painter(enabled: bool) -> Paint:
    """A function that colours a text for the terminal, or leaves it as it is."""

    def paint(text: str, colour: Colour) -> str:
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if enabled else text

    return paint


def total_width(columns: Sequence[Column]) -> int:
    """Width of a table of these columns."""
    return sum(column.width for column in columns) + GAP * max(0, len(columns) - 1)


def tabulated(columns: Sequence[Column], paint: Paint | None = None) -> list[str]:
    """The lines of a table, none ending in blanks: the first column to the left, all others to the right."""
    plain: list[Colour | None] = [None] * len(columns)
    lines = [
        *_row([column.heading for column in columns], plain, columns, None),
        *_row(["-" * column.width for column in columns], plain, columns, None),
    ]
    colours = [column.colours or [None] * len(column.cells) for column in columns]
    for cells, of_row in zip(zip(*(c.cells for c in columns), strict=True), zip(*colours, strict=True), strict=True):
        lines += _row(cells, of_row, columns, paint)
    return lines


def _row(
    cells: Sequence[str], colours: Sequence[Colour | None], columns: Sequence[Column], paint: Paint | None
) -> list[str]:
    """The lines of one row: as many as its highest cell has."""
    split = [cell.split("\n") for cell in cells]
    lines: list[str] = []
    for level in range(max(map(len, split))):
        line = ""
        for rank, (parts, colour, column) in enumerate(zip(split, colours, columns, strict=True)):
            text = parts[level] if level < len(parts) else ""
            padding = " " * (column.width - len(text))
            # Painted without its padding, and padded by its own length: codes have no width.
            text = paint(text, colour) if paint and colour and text else text
            line += " " * GAP * (rank > 0) + (padding + text if rank else text + padding)
        lines.append(line.rstrip())
    return lines


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
