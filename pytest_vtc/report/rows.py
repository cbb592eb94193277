"""The rows of the terminal's tables: one for each cell, one for all seeds of a compressor that draws at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pytest_vtc.cells import Cell
from pytest_vtc.results import Budget, CellSummary
from pytest_vtc.seed_groups import SeedGroup
from pytest_vtc.standings import SIGNIFICANT, Pair, standing


@dataclass(frozen=True)
class Row:
    """One row. cells: the cell, or those of a group; figures: of them together, counts being sums.

    note: what stands behind the compressor's name, such as `(3 seeds)`. by_seed: accuracy with each seed.
    standing: of the others at this ratio, how many it is better than, worse than, not told apart from; None if there
    are no others.
    """

    compressor: str | None
    note: str
    ratio: float | None
    cells: tuple[Cell, ...]
    figures: CellSummary
    by_seed: tuple[float, ...] = ()
    standing: tuple[int, int, int] | None = None

    @property
    def differs(self) -> bool:
        """From stock, significantly after correction."""
        return self.figures.p_holm is not None and self.figures.p_holm < SIGNIFICANT

    @property
    def name(self) -> str:
        return f"{self.compressor or 'stock'} {self.note}".rstrip()

    @property
    def full_name(self) -> str:
        """With the ratio: `divprune@0.5`."""
        return self.name if self.ratio is None else f"{self.name}@{self.ratio:g}"

    def mean(self, by_variant: Mapping[str, float | None]) -> float | None:
        """Of a figure of each variant (None where there is none), the mean over those of this row."""
        values = [value for cell in self.cells if (value := by_variant.get(cell.variant)) is not None]
        return sum(values) / len(values) if values else None


def rows_of(summaries: Sequence[CellSummary], groups: Sequence[SeedGroup], pairs: Sequence[Pair] = ()) -> list[Row]:
    """The rows of one model and dataset: stock, then by falling ratio, so that what competes stands together.

    A group stands where the first of its cells would.
    """
    by_cell = {cell: group for group in groups for cell in group.cells}
    rows: list[Row] = []
    seen: set[int] = set()
    for summary in summaries:
        cell = summary.cell
        group = by_cell.get(cell)
        if group is None:
            rows.append(Row(cell.compressor, "", cell.ratio, (cell,), summary, standing=_standing(pairs, cell)))
        elif id(group) not in seen:
            seen.add(id(group))
            members = [other for other in summaries if other.cell in group.cells]
            rows.append(
                Row(
                    group.compressor,
                    group.note,
                    group.ratio,
                    group.cells,
                    _together(group, members),
                    group.by_seed,
                    _standing(pairs, group),
                )
            )
    return sorted(rows, key=lambda row: -2.0 if row.ratio is None else -row.ratio)


def _standing(pairs: Sequence[Pair], entry: Cell | SeedGroup) -> tuple[int, int, int] | None:
    found = standing(pairs, entry)
    return found if any(found) else None


def _together(group: SeedGroup, members: Sequence[CellSummary]) -> CellSummary:
    return replace(
        members[0],
        n_expected=sum(member.n_expected for member in members),
        n_measured=sum(member.n_measured for member in members),
        n_errors=sum(member.n_errors for member in members),
        n_empty=sum(member.n_empty for member in members),
        n_unparsed=sum(member.n_unparsed for member in members),
        by_chance=sum(member.by_chance for member in members),
        by_default=sum(member.by_default for member in members),
        n_yes=None if members[0].n_yes is None else sum(member.n_yes or 0 for member in members),
        n_truncated=sum(member.n_truncated for member in members),
        n_beyond_window=sum(member.n_beyond_window for member in members),
        n_scored=group.n_samples,
        accuracy=group.accuracy,
        versus=group.versus,
        p_holm=group.p_holm,
        published=group.published,
        budget=_budget(members),
    )


def _budget(members: Sequence[CellSummary]) -> Budget | None:
    """Of all their samples together."""
    found = [(member.n_measured, member.budget) for member in members if member.budget is not None]
    if not found:
        return None
    n = sum(measured for measured, _ in found)
    return Budget(
        n_tokens=sum(measured * budget.n_tokens for measured, budget in found) / n,
        asked=sum(measured * budget.asked for measured, budget in found) / n,
        kept=sum(measured * budget.kept for measured, budget in found) / n,
        kept_min=min(budget.kept_min for _, budget in found),
        kept_max=max(budget.kept_max for _, budget in found),
        n_below=sum(budget.n_below for _, budget in found),
        n_above=sum(budget.n_above for _, budget in found),
        kv_bytes=sum(measured * budget.kv_bytes for measured, budget in found) / n,
        kv_paired=sum(budget.kv_paired for _, budget in found),
        kv_stock=sum(budget.kv_stock for _, budget in found),
    )
