"""Tables for LaTeX, with booktabs' rules: what goes into a paper."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_vtc.report.columns import broken
from pytest_vtc.report.figures import MARK
from pytest_vtc.report.sheets import Item, Sheet

_HEADING = 12  # longer ones stand over several lines

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{char: f"\\{char}" for char in "&%$#_{}"},
}

_NUMBER = re.compile(r"(?<![\w.])[+-]\d+(?:\.\d+)?")
"""A number with a sign, which is a minus and not a hyphen."""


def page(found: Iterable[Sheet]) -> str:
    r"""The tables one below the other, each a `table` of its own; they need `\usepackage{booktabs}`."""
    return "\n".join(["% needs \\usepackage{booktabs}", *map(_table, found)])


def _table(sheet: Sheet) -> str:
    headings = " & ".join(map(_heading, sheet.headings))
    caption = " ".join(f"{_plain(text)}." for text in (f"{sheet.about}: {sheet.title}", *map(_note, sheet.notes)))
    lines = [
        r"\begin{table}",
        r"  \centering\small",
        rf"  \caption{{{caption}}}",
        rf"  \begin{{tabular}}{{l{'r' * (len(sheet.headings) - 1)}}}",
        r"    \toprule",
        rf"    {headings} \\",
        r"    \midrule",
    ]
    before = None
    at = sheet.headings.index("Ratio") if "Ratio" in sheet.headings else None
    for row in sheet.rows:
        ratio = None if at is None else row[at].text
        if before is not None and ratio != before:
            lines.append(r"    \addlinespace")
        before = ratio
        # {}: a star or bracket after the line break before would be taken for its argument.
        start = "{}" if row[0].text[:1] in ("*", "[") else ""
        lines.append(rf"    {start}{' & '.join(map(_item, row))} \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])


def _heading(text: str) -> str:
    lines = [_plain(line) for part in text.split("\n") for line in broken(part, _HEADING).split("\n")]
    return lines[0] if len(lines) == 1 else r"\shortstack[r]{" + r" \\ ".join(lines) + "}"


def _note(note: str) -> str:
    return note.replace(f"{MARK}: ", "Asterisk: ").replace(f"{MARK} at", "Asterisk at")


def _item(item: Item) -> str:
    text = _figure(item.text)
    text = rf"\textbf{{{text}}}" if item.best else text
    text += rf"\textsuperscript{{{MARK}}}" if item.marked else ""
    return f"{text} {_figure(item.interval)}".strip()


def _figure(text: str) -> str:
    """With a minus where a figure has one; only what is made of figures, so that names stay as they are."""
    if re.fullmatch(r"[\d\[\](){}%., +=><-]*", text):
        text = text.replace("->", "\0")
        return re.sub(_NUMBER, lambda found: f"${found[0]}$", _plain(text)).replace("\0", r"$\to$")
    return _plain(text)


def _plain(text: str) -> str:
    """Text in which nothing is a command, on one line."""
    return "".join(_SPECIAL.get(char, char) for char in " ".join(text.split()))
