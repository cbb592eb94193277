"""The figures of a dataset's own metric, in everything that is made of a results.json."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.report.export import ExportError, Format, exported
from pytest_vtc.report.markdown import render
from pytest_vtc.report.sheets import sheets
from tests.made_up_metric import Pairs, known, run_on_pairs
from tests.report.documents import document, saved
from tests.run_of import HALF, STOCK, of_seed, run_of, seeded


def content(whole_groups: bool = False) -> dict[str, Any]:
    with known(Pairs()):
        return document(
            run_on_pairs(
                {STOCK: [1, 1, 1, 0], HALF: [1, 1, None, 0], of_seed(0): [1, 1, 0, 0], of_seed(1): [0] * 4},
                whole_groups,
                manifest=seeded(0, 1),
            )
        )


def test_a_page_has_the_table_below_that_of_the_accuracy_without_knowing_the_metric() -> None:
    text = render(content())
    assert (
        "Published metrics, by images with every answer right, in %\n\n"
        "| Compressor | Ratio | pairs | sum | Missing |\n"
        "| :-- | --: | --: | --: | --: |\n"
        "| stock | 1 | 50.0 | 3.0 | 0 |\n"
        "| `divprune` | 0.5 | 50.0 (+0.0) | 2.0 (+0.0) | 1 |\n"
        "| `random (2 seeds)` | 0.5 | 25.0 (-25.0) | 1.0 (-2.0) | 0 |\n"
    ) in text
    assert text.index("| Accuracy |") < text.index("Published metrics, by")
    assert "- ( ) at published metrics: difference to stock" in text
    assert "- probes: Groups with samples missing, their others counted: 1 at divprune@0.5" in text


def test_groups_that_are_left_out_are_said_to_be() -> None:
    assert "- probes: Groups with samples missing, left out: 1 at divprune@0.5" in render(content(whole_groups=True))


def test_a_page_says_nothing_of_a_metric_where_there_is_none() -> None:
    assert "ublished" not in render(document(run_of({STOCK: [1.0] * 4, HALF: [1.0] * 4})))


def test_every_figure_has_a_line_in_csv_to_the_last_digit(tmp_path: Path) -> None:
    made = content()
    rows = list(csv.DictReader(io.StringIO(exported(saved(made, tmp_path), "csv", "published"))))
    entries = [entry for entry in (*made["cells"], *made["seed_groups"]) if entry["published"] is not None]
    assert len(rows) == sum(len(entry["published"]["figures"]) for entry in entries)
    for row in rows:
        (entry,) = [
            e for e in entries if (e["compressor"] or "", "seeds" in e) == (row["compressor"], bool(row["seeds"]))
        ]
        figure = entry["published"]["figures"][row["figure"]]
        assert float(row["value"]) == figure["value"]
        assert row["difference"] == ("" if figure["difference"] is None else repr(figure["difference"]))
        assert (row["metric"], int(row["n_paired"])) == ("pairs", entry["published"]["n_paired"])


def test_latex_sets_differences_with_minus_signs(tmp_path: Path) -> None:
    text = exported(saved(content(), tmp_path), "latex", "published")
    assert r"random (2 seeds) & 0.5 & 25.0 ($-25.0$) & 1.0 ($-2.0$) & 0 \\" in text


@pytest.mark.parametrize("form", ["latex", "markdown"])
def test_a_run_without_such_a_metric_has_no_such_table(tmp_path: Path, form: Format) -> None:
    with pytest.raises(ExportError, match="has no published figures: its datasets have no metric of their own"):
        exported(saved(document(run_of({STOCK: [1.0] * 3})), tmp_path), form, "published")


def test_stock_alone_has_values_without_differences() -> None:
    with known(Pairs()):
        (sheet,) = sheets(document(run_on_pairs({STOCK: [1, 1, 1]})), "published")
    assert [item.text + item.interval for item in sheet.rows[0]] == ["stock", "1", "100.0", "3.0"]
    assert sheet.notes == ()
