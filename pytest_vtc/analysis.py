"""Everything a run's results say, computed once: what gates judge and reports show."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pytest_vtc.paired_tests import benjamini_hochberg, holm
from pytest_vtc.published_figures import figures_of_cells, figures_of_groups
from pytest_vtc.results import CategorySummary, CellSummary, Results, summarize, summarize_categories
from pytest_vtc.seed_groups import SeedGroup, summarize_seeds
from pytest_vtc.sequential_results import (
    allow_for_looks,
    category_without_intervals,
    pairs_of_one_look,
    seeds_allow_for_looks,
    seeds_without_share,
    without_share,
)
from pytest_vtc.sequential_trials import AllJudged
from pytest_vtc.standings import MeanShare, Pair, summarize_pairs, summarize_shares


@dataclass(frozen=True)
class Analysis:
    """cells: in the order of the run's. All p-values that need it are corrected for their number.

    n_tests: comparisons with stock that Holm's correction was made over: cells, all seeds of one being one.
    """

    cells: list[CellSummary]
    seed_groups: list[SeedGroup]
    categories: list[CategorySummary]
    pairs: list[Pair]
    shares: list[MeanShare]
    n_tests: int


def analyse(results: Results, judged: AllJudged | None = None) -> Analysis:
    """Summaries of cells, seed groups, categories and pairs, with corrected p-values.

    judged: the cells that were judged while the run went on; nothing is said of them that would hold for one look only.
    """
    judged = judged or AllJudged()
    published = figures_of_cells(results)
    cells = [
        replace(allow_for_looks(summary, judged.cells.get(summary.cell)), published=published.get(summary.cell))
        for summary in summarize(results)
    ]
    groups = [seeds_allow_for_looks(group, judged) for group in summarize_seeds(results)]
    by_group = figures_of_groups(results, groups)
    groups = [replace(group, published=figures) for group, figures in zip(groups, by_group, strict=True)]
    members = {cell for group in groups for cell in group.cells}
    single = [i for i, summary in enumerate(cells) if summary.versus is not None and summary.cell not in members]
    tested = [cells[i].versus for i in single] + [group.versus for group in groups]
    corrected = holm([None if versus is None else versus.p for versus in tested])
    for i, p in zip(single, corrected[: len(single)], strict=True):
        cells[i] = replace(cells[i], p_holm=p)
    groups = [replace(group, p_holm=p) for group, p in zip(groups, corrected[len(single) :], strict=True)]
    return Analysis(
        cells=cells,
        seed_groups=groups,
        categories=_corrected([category_without_intervals(c, judged) for c in summarize_categories(results)]),
        pairs=pairs_of_one_look(summarize_pairs(results, groups), groups, judged),
        shares=summarize_shares(
            [without_share(summary) for summary in cells], [seeds_without_share(group, judged) for group in groups]
        ),
        n_tests=sum(p is not None for p in corrected),
    )


def _corrected(categories: list[CategorySummary]) -> list[CategorySummary]:
    every = [variant for category in categories for variant in category.variants]
    q_values = iter(benjamini_hochberg([variant.p for variant in every]))
    return [
        replace(category, variants=tuple(replace(variant, q=next(q_values)) for variant in category.variants))
        for category in categories
    ]
