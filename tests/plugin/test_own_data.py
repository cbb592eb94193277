"""A person's own data in a run: a folder with a CSV file, a table as `hf:`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from .conftest import RunVtc, n_measured


@pytest.fixture
def scenes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images with a CSV file, and the same as a parquet file in a folder `table`."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    from pytest_vtc.datasets.probe_scenes import make_scene

    monkeypatch.setenv("VTC_HOME", str(pytester.path / "home"))
    folder, table = pytester.mkdir("scenes"), pytester.mkdir("table")
    lines, rows = ["image;question;answer"], []
    for k in range(3):
        buffer = io.BytesIO()
        Image.fromarray(make_scene("test", k).render()).save(buffer, "PNG")
        (folder / f"{k}.png").write_bytes(buffer.getvalue())
        asked, n = "how many digits are there ?", len(make_scene("test", k).digits)
        lines.append(f"{k}.png;{asked};{n}")
        rows.append({"scene": {"bytes": buffer.getvalue(), "path": None}, "asked": asked, "n": n})
    (folder / "questions.csv").write_text("\n".join(lines))
    pq.write_table(pa.Table.from_pylist(rows), table / "test-00000-of-00001.parquet")
    return folder


COLUMNS = "--vtc-columns=image=scene,question=asked,answer=n"


@pytest.mark.parametrize("data", ["scenes", "scenes/questions.csv"])
def test_folder_with_a_csv_file(run_vtc: RunVtc, scenes: Path, results: Any, data: str) -> None:
    result = run_vtc("--vtc-data", data, "--vtc-n=all")
    assert n_measured(result) == 9
    (info,) = results()["manifest"]["datasets"].values()
    assert (info["n"], info["scoring"]) == (3, "auto")


def test_rule_is_selectable(run_vtc: RunVtc, scenes: Path, results: Any) -> None:
    run_vtc("--vtc-data=scenes", "--vtc-n=all", "--vtc-scoring=vqa_official")
    assert results()["manifest"]["datasets"]["scenes"]["scoring"] == "vqa_official"


@pytest.mark.parametrize(
    ("data", "called"), [("./scenes", "scenes"), ("./scenes", "./scenes"), ("hf:./table", "table")]
)
def test_rule_of_one_dataset_is_given_by_its_name_or_its_path(
    run_vtc: RunVtc, scenes: Path, results: Any, data: str, called: str
) -> None:
    columns = [COLUMNS] if data.startswith("hf:") else []
    small = ("--vtc-n=2", "--vtc-compressors=divprune", f"--vtc-scoring={called}=vqa_official")
    run_vtc("--vtc-data", f"{data},probes", *columns, *small)
    scoring = {name: about["scoring"] for name, about in results()["manifest"]["datasets"].items()}
    assert scoring == {data.rpartition("/")[2]: "vqa_official", "probes": "exact"}


def test_table_is_fetched_by_the_run_and_then_used(run_vtc: RunVtc, scenes: Path, samples: Any) -> None:
    result = run_vtc("--vtc-data=hf:./table", "--vtc-n=all", COLUMNS)
    assert n_measured(result) == 9
    result.stdout.fnmatch_lines(["vtc: hf:./table: from *table", "vtc: table: 3 questions, * of images in *"])
    by_table = [row["score"] for row in samples()]
    again = run_vtc("--vtc-data=hf:./table", "--vtc-n=all", "--vtc-output=again")
    assert n_measured(again) == 9
    again.stdout.no_fnmatch_line("*3 questions*")
    run_vtc("--vtc-data=scenes", "--vtc-n=all")
    assert [row["score"] for row in samples()] == by_table


def test_columns_may_stand_in_the_ini_file(run_vtc: RunVtc, scenes: Path, pytester: pytest.Pytester) -> None:
    pytester.makeini(f"[pytest]\nvtc_columns = {COLUMNS.partition('columns=')[2]}\nvtc_data = hf:./table")
    assert n_measured(run_vtc("--vtc-n=2", "--vtc-compressors=divprune", defaults=False)) > 0


def test_columns_without_a_table_are_refused(run_vtc: RunVtc) -> None:
    result = run_vtc(COLUMNS)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--vtc-columns is for CSV files and hf: tables; --vtc-data names none*"])


def test_table_without_the_columns_is_one_line(run_vtc: RunVtc, scenes: Path) -> None:
    result = run_vtc("--vtc-data=hf:./table", "--vtc-n=all")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: vtc: hf:./table *the columns are scene, asked, n"])


def test_a_part_that_is_fetched_is_said_to_be_one(
    run_vtc: RunVtc, scenes: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from pytest_vtc.cli import main
    from pytest_vtc.datasets.easyvqa import EasyVqa
    from pytest_vtc.datasets.gqa import Gqa

    questions = {str(n): {"imageId": str(n % 3), "question": "what digit is red ?", "answer": "3"} for n in range(9)}
    images = pytester.mkdir("gqa") / "images"
    images.mkdir()
    for image in scenes.glob("*.png"):
        image.rename(images / f"{image.stem}.jpg")
    (images.parent / "val_balanced_questions.json").write_text(json.dumps(questions))
    main(["fetch", "gqa", "--source", "gqa", "--n", "6"])
    monkeypatch.setattr(Gqa, "default_n", EasyVqa.default_n)  # more than there are
    result = run_vtc("--vtc-data=gqa", "--vtc-compressors=divprune", "--vtc-ratios=0.5", defaults=False)
    result.stdout.fnmatch_lines(
        [
            "vtc: tiny-gemma4 on gqa: 6 of 6 samples, drawn from 9, 2 cells*",
            "tiny-gemma4 on gqa: 6 of 6 samples, drawn from 9, seed 42, scored by*",
        ]
    )


@pytest.mark.slow
def test_workers_find_the_table_fetched(run_vtc: RunVtc, scenes: Path, pytester: pytest.Pytester) -> None:
    result = run_vtc("--vtc-data=hf:./table", "--vtc-n=all", COLUMNS, "-n2", subprocess=True)
    assert n_measured(result) == 9
    assert result.stdout.str().count("3 questions,") == 1
    assert len(list((pytester.path / "home" / "hf").iterdir())) == 1


@pytest.mark.slow
def test_table_that_cannot_be_fetched_ends_a_run_with_workers(run_vtc: RunVtc, scenes: Path) -> None:
    result = run_vtc("--vtc-data=hf:nobody/nothing", "-n2", subprocess=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "HF_HUB_OFFLINE is set" in result.stderr.str() + result.stdout.str()
