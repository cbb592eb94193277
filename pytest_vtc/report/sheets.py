"""The tables of a results.json as cells of text, for whichever markup: accuracy, its categories, pairs and so on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_vtc.report.document_rows import (
    COUNTS,
    Document,
    DocumentRow,
    all_rows,
    interval,
    is_significant,
    n_tests,
    places,
)
from pytest_vtc.report.figures import (
    ANYTIME,
    MARK,
    NOTHING,
    PUBLISHED,
    YES,
    bracketed,
    cut_groups,
    percent,
    rounded,
    spread,
    standing_text,
    tenths,
    tokens,
    yes_rate,
)
from pytest_vtc.report.heading import about_samples
from pytest_vtc.report.unparsed import unparsed_notes
from pytest_vtc.results import MIN_CATEGORY_SAMPLES
from pytest_vtc.standings import SIGNIFICANT
from pytest_vtc.statistics import Interval

What = Literal["cells", "published", "categories", "pairs", "shares"]


@dataclass(frozen=True)
class Item:
    """One cell of a table. interval: stands behind the text; best: to be set in bold; is_name: to be set as code."""

    text: str
    interval: str = ""
    marked: bool = False
    best: bool = False
    is_name: bool = False


@dataclass(frozen=True)
class Sheet:
    """One table. about: model, and dataset if it is of one; notes: what its columns and marks mean.

    A heading may have two lines.
    """

    what: What
    about: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Item, ...], ...]
    notes: tuple[str, ...] = ()


INTERVALS = "[ ]: 95 % intervals, clustered by image; those against stock are paired"
POINTS = "vs Stock: percentage points, over the samples measured in both"
SHARE = "Of Stock: accuracy as a share of stock's, over the same samples"
OTHERS = (
    "Others: at the same ratio, those that the row is significantly better than (+), worse than (-), and not told "
    "apart from (=); Holm's correction over the pairs of a ratio"
)
SEEDS = "Seeds: the lowest and the highest of several random draws, whose mean is the row, in %"
BEST = "Bold: no other at the same ratio is significantly better"


def sheets(document: Document, what: What, brief: bool = False) -> Iterator[Sheet]:
    """All tables of one kind. brief: cells without how they stand against each other and without counts."""
    rows = all_rows(document)
    if what == "shares":
        yield from _shares(document, rows)
        return
    for model, dataset in places(document):
        here = [row for row in rows if (row.model, row.dataset) == (model, dataset)]
        if what == "cells":
            yield _cells(document, here, brief)
        elif what == "published":
            yield from _published(document, here)
        elif what == "categories":
            own = [c for c in document["categories"] if (c["model"], c["dataset"]) == (model, dataset)]
            if own:
                yield _categories(own, here)
        else:
            yield from _pairs([p for p in document["pairs"] if (p["model"], p["dataset"]) == (model, dataset)], here)


def samples_of(document: Document, rows: Sequence[DocumentRow]) -> str:
    """`200 of 7,260 samples, seed 42, scored by exact`, of the rows of one model and dataset."""
    return about_samples(document["manifest"], rows[0].dataset, max(row.n_expected for row in rows))


def mark_note(document: Document) -> str:
    """What the mark means, with the number of comparisons."""
    n = n_tests(document)
    over = f"{n:,} comparison{'' if n == 1 else 's'}"
    return f"{MARK}: differs from stock, p < {SIGNIFICANT:g} after Holm's correction over {over}"


def _cells(document: Document, rows: Sequence[DocumentRow], brief: bool) -> Sheet:
    first = rows[0]
    columns: dict[str, Callable[[DocumentRow], Item]] = {"Compressor": _name, "Ratio": _ratio, "Tokens": _tokens}
    notes: list[str] = []
    compared = [row for row in rows if row.versus is not None]
    told_apart = {row.ratio for row in rows if row.standing is not None and row.standing[1]}
    if first.scored:

        def accuracy(row: DocumentRow) -> Item:
            best = row.ratio in told_apart and row.standing is not None and not row.standing[1]
            return _percent(row.accuracy, best)

        columns["Accuracy"] = accuracy
        if any(row.is_group for row in rows):
            columns["Seeds"] = lambda row: Item(spread(row.record["by_seed"]) if row.is_group else "")
            notes.append(SEEDS)
        if compared:
            columns["vs Stock"] = _difference
            columns["Of Stock"] = lambda row: _percent(row.share)
            notes += [POINTS, SHARE]
            if any((d := row.difference_pp) is not None and d.low is not None for row in compared):
                notes.append(INTERVALS)
            if any((d := row.difference_pp) is not None and d.anytime for row in compared):
                notes.append(ANYTIME)
        if any(row.differs for row in rows):
            notes.append(mark_note(document))
        if told_apart:
            notes.append(BEST)
        if not brief and any(row.standing for row in rows):
            columns["Others"] = lambda row: Item(standing_text(row.standing))
            notes.append(OTHERS)
    rule = document["manifest"]["datasets"][first.dataset]["scoring"]
    notes += [f"{first.model} on {first.dataset}: {note}" for note in unparsed_notes(rule, [r.unparsed for r in rows])]
    for what in () if brief else COUNTS:
        if any(row.count(what) for row in rows):
            columns[what.capitalize()] = lambda row, what=what: Item(f"{row.count(what):,}")
    if not brief and any(row.n_yes is not None for row in rows):
        columns["Yes"] = lambda row: Item(percent(yes_rate(row.n_yes, row.n_measured)))
        notes.append(YES)
    about = f"{first.model} on {first.dataset}"
    return Sheet("cells", about, samples_of(document, rows), tuple(columns), _table(rows, columns), tuple(notes))


def _published(document: Document, rows: Sequence[DocumentRow]) -> Iterator[Sheet]:
    first, about = rows[0], document["manifest"]["datasets"][rows[0].dataset]
    figures = {row.key: row.published["figures"] for row in rows if row.published is not None}
    if not figures:
        return
    metric = document["metrics"][about["published"]]
    headings = [heading for heading in metric["headings"] if any(heading in own for own in figures.values())]
    places = metric["decimals"]

    def column(heading: str) -> Callable[[DocumentRow], Item]:
        def item(row: DocumentRow) -> Item:
            figure = figures.get(row.key, {}).get(heading)
            if figure is None:
                return Item(NOTHING)
            difference = figure["difference"]
            behind = "" if difference is None else f"({rounded(difference, places, signed=True)})"
            return Item(rounded(figure["value"], places), behind)

        return item

    columns = {"Compressor": _name, "Ratio": _ratio, **{heading: column(heading) for heading in headings}}
    if any(row.count("missing") for row in rows):
        columns["Missing"] = lambda row: Item(f"{row.count('missing'):,}")
    shown = [figure for own in figures.values() for heading, figure in own.items() if heading in headings]
    notes = [PUBLISHED] if any(figure["difference"] is not None for figure in shown) else []
    if cut := [(row.full_name, n) for row in rows if row.published is not None and (n := row.published["n_cut"])]:
        notes.append(f"{first.dataset}: {cut_groups(cut, about['whole_groups'])}")
    title = f"Published metrics, by {metric['description']}"
    yield Sheet(
        "published", f"{first.model} on {first.dataset}", title, tuple(columns), _table(rows, columns), tuple(notes)
    )


def _categories(categories: Sequence[Mapping[str, Any]], rows: Sequence[DocumentRow]) -> Sheet:
    columns: dict[str, Callable[[DocumentRow], Item]] = {"Compressor": _name, "Ratio": _ratio}
    variants = [{v["variant"]: v for v in category["variants"]} for category in categories]

    def column(by_variant: Mapping[str, Any]) -> Callable[[DocumentRow], Item]:
        def item(row: DocumentRow) -> Item:
            own = [by_variant[m["variant"]] for m in row.members if m["variant"] in by_variant]
            values = [v["accuracy"] for v in own if v["accuracy"] is not None]
            if not values:
                return Item(NOTHING)
            return Item(tenths(100 * sum(values) / len(values)), marked=all(is_significant(v["q"]) for v in own))

        return item

    for category, by_variant in zip(categories, variants, strict=True):
        columns[f"{category['category'] or '(none)'}\n(n={category['n']:,})"] = column(by_variant)
    table = _table(rows, columns)
    notes = [f"Categories: accuracy in %, of those with at least {MIN_CATEGORY_SAMPLES} samples; exploratory"]
    if any(item.marked for row in table for item in row):
        notes.append(
            f"{MARK} at a category: differs from stock, q < {SIGNIFICANT:g} after Benjamini and Hochberg's correction "
            "over all categories and rows of the run; of several seeds each"
        )
    about = f"{rows[0].model} on {rows[0].dataset}"
    return Sheet("categories", about, "Accuracy by category, in %", tuple(columns), table, tuple(notes))


def _pairs(pairs: Sequence[Mapping[str, Any]], rows: Sequence[DocumentRow]) -> Iterator[Sheet]:
    """One square for each ratio: row minus column in percentage points, the best row first."""
    for ratio in sorted({pair["ratio"] for pair in pairs}, reverse=True):
        here = [row for row in rows if row.ratio == ratio and row.standing is not None]
        here.sort(key=lambda row: -row.accuracy.estimate if row.accuracy is not None else 0.0)
        by_specs = {(p["first"], p["second"]): p for p in pairs if p["ratio"] == ratio}

        def item(row: DocumentRow, other: DocumentRow, by_specs: Mapping[Any, Any] = by_specs) -> Item:
            for key, sign in (((row.compressor, other.compressor), 1), ((other.compressor, row.compressor), -1)):
                if (pair := by_specs.get(key)) is not None:
                    points = sign * pair["versus"]["difference_pp"]["estimate"]
                    return Item(tenths(points, signed=True), marked=is_significant(pair["p_holm"]))
            return Item("")

        table = tuple((Item(row.name, is_name=True), *(item(row, other) for other in here)) for row in here)
        yield Sheet(
            "pairs",
            f"{rows[0].model} on {rows[0].dataset}",
            f"Ratio {ratio:g}: row minus column, in percentage points",
            ("Compressor", *(row.name for row in here)),
            table,
            (f"{MARK} at a pair: differs, p < {SIGNIFICANT:g} after Holm's correction over the pairs of the ratio",),
        )


def _shares(document: Document, rows: Sequence[DocumentRow]) -> Iterator[Sheet]:
    """One for each model of the run that has several scored datasets."""
    for model in dict.fromkeys(share["model"] for share in document["shares"]):
        own = [row for row in rows if row.model == model and row.scored and row.compressor is not None]
        means = {(s["compressor"], s["ratio"]): s for s in document["shares"] if s["model"] == model}
        yield _shares_of_model(model, own, means)


def _shares_of_model(
    model: str, rows: Sequence[DocumentRow], means: Mapping[tuple[Any, ...], Mapping[str, Any]]
) -> Sheet:
    datasets = list(dict.fromkeys(row.dataset for row in rows))
    by_key = {(row.compressor, row.ratio, row.dataset): row for row in rows}
    first_of = {(row.compressor, row.ratio): row for row in reversed(rows)}
    firsts = [row for row in rows if first_of[row.compressor, row.ratio] is row and row.key in means]
    columns: dict[str, Callable[[DocumentRow], Item]] = {"Compressor": _name, "Ratio": _ratio}

    def of_dataset(dataset: str) -> Callable[[DocumentRow], Item]:
        def item(row: DocumentRow) -> Item:
            there = by_key.get((row.compressor, row.ratio, dataset))
            return _percent(None if there is None else there.share)

        return item

    for dataset in datasets:
        columns[dataset] = of_dataset(dataset)
    columns["Mean"] = lambda row: _percent(interval(means[row.key]["share"]))
    if any(mean["missing"] for mean in means.values()):
        columns["Over"] = lambda row: Item(f"{len(means[row.key]['datasets'])} of {len(datasets)}")
    firsts.sort(key=lambda row: -(row.ratio or 0.0))
    note = f"Mean share: of stock's accuracy, each of {len(datasets)} datasets counting alike"
    return Sheet("shares", model, "Mean share of stock's accuracy", tuple(columns), _table(firsts, columns), (note,))


def _table(
    rows: Sequence[DocumentRow], columns: Mapping[str, Callable[[DocumentRow], Item]]
) -> tuple[tuple[Item, ...], ...]:
    return tuple(tuple(item(row) for item in columns.values()) for row in rows)


def _name(row: DocumentRow) -> Item:
    return Item(row.name, is_name=row.compressor is not None)


def _ratio(row: DocumentRow) -> Item:
    return Item("1" if row.ratio is None else f"{row.ratio:g}")


def _tokens(row: DocumentRow) -> Item:
    return Item(tokens(row.mean_tokens("tokens_stock"), row.mean_tokens("tokens_kept"), row.compressor is None))


def _percent(share: Interval | None, best: bool = False) -> Item:
    if share is None:
        return Item(NOTHING)
    return Item(percent(share.estimate), bracketed(share.scaled(100)), best=best)


def _difference(row: DocumentRow) -> Item:
    points = row.difference_pp
    if points is None:
        return Item(NOTHING)
    return Item(tenths(points.estimate, signed=True), bracketed(points), marked=row.differs)
