"""Datasets fetched from published files, run, scored again as others score, and asked in others' words."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from pytest_vtc import cli
from pytest_vtc.datasets.probe_scenes import make_scene
from tests.plugin.conftest import RunVtc


def _scene(index: int) -> dict[str, Any]:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(make_scene("test", index).render()).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def _write(path: Path, rows: list[dict[str, Any]], features: dict[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Features

    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=Features(features).arrow_schema), path)


@pytest.fixture
def fetched(imported: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TextVQA and ChartQA, four questions each, on two images."""
    from datasets import Image, List, Value

    monkeypatch.setenv("VTC_HOME", str(tmp_path / "home"))
    text = Value("string")
    said_by_ten = ["7"] * 5 + ["seven", "1", "1", "", "seven red"]
    _write(
        tmp_path / "textvqa" / "data" / "validation-00000-of-00001.parquet",
        [
            {
                "image_id": f"image {n // 2}",
                "question_id": n,
                "question": "what digit is RED ?",
                "image": _scene(n // 2),
                "answers": said_by_ten,
                "ocr_tokens": ["7", "1"],
            }
            for n in range(4)
        ],
        {"image_id": text, "question_id": Value("int32"), "question": text, "image": Image(), "answers": List(text)}
        | {"ocr_tokens": List(text)},
    )
    _write(
        tmp_path / "chartqa" / "data" / "test-00000-of-00001.parquet",
        [
            {"type": kind, "question": "how many digits are there ?", "answer": answer, "image": _scene(n)}
            for n, (kind, answer) in enumerate([("human_test", "3"), ("augmented_test", "5%")] * 2)
        ],
        {"type": text, "question": text, "answer": text, "image": Image()},
    )
    for name in ("textvqa", "chartqa"):
        assert cli.main(["fetch", name, "--source", str(tmp_path / name)]) == 0


def _n_cached(document: dict[str, Any]) -> list[int]:
    return [cell["run"]["n_cached"] for cell in document["cells"]]


@pytest.mark.usefixtures("fetched")
def test_how_fetched_datasets_were_asked_and_scored_is_recorded(run_vtc: RunVtc, results: Any) -> None:
    assert run_vtc("--vtc-data=textvqa,chartqa", "--vtc-compressors=divprune").ret == 0
    recorded = results()["manifest"]["datasets"]
    assert {name: (of["scoring"], of["literal"], of["prompt_style"]) for name, of in recorded.items()} == {
        "textvqa": ("vqa_evalai", False, "lmms"),
        "chartqa": ("relaxed_accuracy", False, "lmms"),
    }
    cells = [(cell["variant"], cell["n_measured"]) for cell in results()["cells"]]
    assert cells == [("stock", 4), ("divprune@0.5", 4)] * 2


@pytest.mark.usefixtures("fetched")
def test_scoring_as_others_do_computes_nothing_again(run_vtc: RunVtc, results: Any) -> None:
    small = ("--vtc-data=textvqa", "--vtc-compressors=divprune")
    run_vtc(*small)
    assert _n_cached(results()) == [0, 0]
    for whose, rule in (("lmms", "vqa_evalai"), ("vlmevalkit", "vqa_vlmevalkit")):
        run_vtc(*small, f"--vtc-scoring={whose}")
        recorded = results()["manifest"]["datasets"]["textvqa"]
        assert (recorded["scoring"], recorded["literal"]) == (rule, True)
        assert _n_cached(results()) == [4, 4]


@pytest.mark.usefixtures("fetched")
def test_prompts_of_another_style_are_asked_anew(run_vtc: RunVtc, results: Any) -> None:
    small = ("--vtc-data=textvqa", "--vtc-compressors=divprune")
    run_vtc(*small)
    run_vtc(*small, "--vtc-prompt-style=llava")
    assert results()["manifest"]["datasets"]["textvqa"]["prompt_style"] == "llava"
    assert _n_cached(results()) == [0, 0]


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    ("option", "error"),
    [
        (
            "--vtc-prompt-style=official",
            "*textvqa: there are no prompts of the style 'official'; known here: lmms, vlmevalkit, llava*",
        ),
        ("--vtc-scoring=vqa", "*textvqa: unknown scoring rule 'vqa'*"),
    ],
)
def test_a_style_or_rule_that_is_not_there_is_a_usage_error(run_vtc: RunVtc, option: str, error: str) -> None:
    result = run_vtc("--vtc-data=textvqa", option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([error])


def test_a_dataset_that_is_not_fetched_names_the_command(
    run_vtc: RunVtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VTC_HOME", str(tmp_path / "empty"))
    result = run_vtc("--vtc-data=docvqa")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*docvqa is not fetched; run: python -m pytest_vtc fetch docvqa*"])
