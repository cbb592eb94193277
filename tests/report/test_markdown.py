"""A results.json as a page for GitHub."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_vtc.report.markdown import page, render
from pytest_vtc.report.sheets import sheets
from tests.report.documents import document, rich_run
from tests.run_of import HALF, QUARTER, STOCK, run_of

RICH = document(rich_run())


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table as a reader of GitHub's Markdown splits them: at bars that no backslash precedes."""
    found: list[list[list[str]]] = []
    for before, line in zip(["", *text.splitlines()], text.splitlines(), strict=False):
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return found


def with_gates(content: dict[str, Any], *reasons: str) -> dict[str, Any]:
    verdicts = [{"name": f"g@{i} max_drop=1", "outcome": "inconclusive", "reason": r} for i, r in enumerate(reasons)]
    return {**content, "gates": {"asked": [], "verdicts": verdicts}}


def test_every_row_of_every_table_has_as_many_cells_as_its_heading() -> None:
    found = tables(render(RICH))
    assert len(found) == 2 * (1 + 1 + 2) + 1  # of each dataset: accuracy, categories, two ratios; the mean share
    assert all(len({len(row) for row in table}) == 1 for table in found)


def test_a_row_has_the_figures_with_their_intervals_and_the_mark() -> None:
    results = run_of({STOCK: [1.0] * 100, HALF: [1.0] * 99 + [0.0], QUARTER: [1.0] * 20 + [0.0] * 80})
    stock, half, quarter = tables(render(document(results)))[0][2:]
    assert stock[:3] == ["stock", "1", "64"]
    assert re.fullmatch(r"-1\.0 \[-\d\.\d, -?\d\.\d\]", half[4])
    assert re.fullmatch(r"-80\.0\\\* \[-\d\d\.\d, -\d\d\.\d\]", quarter[4])
    assert re.fullmatch(r"20\.0% \[\d\d\.\d, \d\d\.\d\]", quarter[5])


def test_a_heading_names_model_dataset_samples_and_rule() -> None:
    text = render(document(run_of({STOCK: [1.0] * 3, HALF: [1.0] * 3})))
    assert "### tiny on probes\n\n3 of 2,000 samples, seed 0, scored by exact\\_match\n" in text


def test_gates_stand_before_the_tables_with_their_reasons() -> None:
    text = render(with_gates(RICH, "too few | of <them>"))
    assert tables(text)[0][2] == ["**inconclusive**", "`g@0 max_drop=1`", "too few \\| of &lt;them>"]
    assert text.index("### Gates") < text.index("### tiny on probes")


def test_names_are_code_and_their_bars_are_escaped() -> None:
    assert "`odd(a='x\\|y_z')`" in {row[0] for table in tables(render(RICH)) for row in table}


def test_long_tables_are_folded() -> None:
    text = render(RICH)
    assert text.count("<details><summary>Accuracy by category, in %</summary>\n\n| Compressor |") == 2
    assert text.count("<details>") == text.count("</details>")


def test_pairs_are_row_minus_column_and_opposite_across_the_diagonal() -> None:
    (sheet,) = [s for s in sheets(RICH, "pairs") if s.about == "tiny on probes" and s.title.startswith("Ratio 0.5")]
    cells = [[item.text for item in row[1:]] for row in sheet.rows]
    for i in range(len(cells)):
        assert cells[i][i] == ""
        for j in range(i):
            assert float(cells[i][j]) == -float(cells[j][i])


def test_the_mean_share_has_a_column_for_each_dataset() -> None:
    assert tables(render(RICH))[-1][0] == ["Compressor", "Ratio", "probes", "easyvqa", "Mean"]


def test_what_is_not_beaten_is_bold_where_somebody_is() -> None:
    cells = {STOCK: [1.0] * 100, HALF: [1.0] * 99 + [0.0]}
    cells[type(HALF)("tiny", "probes", "bad", 0.5)] = [0.0] * 100
    rows = tables(render(document(run_of(cells))))[0][2:]
    assert [row[3].startswith("**") for row in rows] == [False, True, False]


def test_nothing_is_said_of_what_is_not_there() -> None:
    text = render(document(run_of({STOCK: [1.0] * 40})))
    for word in ("Gates", "details", "Mean share", "Seeds", "Holm", "Bold", "Others", "vs Stock", "Interrupted"):
        assert word not in text


def test_an_interrupted_run_and_a_shard_say_so() -> None:
    run = {**RICH["manifest"]["run"], "shard": "2/8"}
    text = render({**RICH, "interrupted": True, "manifest": {**RICH["manifest"], "run": run}})
    assert "**Interrupted: this is not the whole run.**" in text
    assert "**Shard 2/8: one part of a run.**" in text


def test_what_was_not_run_and_what_was_done_instead_is_listed() -> None:
    text = render(RICH)
    assert "- Not run: far@0.5 on tiny, probes: no encoder" in text
    assert "- divprune on tiny: the mean &lt;stands> in" in text


def test_folded_parts_go_first_where_there_is_no_room() -> None:
    whole = render(RICH)
    text = render(RICH, len(whole) - 200)
    assert len(text.encode()) <= len(whole) - 200
    assert len(tables(text)) == len(tables(whole)) or "<details>" in text
    assert "Mean share" in text
    assert "left out for want of room: `python -m pytest_vtc export" in text


@pytest.mark.parametrize("room", [300, 1500, 3000, 6000])
def test_a_page_keeps_to_its_room(room: int) -> None:
    assert len(render(with_gates(RICH, "a reason"), room).encode()) <= room


def test_gates_stay_when_tables_go() -> None:
    text = render(with_gates(RICH, "a reason"), 1500)
    assert "a reason" in text
    assert len(tables(text)) == 1


def test_one_kind_of_table_can_be_had_alone() -> None:
    assert [len(table) for table in tables(page(sheets(RICH, "shares")))] == [2 + 7]
