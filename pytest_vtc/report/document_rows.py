"""The rows of results.json's tables: what lies in several of its lists about one configuration, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_vtc.report.unparsed import Unparsed
from pytest_vtc.standings import SIGNIFICANT
from pytest_vtc.statistics import Interval

Document = Mapping[str, Any]
"""The content of a results.json, as `json_report.to_document` gives it and results.schema.json describes it."""

COUNTS = ("missing", "empty", "unparsed", "truncated")


@dataclass(frozen=True)
class DocumentRow:
    """One configuration on one model and dataset: a cell, or all seeds of a compressor.

    record: its entry in `cells` or `seed_groups`. members, budgets: the cells and their entries in `budget`; those of a
    group are several. standing: of the others at this ratio, how many it is significantly better than, worse than, and
    not told apart from; None if there are no others.
    """

    model: str
    dataset: str
    compressor: str | None
    ratio: float | None
    record: Mapping[str, Any]
    members: tuple[Mapping[str, Any], ...]
    budgets: tuple[Mapping[str, Any], ...]
    standing: tuple[int, int, int] | None = None

    @property
    def is_group(self) -> bool:
        return "seeds" in self.record

    @property
    def name(self) -> str:
        """With the number of seeds behind it."""
        if not self.is_group:
            return self.compressor or "stock"
        n, missing = len(self.record["seeds"]), len(self.record["missing_seeds"])
        return f"{self.compressor} ({n} of {n + missing} seeds)" if missing else f"{self.compressor} ({n} seeds)"

    @property
    def full_name(self) -> str:
        """With the ratio: `divprune@0.5`."""
        return self.name if self.ratio is None else f"{self.name}@{self.ratio:g}"

    @property
    def key(self) -> tuple[str | None, float | None]:
        """What tells it from the other rows of its table, and is the same on other datasets."""
        return self.compressor, self.ratio

    @property
    def scored(self) -> bool:
        return bool(self.members[0]["scored"])

    @property
    def n_expected(self) -> int:
        return max(member["n_expected"] for member in self.members)

    @property
    def n_measured(self) -> int:
        return sum(member["n_measured"] for member in self.members)

    @property
    def n_yes(self) -> int | None:
        """Cases read as yes; None where that is not asked for."""
        return None if self.members[0]["n_yes"] is None else sum(member["n_yes"] for member in self.members)

    @property
    def accuracy(self) -> Interval | None:
        return interval(self.record["accuracy"])

    @property
    def versus(self) -> Mapping[str, Any] | None:
        return self.record["versus_stock"]

    @property
    def difference_pp(self) -> Interval | None:
        return None if self.versus is None else interval(self.versus["difference_pp"])

    @property
    def share(self) -> Interval | None:
        return None if self.versus is None else interval(self.versus["share"])

    @property
    def published(self) -> Mapping[str, Any] | None:
        return self.record["published"]

    @property
    def differs(self) -> bool:
        """From stock, significantly after correction."""
        return is_significant(self.record["p_holm"])

    @property
    def unparsed(self) -> Unparsed:
        by_chance, by_default = (sum(member[what] for member in self.members) for what in ("by_chance", "by_default"))
        return Unparsed(self.full_name, self.n_measured, self.count("unparsed"), by_chance, by_default)

    def count(self, what: str) -> int:
        """Cases that are `missing`, `empty`, `unparsed` or `truncated`."""
        return sum(member[f"n_{what}"] for member in self.members)

    def mean_tokens(self, which: str) -> float | None:
        """Mean of `tokens_stock`, `tokens_asked` or `tokens_kept` over all samples; None if nothing was measured."""
        found = [(b["n"], b[which]) for b in self.budgets if b[which] is not None]
        n = sum(count for count, _ in found)
        return sum(count * value for count, value in found) / n if n else None


def is_significant(p: float | None) -> bool:
    return p is not None and p < SIGNIFICANT


def interval(data: Mapping[str, float | None] | None) -> Interval | None:
    """Read back an interval; None where there is none."""
    if data is None or data["estimate"] is None:
        return None
    return Interval(data["estimate"], data["low"], data["high"], bool(data.get("anytime")))


def n_tests(document: Document) -> int:
    """Comparisons with stock that p-values were corrected for."""
    return sum(entry["p_holm"] is not None for entry in (*document["cells"], *document["seed_groups"]))


def better(pair: Mapping[str, Any]) -> str | None:
    """Which compressor of an entry of `pairs` is significantly better, if one is."""
    if not is_significant(pair["p_holm"]):
        return None
    return pair["first"] if pair["versus"]["difference_pp"]["estimate"] > 0 else pair["second"]


def places(document: Document) -> list[tuple[str, str]]:
    """Model and dataset of every table, in order."""
    return list(dict.fromkeys((cell["model"], cell["dataset"]) for cell in document["cells"]))


def all_rows(document: Document) -> list[DocumentRow]:
    """The rows of all tables: stock first, then by falling ratio, a group where the first of its cells would stand."""
    budgets = {entry["cell"]: entry for entry in document["budget"]}
    by_id = {cell["id"]: cell for cell in document["cells"]}
    group_of = {cell: group for group in document["seed_groups"] for cell in group["cells"]}
    found: list[DocumentRow] = []
    seen: set[int] = set()
    for cell in document["cells"]:
        entry = group_of.get(cell["id"], cell)
        if id(entry) in seen:
            continue
        seen.add(id(entry))
        ids = [i for i in entry["cells"] if i in by_id] if entry is not cell else [cell["id"]]
        found.append(
            DocumentRow(
                cell["model"],
                cell["dataset"],
                entry["compressor"],
                entry["ratio"],
                entry,
                tuple(by_id[i] for i in ids),
                tuple(budgets[i] for i in ids),
            )
        )
    standings = _standings(document["pairs"])
    found = [replace(row, standing=standings.get((row.model, row.dataset, row.ratio, row.compressor))) for row in found]
    order = {place: rank for rank, place in enumerate(places(document))}
    return sorted(found, key=lambda r: (order[r.model, r.dataset], -2.0 if r.ratio is None else -r.ratio))


def _standings(pairs: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, ...], tuple[int, int, int]]:
    found: dict[tuple[Any, ...], tuple[int, int, int]] = {}
    for pair in pairs:
        winner = better(pair)
        for spec in (pair["first"], pair["second"]):
            key = (pair["model"], pair["dataset"], pair["ratio"], spec)
            above, below, level = found.get(key, (0, 0, 0))
            found[key] = (
                above + (winner == spec),
                below + (winner is not None and winner != spec),
                level + (winner is None),
            )
    return found
