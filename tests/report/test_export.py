"""`python -m pytest_vtc export`: the tables of a run for other programs and for papers."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.cli import main
from pytest_vtc.report.export import ExportError, Format, exported
from pytest_vtc.report.sheets import What
from tests.report.documents import PIPED, document, rich_run, saved
from tests.run_of import HALF, STOCK, run_of

RICH = document(rich_run())


def csv_rows(tmp_path: Path, what: What, content: dict[str, Any] = RICH) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exported(saved(content, tmp_path), "csv", what))))


def test_every_cell_and_every_seed_group_has_a_row(tmp_path: Path) -> None:
    rows = csv_rows(tmp_path, "cells")
    assert len(rows) == len(RICH["cells"]) + len(RICH["seed_groups"])
    assert [row["seeds"] for row in rows if row["seeds"]] == ["0 1", "0 1"]


def test_figures_come_back_from_csv_to_the_last_digit(tmp_path: Path) -> None:
    for row, cell in zip(csv_rows(tmp_path, "cells"), RICH["cells"], strict=False):
        assert float(row["accuracy"]) == cell["accuracy"]["estimate"]
        assert float(row["accuracy_low"]) == cell["accuracy"]["low"]
        versus = cell["versus_stock"]
        assert (row["difference_pp"] == "") == (versus is None)
        if versus is not None:
            assert float(row["difference_pp_high"]) == versus["difference_pp"]["high"]
            assert int(row["lost"]) == versus["flips"]["lost"]
            assert float(row["p_mcnemar"]) == versus["p_mcnemar"]


def test_tokens_and_bytes_of_the_cache_come_from_the_budget(tmp_path: Path) -> None:
    row, budget = csv_rows(tmp_path, "cells")[1], RICH["budget"][1]
    assert float(row["tokens_kept"]) == budget["tokens_kept"] == 32.0
    assert float(row["kv_bytes"]) == budget["kv_bytes"]


@pytest.mark.parametrize("what", ["categories", "pairs", "shares"])
def test_every_entry_of_a_list_has_a_row(tmp_path: Path, what: What) -> None:
    entries = RICH[what]
    n = sum(len(entry["variants"]) for entry in entries) if what == "categories" else len(entries)
    assert len(csv_rows(tmp_path, what)) == n


def test_columns_do_not_depend_on_the_run(tmp_path: Path) -> None:
    bare = document(run_of({STOCK: [None]}))
    assert csv_rows(tmp_path, "cells", bare)[0].keys() == csv_rows(tmp_path, "cells")[0].keys()


def test_a_table_without_rows_is_its_header(tmp_path: Path) -> None:
    bare = saved(document(run_of({STOCK: [1.0] * 3})), tmp_path)
    assert exported(bare, "csv", "pairs").startswith("model,dataset,ratio,first,second,")
    assert exported(bare, "csv", "pairs").count("\n") == 1


def test_latex_escapes_what_would_be_a_command(tmp_path: Path) -> None:
    text = exported(saved(RICH, tmp_path), "latex", None)
    assert r"odd(a='x|y\_z')" in text
    assert not re.search(r"(?<!\\)[%_#]", text.split("\n", 1)[1])  # the first line is a comment


def test_latex_marks_by_a_superscript_and_sets_minus_signs(tmp_path: Path) -> None:
    text = exported(saved(document(run_of({STOCK: [1.0] * 40, HALF: [0.0] * 40})), tmp_path), "latex", "cells")
    assert r"$-100.0$\textsuperscript{*} [$-100.0$, $-82.5$]" in text


def test_every_row_in_latex_has_as_many_cells_as_columns(tmp_path: Path) -> None:
    for block in exported(saved(RICH, tmp_path), "latex", "cells").split(r"\begin{tabular}")[1:]:
        n_columns = len(re.match(r"\{(\w+)\}", block)[1])  # type: ignore[index]
        rows = [line for line in block.splitlines() if line.endswith(r"\\")]
        assert {len(re.split(r"(?<!\\)&", row)) for row in rows} == {n_columns}


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path: Path) -> None:
    source = saved(RICH, tmp_path)
    body = "".join(exported(source, "latex", what) for what in ("cells", "categories", "pairs", "shares"))
    start = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "all.tex").write_text(f"{start}{body}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "`booktabs.sty' not found" in done.stdout:
        pytest.skip("this LaTeX has no booktabs")
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_folder_stands_for_the_file_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved(RICH, tmp_path)
    assert main(["export", str(tmp_path), "--format", "markdown"]) == 0
    assert capsys.readouterr().out.startswith("## Vision-token compression\n")


def test_the_text_goes_to_the_file_that_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "cells.csv"
    assert main(["export", str(saved(RICH, tmp_path)), "--format=csv", "--output", str(target)]) == 0
    assert PIPED in target.read_text()
    assert capsys.readouterr().out == f"Written: {target}\n"


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(saved(RICH, tmp_path)), "--format=csv", "--output", "/dev/null/x.csv"]) == 2
    assert "cannot write /dev/null/x.csv" in capsys.readouterr().err


def test_another_version_of_the_format_is_refused_by_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(saved({**RICH, "schema_version": 3}, tmp_path)), "--format=csv"]) == 2
    assert "in schema version 3" in capsys.readouterr().err


def test_a_folder_without_results_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "--format=csv"]) == 2
    assert f"{tmp_path} holds no results.json" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["latex", "markdown"])
def test_tables_that_a_run_does_not_have_are_refused_with_the_reason(tmp_path: Path, form: Format) -> None:
    with pytest.raises(ExportError, match="has no shares: they are means over several datasets"):
        exported(saved(document(run_of({STOCK: [1.0] * 3, HALF: [1.0] * 3})), tmp_path), form, "shares")
