"""`python -m pytest_vtc compare`: any runs, in any order, on what they share."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import Cell
from pytest_vtc.cli import main
from pytest_vtc.report.comparison_json import SCHEMA
from pytest_vtc.report.json_report import write
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured, run_of

Capture = pytest.CaptureFixture[str]
Scores = dict[Cell, Sequence[float | None]]

SCORES: Scores = {STOCK: [1.0] * 40, HALF: [1.0] * 30 + [0.0] * 10, QUARTER: [1.0, 0.0] * 20}


def save(
    folder: Path,
    scores: Scores,
    about: Any = None,
    expected: dict[Cell, int] | None = None,
    interrupted: bool = False,
    **answers: str,
) -> str:
    """Write a run in which every cell has these scores, and return its folder."""
    rows = [
        measured(cell, i, values[i], answer=answers.get(f"s{i:03d}", "seven" if values[i] else "eight"))
        for i in range(max(map(len, scores.values())))
        for cell, values in scores.items()
        if i < len(values)
    ]
    made = about or manifest(*{cell.dataset for cell in scores})
    results = run_of(scores, expected, measurements=rows, manifest=made, interrupted=interrupted)
    write(results, analyse(results), [], folder)
    return str(folder)


def named(name: str, **fields: Any) -> Any:
    """A manifest of a model of this name."""
    made = manifest()
    made["models"] = {name: {**made["models"]["tiny"], **fields}}  # type: ignore[typeddict-item]
    return made


@pytest.fixture
def base(tmp_path: Path) -> str:
    return save(tmp_path / "base", SCORES)


@pytest.fixture
def worse(tmp_path: Path) -> str:
    return save(tmp_path / "worse", {**SCORES, HALF: [0.0] * 20 + [1.0] * 10 + [0.0] * 10})


def read(path: Path) -> dict[str, Any]:
    return json.loads((path / "comparison.json").read_text())


def test_a_run_against_itself_has_no_flips(base: str, tmp_path: Path, capsys: Capture) -> None:
    assert main(["compare", base, base, "--max-regression=0", f"--output={tmp_path / 'out'}"]) == 0
    shown = capsys.readouterr().out
    assert "No answer changed: 3 cells, 120 answers." in shown
    assert shown.count("PASS") == 3
    cells = read(tmp_path / "out")["comparisons"][0]["cells"]
    assert {tuple(cell["flips"].values()) for cell in cells} == {(0, 0, 0, 0)}
    assert (tmp_path / "out" / "flips.jsonl").read_text() == ""


def test_the_answers_that_changed_are_shown_up_to_the_limit_and_written_all(
    base: str, worse: str, tmp_path: Path, capsys: Capture
) -> None:
    assert main(["compare", base, worse, "--limit=2", f"--output={tmp_path / 'out'}"]) == 0
    shown = capsys.readouterr().out
    assert "tiny/probes/divprune@0.5: 20 lost\n  lost    s000  expected 'seven': 'seven' -> 'eight'\n" in shown
    assert "  and 18 more\n" in shown
    flips = [json.loads(line) for line in (tmp_path / "out" / "flips.jsonl").read_text().splitlines()]
    assert [flip["sample"] for flip in flips] == [f"s{i:03d}" for i in range(20)]
    assert {flip["kind"] for flip in flips} == {"lost"}


def test_the_exit_code_is_1_only_where_a_cell_lost_more_than_it_may(base: str, worse: str, capsys: Capture) -> None:
    assert main(["compare", base, worse]) == 0
    assert main(["compare", base, worse, "--max-regression=60"]) == 0  # inconclusive
    assert main(["compare", base, worse, "--max-regression=5"]) == 1
    assert "FAIL  tiny/probes/divprune@0.5: -50.00 pp" in capsys.readouterr().out
    assert main(["compare", worse, base, "--max-regression=5"]) == 0


@pytest.mark.parametrize("is_first", [True, False])
def test_a_cell_that_is_incomplete_in_either_run_is_not_judged(
    is_first: bool, base: str, tmp_path: Path, capsys: Capture
) -> None:
    part = save(tmp_path / "part", {**SCORES, HALF: [1.0] * 5}, expected={HALF: 40})
    runs = (part, base) if is_first else (base, part)
    assert main(["compare", *runs, "--max-regression=1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "NOT JUDGED tiny/probes/divprune@0.5:" in shown
    assert "part lacks 35 of its 40 cases" in shown
    assert "PASS tiny/probes/stock:" in shown


def test_nothing_of_an_interrupted_run_is_judged(base: str, tmp_path: Path, capsys: Capture) -> None:
    stopped = save(tmp_path / "stopped", SCORES, interrupted=True)
    assert main(["compare", base, stopped, "--max-regression=1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.count("NOT JUDGED") == 3
    assert "PASS" not in shown


def test_the_order_of_the_lines_of_a_file_does_not_matter(base: str, worse: str, capsys: Capture) -> None:
    main(["compare", base, worse])
    straight = capsys.readouterr().out
    for folder in (base, worse):
        path = Path(folder) / "samples.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        random.Random(5).shuffle(lines)
        path.write_text("".join(lines))
    assert main(["compare", base, f"{worse}/results.json"]) == 0
    assert capsys.readouterr().out == straight


def test_what_is_written_is_as_documented(base: str, worse: str, tmp_path: Path) -> None:
    none = save(tmp_path / "none", {STOCK: [None] * 3}, manifest("probes", scoring="none"))
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    line = jsonschema.Draft202012Validator({"$ref": "#/$defs/flip", "$defs": schema["$defs"]})
    main(["compare", base, worse, base, "--max-regression=1", f"--output={tmp_path / 'out'}"])
    jsonschema.validate(read(tmp_path / "out"), schema)
    for text in (tmp_path / "out" / "flips.jsonl").read_text().splitlines():
        line.validate(json.loads(text))
    assert main(["compare", base, none, "--allow-differences", f"--output={tmp_path / 'mine.json'}"]) == 0
    jsonschema.validate(json.loads((tmp_path / "mine.json").read_text()), schema)
    assert (tmp_path / "mine.flips.jsonl").exists()


def test_the_schemas_of_a_run_and_of_a_comparison_have_the_same_fields_in_what_they_share() -> None:
    from pytest_vtc.report.json_report import SCHEMA as RESULTS_SCHEMA

    of_run, own = (json.loads(path.read_text())["$defs"] for path in (RESULTS_SCHEMA, SCHEMA))
    for shared in ("difference", "comparison"):
        assert own[shared]["properties"].keys() == of_run[shared]["properties"].keys()
    assert own["run_cell"]["properties"].keys() - {"verdict"} == of_run["run_cell"]["properties"].keys()


@pytest.mark.parametrize("width", [80, 120, 160])
def test_lines_fit_the_width(base: str, worse: str, tmp_path: Path, width: int, capsys: Capture) -> None:
    long = Cell("tiny", "probes", "a_compressor_of_a_long_name(with=1,two=2,parameters=3)", 0.125)
    one, other = (
        save(tmp_path / name, {STOCK: [1.0] * 40, long: values}, None, s003="says a good deal more than that " * 9)
        for name, values in (("one", [1.0] * 40), ("other", [0.0] * 40))
    )
    for pair in ((base, worse), (one, other)):
        main(["compare", *pair, f"--width={width}", "--max-regression=1"])
        assert max(map(len, capsys.readouterr().out.splitlines())) <= width


def test_runs_are_compared_on_the_cells_they_share_and_the_others_named(
    base: str, tmp_path: Path, capsys: Capture
) -> None:
    fps = Cell("tiny", "probes", "fps", 0.5)
    other = save(tmp_path / "other", {STOCK: [1.0] * 40, fps: [1.0] * 40})
    assert main(["compare", base, other]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "No answer changed: 1 cell, 40 answers." in shown
    assert "Only in base, the reference: tiny/probes/divprune@0.5, tiny/probes/divprune@0.25" in shown
    assert "Only in other, the run compared with it: tiny/probes/fps@0.5" in shown


def test_a_smaller_run_is_compared_on_its_samples_and_the_others_counted(
    base: str, tmp_path: Path, capsys: Capture
) -> None:
    about = manifest()
    about["datasets"]["probes"] = {**about["datasets"]["probes"], "n": 30, "fingerprint": "1f"}
    small = save(tmp_path / "small", {STOCK: [1.0] * 30}, about)
    assert main(["compare", base, small]) == 0
    assert "30 samples in both runs\n10 samples only before: not compared\n" in capsys.readouterr().out


def test_several_runs_are_corrected_together(base: str, worse: str, tmp_path: Path) -> None:
    main(["compare", base, worse, worse, f"--output={tmp_path / 'out'}"])
    document = read(tmp_path / "out")
    assert document["n_tests"] == 6
    half = [run["cells"][1] for run in document["comparisons"]]
    assert [cell["p_holm"] for cell in half] == pytest.approx([6 * half[0]["versus"]["p"]] * 2)


def other_answer(folder: Path) -> None:
    path = folder / "samples.jsonl"
    path.write_text(path.read_text().replace('["seven"]', '["nine"]', 1))


def other_dtype(folder: Path) -> None:
    path = folder / "results.json"
    path.write_text(path.read_text().replace('"dtype": "float32"', '"dtype": "bfloat16"'))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_dtype, "  model tiny: dtype: float32 -> bfloat16"),
        (other_answer, "  dataset probes: expected answers, in 1 of the common samples, first s000: seven -> nine"),
    ],
)
def test_other_settings_are_refused_with_the_list_unless_allowed(
    base: str, worse: str, change: Callable[[Path], None], message: str, capsys: Capture
) -> None:
    change(Path(worse))
    assert main(["compare", base, worse]) == 2
    refused = capsys.readouterr().err
    assert "were run with other settings, which change every answer:\n" + message in refused
    assert "--allow-differences" in refused
    assert main(["compare", base, worse, "--allow-differences"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.index("THESE RUNS DIFFER") < shown.index(message.strip()) < shown.index("Compressor")


def test_versions_and_sources_are_told_and_allowed(tmp_path: Path, base: str, capsys: Capture) -> None:
    about = manifest()
    about["pytest_vtc"] = "0.2.0"
    about["compressors"]["divprune"]["source_hash"] = "cd34"
    newer = save(tmp_path / "newer", SCORES, about)
    assert main(["compare", base, newer]) == 0
    told = "The runs differ in:\n  compressor divprune: source_hash: ab12 -> cd34\n  pytest_vtc: 0.1.0 -> 0.2.0\n"
    assert told in capsys.readouterr().out


def test_models_are_compared_with_each_other_only_if_asked_for(base: str, tmp_path: Path, capsys: Capture) -> None:
    large = save(
        tmp_path / "large", {Cell("large", "probes"): [1.0] * 40}, named("large", dtype="bfloat16", revision="ab")
    )
    assert main(["compare", base, large]) == 2
    assert "share no cell" in (refused := capsys.readouterr().err)
    assert "--across-models" in refused
    assert main(["compare", base, large, "--across-models"]) == 0
    shown = capsys.readouterr().out
    assert "tiny -> large on probes: 40 samples in both runs" in shown
    assert "  model: tiny -> large\n  model large: revision: none -> ab\n" in shown


def test_a_run_of_two_models_is_not_compared_across_models(base: str, tmp_path: Path, capsys: Capture) -> None:
    about = manifest()
    about["models"]["large"] = about["models"]["tiny"]
    two = save(tmp_path / "two", {STOCK: [1.0], Cell("large", "probes"): [1.0]}, about)
    assert main(["compare", base, two, "--across-models"]) == 2
    assert "needs runs of one model each" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{base}"], "give two runs or more"),
        (["{base}", "{base}/gone"], "no file or folder"),
        (["{base}", "{base}", "--output={base}"], "is the folder of a run"),
        (["{base}", "{base}", "--output={base}/results.json"], "is the folder of a run"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    base: str, arguments: list[str], message: str, capsys: Capture
) -> None:
    assert main(["compare", *(text.format(base=base) for text in arguments)]) == 2
    assert message in capsys.readouterr().err


def test_folders_of_one_name_are_told_apart(tmp_path: Path, capsys: Capture) -> None:
    folders = [save(tmp_path / name / "vtc-results", SCORES) for name in ("old", "new")]
    main(["compare", *folders])
    shown = capsys.readouterr().out
    assert "Reference: old/vtc-results (" in shown
    assert "Compared: new/vtc-results (" in shown
