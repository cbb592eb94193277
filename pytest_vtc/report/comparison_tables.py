"""Run against run as lines for a terminal: what differs in the settings, a table of cells, the answers that changed."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from pytest_vtc.baseline import BaselineComparison
from pytest_vtc.cells import Cell
from pytest_vtc.report.columns import Colour, Column, Paint, broken, chunks, clipped, marked, tabulated, total_width
from pytest_vtc.report.figures import MARK, NOTHING, p_value, percent, tenths, with_intervals
from pytest_vtc.run_comparison import CellComparison, Flip, Kind
from pytest_vtc.run_differences import Difference
from pytest_vtc.standings import SIGNIFICANT
from pytest_vtc.statistics import Interval

_NAME = 24
_NAMED_CELLS = 8
_WORDS: dict[Kind, str] = {
    "gained": "gained",
    "lost": "lost",
    "wrong_otherwise": "wrong",
    "other_answer": "other",
}


def baseline_lines(compared: BaselineComparison, width: int, paint: Paint) -> list[str]:
    """What a run says at its end of its baseline: the cells in which an answer changed, one line if none did."""
    baseline, cells = compared.baseline, compared.cells
    lines = [paint(clipped(f"Compared with the baseline {baseline.name}, sample by sample", width), "bold")]
    changed = [cell for cell in cells if cell.flips]
    if not changed:
        lines.append(unchanged_line(cells))
    else:
        same = len(cells) - len(changed)
        lines += [f"{_cells(same)} of {len(cells):,} without any change; the others:", ""] if same else [""]
        lines += [*cell_tables(changed, width, paint), *legend(compared.n_tests, width)]
    lines += _only(f"Not in {baseline.name}, and not compared", baseline.new, width)
    lines += _only(f"Only in {baseline.name}", baseline.gone, width)
    return [*lines, *_told(compared.differences, width)]


def unchanged_line(cells: Sequence[CellComparison]) -> str:
    """What is said where no answer changed."""
    both = [cell for cell in cells if cell.n]
    return f"No answer changed: {_cells(len(both))}, {sum(cell.n for cell in both):,} answers."


def difference_lines(differences: Sequence[Difference], width: int, paint: Paint) -> list[str]:
    """What differs between the settings of two runs, a line each; first what should have forbidden it."""
    forbidding = [difference for difference in differences if difference.forbids]
    lines: list[str] = []
    if forbidding:
        warning = (
            "THESE RUNS DIFFER IN WHAT CHANGES EVERY ANSWER. What follows does not tell its effect from that of the "
            "compressors:"
        )
        lines += [paint(line, "red") for line in textwrap.wrap(warning, width)]
        lines += [line for difference in forbidding for line in _wrapped(str(difference), width)]
    return [*lines, *_told(differences, width)]


def _told(differences: Sequence[Difference], width: int) -> list[str]:
    told = [difference for difference in differences if not difference.forbids]
    if not told:
        return []
    also = "also " if len(told) < len(differences) else ""
    return [f"The runs {also}differ in:", *(line for difference in told for line in _wrapped(str(difference), width))]


def cell_tables(cells: Sequence[CellComparison], width: int, paint: Paint) -> list[str]:
    """A heading and a table for each model and dataset; columns that do not fit stand in a table below."""
    lines: list[str] = []
    places: dict[tuple[str, str, str], list[CellComparison]] = {}
    for cell in cells:
        places.setdefault((cell.before.model, cell.after.model, cell.after.dataset), []).append(cell)
    for (one, other, dataset), here in places.items():
        model = other if one == other else f"{one} -> {other}"
        counts = sorted({cell.n for cell in here})
        n = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        lines.append(paint(clipped(f"{model} on {dataset}: {n} samples in both runs", width), "bold"))
        lines += [*_left_over(here, width), ""]
        fixed = [
            Column("Compressor", [broken(cell.after.compressor or "stock", _NAME) for cell in here]),
            Column("Ratio", ["1" if cell.after.ratio is None else f"{cell.after.ratio:g}" for cell in here]),
        ]
        for columns in chunks(_figures(here), width - total_width(fixed)):
            lines += [*tabulated([*fixed, *columns], paint), ""]
    return lines


def legend(n_tests: int, width: int) -> list[str]:
    """What the columns of `cell_tables` mean."""
    said = (
        "Change: percentage points, over the samples scored in both, with its 95 % interval, clustered by image. "
        f"p (Holm): corrected for {n_tests:,} cell{'' if n_tests == 1 else 's'}; {MARK} if below {SIGNIFICANT:g}. "
        "Flips: answers gained (+) and lost (-). Other: changed for no better or worse. Same: not changed."
    )
    return textwrap.wrap(said, width)


def flip_lines(flips: Sequence[Flip], limit: int, width: int) -> list[str]:
    """The answers of a cell that changed, `limit` of them: kind, sample, what was expected, before and after."""
    if not flips:
        return []
    cell = flips[0].after.cell
    kinds = Counter(flip.kind for flip in flips)
    counts = ", ".join(f"{kinds[kind]:,} {word}" for kind, word in _WORDS.items() if kinds[kind])
    lines = [clipped(f"{cell.id}: {counts}", width)]
    shown = flips[:limit]
    room = min(width // 3, max((len(flip.after.sample) for flip in shown), default=0))
    for flip in shown:
        expected = f"expected {' or '.join(map(repr, flip.after.expected))}: " if flip.after.expected else ""
        answers = f"{flip.before.answer!r} -> {flip.after.answer!r}"
        start = f"  {_WORDS[flip.kind]:6}  {clipped(flip.after.sample, room).ljust(room)}  "
        lines.append(start + clipped(f"{clipped(expected, width // 3)} {answers}", width - len(start)))
    if len(flips) > len(shown):
        lines.append(f"  and {len(flips) - len(shown):,} more")
    return lines


def only_lines(name: str, cells: Sequence[Cell], width: int, role: str) -> list[str]:
    """The cells that only one of the runs has. role: which of them that is."""
    return _only(f"Only in {name}, {role}", cells, width)


def _only(what: str, cells: Sequence[Cell], width: int) -> list[str]:
    if not cells:
        return []
    names = [cell.id for cell in cells[:_NAMED_CELLS]]
    rest = f" and {len(cells) - _NAMED_CELLS:,} more" if len(cells) > _NAMED_CELLS else ""
    return _wrapped(f"{what}: {', '.join(names)}{rest}", width, indent="")


def _figures(cells: Sequence[CellComparison]) -> list[Column]:
    versus = [cell.versus for cell in cells]
    kinds = [Counter(flip.kind for flip in cell.flips) for cell in cells]
    changes = [None if v is None else v.difference_pp for v in versus]
    agreement = [_agreement(cell) for cell in cells]
    columns = [
        Column("Before", [percent(_estimate(cell.accuracy_before)) for cell in cells]),
        Column("After", [percent(_estimate(cell.accuracy_after)) for cell in cells]),
        Column("Change", _changes(cells, changes), [_tint(cell) for cell in cells]),
        Column("p (Holm)", [p_value(cell.p_holm) for cell in cells]),
        Column("Flips", [f"+{kind['gained']:,} -{kind['lost']:,}" for kind in kinds]),
        Column("Other", [f"{kind['wrong_otherwise'] + kind['other_answer']:,}" for kind in kinds]),
        Column("Same", [percent(share) for share in agreement]),
        Column("Share", [percent(None if v is None else _estimate(v.share)) for v in versus]),
        Column("p", [p_value(None if v is None else v.p) for v in versus]),
    ]
    return columns if any(versus) else [column for column in columns if column.heading in ("Other", "Same")]


def _agreement(cell: CellComparison) -> float | None:
    if cell.versus is not None:
        return cell.versus.agreement
    return (cell.n - len(cell.flips)) / cell.n if cell.n else None


def _left_over(cells: Sequence[CellComparison], width: int) -> list[str]:
    uneven = len({(cell.only_before, cell.only_after) for cell in cells}) > 1
    before, after = max(cell.only_before for cell in cells), max(cell.only_after for cell in cells)
    said = [
        f"{'up to ' if uneven else ''}{n:,} samples only {where}"
        for n, where in ((before, "before"), (after, "after"))
        if n
    ]
    return _wrapped(f"{', '.join(said)}: not compared", width, indent="") if said else []


def _changes(cells: Sequence[CellComparison], changes: Sequence[Interval | None]) -> list[str]:
    """`-1.6pp [-3.0, -0.2]*`; no change has no sign."""
    points = [
        NOTHING if change is None else f"{tenths(change.estimate, signed=round(change.estimate, 1) > 0)}pp"
        for change in changes
    ]
    return marked(with_intervals(points, changes), [_significant(cell) for cell in cells])


def _significant(cell: CellComparison) -> bool:
    return cell.p_holm is not None and cell.p_holm < SIGNIFICANT


def _tint(cell: CellComparison) -> Colour | None:
    if cell.versus is None or not _significant(cell):
        return None
    return "red" if cell.versus.difference_pp.estimate < 0 else "green"


def _estimate(share: Interval | None) -> float | None:
    return None if share is None else share.estimate


def _cells(n: int) -> str:
    return f"{n:,} cell{'' if n == 1 else 's'}"


def _wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=f"{indent}  ", break_on_hyphens=False)
