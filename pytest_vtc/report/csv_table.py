"""Tables as CSV: every figure of results.json unrounded, one header row, columns that are the same for every run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_vtc.report.document_rows import Document, DocumentRow, all_rows
from pytest_vtc.report.sheets import What

_INTERVAL = ("estimate", "low", "high")


def table(document: Document, what: What) -> str:
    """The header row and a row for each entry; a figure that is not there is an empty field."""
    columns, rows = _COLUMNS[what], _ROWS[what](document)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_field(row.get(column)) for column in columns] for row in rows)
    return text.getvalue()


def _field(value: Any) -> str:
    # repr of a float is the shortest text that reads back as the same float.
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


_COMPARISON = (
    "n_paired",
    "n_images",
    *(f"{name}{end}" for name in ("difference_pp", "bootstrap_pp", "share") for end in ("", "_low", "_high")),
    *("gained", "lost", "wrong_otherwise", "same_answer", "p", "p_mcnemar", "p_holm"),
)

_COLUMNS: dict[What, tuple[str, ...]] = {
    "cells": (
        *("model", "dataset", "compressor", "ratio", "seeds"),
        *(
            "n_expected",
            "n_measured",
            "n_missing",
            "n_errors",
            "n_empty",
            "n_unparsed",
            "by_chance",
            "by_default",
            "n_yes",
        ),
        *("n_truncated", "n_scored"),
        *("tokens_stock", "tokens_asked", "tokens_kept", "kept_min", "kept_max", "kv_bytes", "kv_bytes_share"),
        *("accuracy", "accuracy_low", "accuracy_high", "anytime", "lowest_seed", "highest_seed", "sd_seeds"),
        *_COMPARISON,
        *("n_better_than", "n_worse_than", "n_not_told_apart"),
        "seconds_per_case",
    ),
    "published": (
        *("model", "dataset", "metric", "compressor", "ratio", "seeds", "n", "n_paired", "n_cut"),
        *("figure", "value", "difference"),
    ),
    "categories": (
        *("model", "dataset", "category", "compressor", "ratio", "n", "accuracy"),
        *("difference_pp", "difference_pp_low", "difference_pp_high", "p", "q"),
    ),
    "pairs": ("model", "dataset", "ratio", "first", "second", *_COMPARISON),
    "shares": ("model", "compressor", "ratio", "share", "share_low", "share_high", "datasets", "missing"),
}


def _cells(document: Document) -> Iterator[Mapping[str, Any]]:
    """Every cell, and after all of them every seed group."""
    budgets = {entry["cell"]: entry for entry in document["budget"]}
    standings = {id(row.record): row for row in all_rows(document)}
    for cell in document["cells"]:
        budget = budgets[cell["id"]]
        yield {
            **cell,
            **{key: budget.get(key) for key in budget if key not in ("cell", "ratio", "n")},
            **_accuracy(cell),
            **_compared(cell["versus_stock"], cell["p_holm"]),
            **_standing(standings.get(id(cell))),
            "seconds_per_case": cell["run"]["seconds_per_case"],
        }
    for group in document["seed_groups"]:
        yield {
            **group,
            **_accuracy(group),
            **_compared(group["versus_stock"], group["p_holm"]),
            **_standing(row := standings.get(id(group))),
            **({} if row is None else {key: row.mean_tokens(key) for key in ("tokens_stock", "tokens_kept")}),
            "seeds": " ".join(map(str, group["seeds"])),
            "lowest_seed": group["lowest"],
            "highest_seed": group["highest"],
            "sd_seeds": group["sd"],
        }


def _published(document: Document) -> Iterator[Mapping[str, Any]]:
    """Every figure of every cell, and after all of them those of every seed group."""
    for entry in (*document["cells"], *document["seed_groups"]):
        if (published := entry["published"]) is not None:
            for name, figure in published["figures"].items():
                yield {
                    **entry,
                    **published,
                    **figure,
                    "metric": document["manifest"]["datasets"][entry["dataset"]]["published"],
                    "seeds": " ".join(map(str, entry.get("seeds", ()))),
                    "figure": name,
                }


def _categories(document: Document) -> Iterator[Mapping[str, Any]]:
    cells = {(cell["model"], cell["dataset"], cell["variant"]): cell for cell in document["cells"]}
    for category in document["categories"]:
        for variant in category["variants"]:
            cell = cells.get((category["model"], category["dataset"], variant["variant"]), {})
            yield {
                **category,
                **variant,
                **_spread("difference_pp", variant["delta_pp"]),
                "compressor": cell.get("compressor"),
                "ratio": cell.get("ratio"),
            }


def _pairs(document: Document) -> Iterator[Mapping[str, Any]]:
    for pair in document["pairs"]:
        yield {**pair, **_compared(pair["versus"], pair["p_holm"])}


def _shares(document: Document) -> Iterator[Mapping[str, Any]]:
    for share in document["shares"]:
        names = {key: " ".join(share[key]) for key in ("datasets", "missing")}
        yield {**share, **_spread("share", share["share"]), **names}


_ROWS = {"cells": _cells, "published": _published, "categories": _categories, "pairs": _pairs, "shares": _shares}


def _accuracy(record: Mapping[str, Any]) -> dict[str, Any]:
    """anytime: whether this row's intervals hold although they were looked at all the time."""
    accuracy = record["accuracy"]
    return {**_spread("accuracy", accuracy), "anytime": None if accuracy is None else accuracy["anytime"]}


def _compared(versus: Mapping[str, Any] | None, p_holm: float | None) -> dict[str, Any]:
    if versus is None:
        return {}
    intervals = {
        key: value
        for name in ("difference_pp", "bootstrap_pp", "share")
        for key, value in _spread(name, versus[name]).items()
    }
    flips = versus["flips"] or {}
    return {
        **intervals,
        **flips,
        "n_paired": versus["n"],
        "n_images": versus["n_images"],
        "p": versus["p"],
        "p_mcnemar": versus["p_mcnemar"],
        "p_holm": p_holm,
    }


def _spread(name: str, interval: Mapping[str, float | None] | None) -> dict[str, float | None]:
    """An interval as three fields."""
    found = interval or dict.fromkeys(_INTERVAL)
    return {name: found["estimate"], f"{name}_low": found["low"], f"{name}_high": found["high"]}


def _standing(row: DocumentRow | None) -> dict[str, int]:
    if row is None or row.standing is None:
        return {}
    return dict(zip(("n_better_than", "n_worse_than", "n_not_told_apart"), row.standing, strict=True))
