"""A results.json as GitHub's Markdown: gates, tables, and folded what is long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import get_args

from pytest_vtc.cells import MEANINGLESS
from pytest_vtc.report.document_rows import Document, all_rows, places
from pytest_vtc.report.figures import MARK
from pytest_vtc.report.sheets import Item, Sheet, What, samples_of, sheets

_FOLDED = 2


@dataclass(frozen=True)
class _Part:
    """A piece of the page. rank: what may be left out for want of room, the highest first; 0 stays."""

    text: str
    rank: int = 0


def render(document: Document, room: int | None = None) -> str:
    """The whole page. room: bytes of UTF-8 that it may have; folded parts are left out first, then tables.

    Returns nothing but a sentence where even the gates need more room than there is.
    """
    parts = list(_parts(document))
    whole = len(parts)
    while room is not None and _size(parts, whole) > room:
        rank = max(part.rank for part in parts)
        if not rank:
            return _left_out(whole)
        last = max(i for i, part in enumerate(parts) if part.rank == rank)
        del parts[last]
    return _joined(parts, whole)


def table(sheet: Sheet) -> str:
    """One table, the first column to the left, all others to the right."""
    headings = [_plain(heading) for heading in sheet.headings]
    rules = [":--", *["--:"] * (len(headings) - 1)]
    return "\n".join(_row(cells) for cells in (headings, rules, *(map(_item, row) for row in sheet.rows)))


def page(found: Iterable[Sheet]) -> str:
    """Tables alone, each under a heading, and below them what their columns mean."""
    blocks: list[str] = []
    notes: list[str] = []
    for sheet in found:
        blocks += [f"### {_plain(sheet.about)}\n\n{_plain(sheet.title)}", table(sheet)]
        notes += sheet.notes
    return "\n\n".join([*blocks, *_notes(notes)]) + "\n"


def _parts(document: Document) -> Iterator[_Part]:
    run = document["manifest"]["run"]
    yield _Part("## Vision-token compression")
    if document["interrupted"]:
        yield _Part("**Interrupted: this is not the whole run.**")
    if run["shard"] is not None:
        yield _Part(f"**Shard {_plain(run['shard'])}: one part of a run.**")
    if document["errors"]:
        n = len(document["errors"])
        yield _Part(f"**{n:,} case{' was' if n == 1 else 's were'} not measured.**")
    if verdicts := document["gates"]["verdicts"]:
        rows = [[f"**{_plain(v['outcome'])}**", _code(v["name"]), _plain(v["reason"])] for v in verdicts]
        yield _Part("### Gates")
        yield _Part("\n".join(map(_row, (["Verdict", "Gate", "Why"], [":--"] * 3, *rows))))
    notes: list[str] = []
    by_kind: dict[What, list[Sheet]] = {what: list(sheets(document, what)) for what in get_args(What)}
    rows = all_rows(document)
    for model, dataset in places(document):
        about = f"{model} on {dataset}"
        here = [row for row in rows if (row.model, row.dataset) == (model, dataset)]
        yield _Part(f"### {_plain(about)}\n\n{_plain(samples_of(document, here))}")
        if document["manifest"]["models"][model]["random_weights"]:
            yield _Part(f"**{_plain(MEANINGLESS)}**")
        own = {what: [sheet for sheet in found if sheet.about == about] for what, found in by_kind.items()}
        for sheet in own["cells"]:
            notes += sheet.notes
            yield _Part(table(sheet), rank=1)
        for sheet in own["published"]:
            notes += sheet.notes
            yield _Part(_plain(sheet.title))
            yield _Part(table(sheet), rank=1)
        for sheet in own["categories"]:
            if len(sheet.headings) > 3:
                notes += sheet.notes
                yield _Part(_folded(sheet.title, [table(sheet)]), _FOLDED)
        if own["pairs"]:
            notes += own["pairs"][0].notes
            blocks = [block for sheet in own["pairs"] for block in (_plain(sheet.title), table(sheet))]
            yield _Part(_folded("Compressors against each other at equal ratio", blocks), _FOLDED)
    for sheet in by_kind["shares"]:
        notes += sheet.notes
        yield _Part(f"### {_plain(sheet.about)}: {_plain(sheet.title)}")
        yield _Part(table(sheet), rank=1)
    remarks = [*_substitutes(document), *_not_run(document)]
    if remarks:
        yield _Part(_folded("What compressors did instead, and what was not run", _notes(remarks)), _FOLDED)
    yield from map(_Part, _notes(notes))


def _joined(parts: Sequence[_Part], whole: int) -> str:
    blocks = [part.text for part in parts]
    return "\n\n".join([*blocks, *([_left_out(whole - len(parts)).strip()] if len(parts) < whole else [])]) + "\n"


def _size(parts: Sequence[_Part], whole: int) -> int:
    return len(_joined(parts, whole).encode("utf-8", "replace"))


def _left_out(n: int) -> str:
    what = "1 part of this summary is" if n == 1 else f"{n} parts of this summary are"
    return f"{what} left out for want of room: `python -m pytest_vtc export results.json --format markdown` has all.\n"


def _substitutes(document: Document) -> list[str]:
    measured = {(cell["model"], cell["compressor"]) for cell in document["cells"]}
    return [
        f"{compressor} on {model}: {sentence}"
        for model, about in document["manifest"]["models"].items()
        for compressor, said in about["substitutes"].items()
        if (model, compressor) in measured
        for sentence in said.values()
    ]


def _not_run(document: Document) -> list[str]:
    variants: dict[tuple[str, str, str], list[str]] = {}
    for item in document["skipped"]:
        variants.setdefault((item["model"], item["dataset"], item["reason"]), []).append(item["variant"])
    return [f"Not run: {', '.join(names)} on {model}, {data}: {why}" for (model, data, why), names in variants.items()]


def _notes(notes: Sequence[str]) -> list[str]:
    """One list, each note once; nothing if there are none."""
    return ["\n".join(f"- {_plain(note)}" for note in dict.fromkeys(notes))] if notes else []


def _folded(summary: str, blocks: Sequence[str]) -> str:
    return "\n\n".join([f"<details><summary>{_plain(summary)}</summary>", *blocks, "</details>"])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _item(item: Item) -> str:
    text = _code(item.text) if item.is_name else _plain(item.text)
    text = f"**{text}**" if item.best else text
    text += f"\\{MARK}" if item.marked else ""
    return f"{text} {item.interval}".strip()


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line, also in a table."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    for special in "\\`*_[]|~":
        flat = flat.replace(special, f"\\{special}")
    return flat


def _code(text: str) -> str:
    """As code; what cannot stand in code is replaced by what looks like it."""
    return f"`{' '.join(text.split()).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
