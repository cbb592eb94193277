"""POPE's figures: "yes" is the positive class, and what is said is as telling as what is right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import ClassVar

from pytest_vtc.scoring.published.base import Answered


class Pope:
    """Accuracy, precision, recall, F1 and the rate of "yes" over all questions and per category; 0 to 1.

    As in POPE's `evaluate.py`. Figures: `accuracy`, `precision`, `recall`, `f1`, `yes_ratio` (how often "yes" is said),
    each also as `<category>/...`, and `mean_f1` over the categories, which LLaVA and most papers report. An answer read
    as neither (silence, in a run) is wrong: it counts against accuracy, and against recall where "yes" is the answer.
    Precision is left out where "yes" was never said, recall and F1 where it never is the answer.
    """

    name: ClassVar[str] = "pope"
    decimals: ClassVar[int] = 3
    description: ClassVar[str] = "POPE's accuracy, precision, recall, F1 and rate of yes, and the mean F1 of categories"
    headings: ClassVar[tuple[str, ...]] = ("accuracy", "precision", "recall", "f1", "yes_ratio", "mean_f1")

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        categories: defaultdict[str, list[Answered]] = defaultdict(list)
        for row in rows:
            categories[row.category].append(row)
        of_each = {category: _figures(categories[category]) for category in sorted(categories)}
        figures = _figures(rows)
        f1 = [each["f1"] for each in of_each.values() if "f1" in each]
        if len(f1) == len(of_each):
            figures["mean_f1"] = sum(f1) / len(f1)
        named = {f"{category}/{key}": value for category, each in of_each.items() for key, value in each.items()}
        return figures | named if len(of_each) > 1 else figures


class PopeLmms:
    """lmms-eval's figures, which leave answers that are neither "yes" nor "no" out of precision and recall; 0 to 1.

    So a model that seldom answers in one word has a high F1 beside a low accuracy. Its `yes_ratio` is that of the
    expected answers and says nothing about the model. What cannot be had is 0.
    """

    name: ClassVar[str] = "pope_lmms"
    decimals: ClassVar[int] = 3
    description: ClassVar[str] = (
        "lmms-eval's accuracy, precision, recall and F1 for POPE, where only yes and no count for the last three"
    )
    headings: ClassVar[tuple[str, ...]] = ("accuracy", "precision", "recall", "f1")

    def figures(self, rows: Sequence[Answered]) -> dict[str, float]:
        yes = [row for row in rows if _expects_yes(row)]
        hits = sum(_said(row) == "yes" for row in yes)
        misses = sum(_said(row) == "no" for row in yes)
        said = sum(_said(row) == "yes" for row in rows)
        precision = hits / said if said else 0.0
        recall = hits / (hits + misses) if hits + misses else 0.0
        return {
            "accuracy": _accuracy(rows),
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
            "yes_ratio": len(yes) / len(rows),
        }


def _figures(rows: Sequence[Answered]) -> dict[str, float]:
    positives = sum(_expects_yes(row) for row in rows)
    said = sum(_said(row) == "yes" for row in rows)
    hits = sum(_said(row) == "yes" and _expects_yes(row) for row in rows)
    figures = {"accuracy": _accuracy(rows)}
    if said:
        figures["precision"] = hits / said
    if positives:
        figures |= {"recall": hits / positives, "f1": 2 * hits / (said + positives)}
    return figures | {"yes_ratio": said / len(rows)}


def _accuracy(rows: Sequence[Answered]) -> float:
    return sum(row.score for row in rows) / len(rows)


def _said(row: Answered) -> str | None:
    """What was read, in lower case: VLMEvalKit's rule reads "Yes"."""
    return None if row.parsed is None else row.parsed.lower()


def _expects_yes(row: Answered) -> bool:
    return "yes" in [answer.lower().strip() for answer in row.expected]
