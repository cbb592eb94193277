"""results.json and samples.jsonl: as documented, whole, and the same however the run went."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.analysis import analyse
from pytest_vtc.cells import CaseError, Cell, Measurement, SkippedCell
from pytest_vtc.gates import parse_gate
from pytest_vtc.judging import evaluate
from pytest_vtc.report.json_report import SCHEMA, ReportError, comparable, sample_line, to_document, write
from pytest_vtc.results import Results
from tests.made_up_metric import Pairs, known, run_on_pairs
from tests.run_of import HALF, QUARTER, STOCK, manifest, measured, of_seed, run_of, seeded

Written = tuple[dict[str, Any], list[dict[str, Any]]]


def written(results: Results, folder: Path) -> Written:
    analysis = analyse(results)
    verdicts = evaluate([parse_gate(gate) for gate in results.gates], results, analysis, results.expected)
    summary, samples = write(results, analysis, verdicts, folder)
    lines = samples.read_text(encoding="utf-8").split("\n")
    assert lines.pop() == ""
    return json.loads(summary.read_text(encoding="utf-8"), parse_constant=pytest.fail), [*map(json.loads, lines)]


def a_run() -> Results:
    """Something of everything: errors, gates of every outcome, fractions, cells without measurements, no answers."""
    rows: list[Measurement] = []
    for i in range(12):
        rows.append(measured(STOCK, i, 1.0, group=f"image {i // 2}"))
        if i != 5:
            rows.append(measured(HALF, i, i / 12, group=f"image {i // 2}", tokens=(64, 32, 30 + i % 3), cached=i < 4))
    return run_of(
        {STOCK: [1.0] * 12, HALF: [1.0] * 12, QUARTER: [1.0] * 12},
        measurements=rows,
        errors=[CaseError(HALF, "s005", "compressor divprune raised ValueError: x")],
        gates=("divprune@0.5: max_drop=1", "*: min_accuracy=0"),
        skipped=(SkippedCell(Cell("tiny", "probes", "downsample", 0.5), "it takes one image size"),),
    )


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json.loads(SCHEMA.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def results_validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def sample_validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({"$ref": "#/$defs/sample", "$defs": schema["$defs"]})


# The schema


def test_the_schema_is_a_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_field_of_the_schema_is_described_and_no_object_is_left_open(schema: dict[str, Any]) -> None:
    def look(node: Any, where: str) -> None:
        if isinstance(node, dict):
            for name, field in node.get("properties", {}).items():
                assert field.get("description"), f"{where}.{name} has no description"
            if node.get("type") == "object":
                assert "additionalProperties" in node, f"{where} does not say what else it may hold"
                assert sorted(node.get("required", [])) == sorted(node.get("properties", [])), where
            for name, child in node.items():
                look(child, f"{where}.{name}")
        elif isinstance(node, list):
            for child in node:
                look(child, where)

    look(schema, "results")


@pytest.mark.parametrize(
    "results",
    [
        a_run(),
        replace(a_run(), interrupted=True),
        run_of({STOCK: [None] * 3, HALF: [None] * 3}, manifest=manifest("probes", scoring="none")),
        run_of({STOCK: [1.0], HALF: [0.0]}),
        run_of({STOCK: [1.0] * 30, HALF: [1.0] * 30}),
        run_of({STOCK: [1.0] * 3, of_seed(0): [1.0, 0.0, 0.0], of_seed(1): [1.0] * 3}, manifest=seeded(0, 1, 2)),
        run_of({STOCK: [1.0], of_seed(0): [], of_seed(1): []}, manifest=seeded(0, 1)),
    ],
    ids=["everything", "interrupted", "not scored", "one sample", "identical", "seeds", "seeds without figures"],
)
def test_what_is_written_is_as_documented(
    results: Results,
    tmp_path: Path,
    results_validator: jsonschema.Draft202012Validator,
    sample_validator: jsonschema.Draft202012Validator,
) -> None:
    document, samples = written(results, tmp_path)
    results_validator.validate(document)
    assert len(samples) == len(results.measurements)
    for line in samples:
        sample_validator.validate(line)


def a_group(**changed: Any) -> dict[str, Any]:
    summary = run_of({STOCK: [1.0], of_seed(0): [1.0], of_seed(1): [0.0]}, manifest=seeded(0, 1))
    (group,) = to_document(summary, analyse(summary), [])["seed_groups"]
    return group | changed


def test_a_group_of_seeds_is_documented_with_its_spread() -> None:
    group = a_group()
    assert (group["cells"], group["seeds"], group["missing_seeds"]) == (
        ["tiny/probes/random@0.5", "tiny/probes/random(seed=1)@0.5"], [0, 1], [],
    )  # fmt: skip
    assert (group["by_seed"], group["lowest"], group["highest"]) == ([1.0, 0.0], 0.0, 1.0)
    assert group["sd"] == pytest.approx(math.sqrt(0.5))
    assert group["accuracy"]["estimate"] == 0.5
    assert group["versus_stock"]["difference_pp"]["estimate"] == -50.0


def test_published_figures_stand_by_name_with_their_difference_to_stock_and_what_the_metric_is(
    tmp_path: Path, results_validator: jsonschema.Draft202012Validator
) -> None:
    made = run_on_pairs(
        {STOCK: [1, 1, 1, None], HALF: [1, 0, None, 1], of_seed(0): [1, 1], of_seed(1): [1, 0]}, manifest=seeded(0, 1)
    )
    with known(Pairs()):
        document, _ = written(made, tmp_path)
    results_validator.validate(document)
    about = {"description": Pairs.description, "headings": ["pairs", "sum"], "decimals": 1}
    assert document["metrics"] == {"pairs": about}
    assert document["cells"][1]["published"] == {
        "n": 3, "n_paired": 2, "n_cut": 1,
        "figures": {
            "pairs": {"value": 50, "difference": -100},
            "sum": {"value": 2, "difference": -1},
            "said seven": {"value": 1, "difference": 0},
        },
    }  # fmt: skip
    assert document["seed_groups"][0]["published"]["figures"]["sum"] == {"value": 1.5, "difference": -0.5}


def test_what_unparsed_answers_were_worth_is_told_by_why(tmp_path: Path) -> None:
    rows = [
        replace(measured(STOCK, 0, 0.25, unparsed=True), parsed=None),
        replace(measured(STOCK, 1, 0.0, unparsed=True), parsed=None),
        measured(STOCK, 2, 1.0, answer="yes", unparsed=True),
        measured(STOCK, 3, 1.0, answer="yes"),
    ]
    cell = written(run_of({STOCK: [1.0] * 4}, measurements=rows), tmp_path)[0]["cells"][0]
    assert (cell["n_unparsed"], cell["by_chance"], cell["by_default"]) == (3, 0.25, 1.0)


BREAKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a field too many": lambda d: d.update(extra=1),
    "a field too few": lambda d: d.pop("budget"),
    "another version": lambda d: d.update(schema_version=2),
    "a count below nothing": lambda d: d["cells"][0].update(n_missing=-1),
    "an unknown outcome": lambda d: d["gates"]["verdicts"][0].update(outcome="passed"),
    "a ratio above one": lambda d: d["cells"][1].update(ratio=1.5),
    "an accuracy that is a number alone": lambda d: d["cells"][0].update(accuracy=0.5),
    "a text for a number": lambda d: d["categories"][0].update(n="12"),
    "a time outside of run": lambda d: d["cells"][0].update(seconds=1.0),
    "a manifest without a seed": lambda d: d["manifest"].pop("seed"),
    "a model without its type": lambda d: d["manifest"]["models"]["tiny"].pop("dtype"),
    "a skipped cell without its reason": lambda d: d["skipped"][0].pop("reason"),
    "a model that does not say what stands in": lambda d: d["manifest"]["models"]["tiny"].pop("substitutes"),
    "a compressor that does not say whether it is repeated": lambda d: d["manifest"]["compressors"]["divprune"].pop(
        "seed_group"
    ),
    "a group of one cell": lambda d: d["seed_groups"].append(a_group(cells=["tiny/probes/random@0.5"])),
    "a group without its spread": lambda d: d["seed_groups"].append(a_group(sd="1.0")),
    "an unknown policy": lambda d: d["cells"][0].update(positions=["packed"]),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_schema_rejects(name: str, tmp_path: Path, results_validator: jsonschema.Draft202012Validator) -> None:
    document, _ = written(a_run(), tmp_path)
    wrong = copy.deepcopy(document)
    BREAKS[name](wrong)
    assert not results_validator.is_valid(wrong)


def test_the_schema_rejects_a_sample_with_a_score_above_one(
    sample_validator: jsonschema.Draft202012Validator,
) -> None:
    line = sample_line(measured(STOCK, 0))
    assert sample_validator.is_valid(line)
    assert not sample_validator.is_valid({**line, "score": 1.5})


# The content


def test_a_cell_tells_what_was_measured(tmp_path: Path) -> None:
    document, _ = written(a_run(), tmp_path)
    _, half, quarter = document["cells"]
    assert (half["id"], half["compressor"], half["ratio"]) == ("tiny/probes/divprune@0.5", "divprune", 0.5)
    assert (half["n_expected"], half["n_measured"], half["n_missing"], half["n_errors"]) == (12, 11, 1, 1)
    assert half["accuracy"]["estimate"] == pytest.approx((66 - 5) / 12 / 11)
    difference = half["versus_stock"]["difference_pp"]
    assert difference["low"] < difference["estimate"] < difference["high"]
    assert half["run"] == {"n_cached": 4, "seconds_per_case": 0.25}
    assert (quarter["n_measured"], quarter["accuracy"], quarter["versus_stock"]) == (0, None, None)


def test_the_budget_audit_tells_what_was_kept(tmp_path: Path) -> None:
    document, _ = written(a_run(), tmp_path)
    stock, half, quarter = document["budget"]
    assert (stock["ratio"], stock["ratio_kept"]) == (None, 1.0)
    assert (half["tokens_asked"], half["kept_min"], half["kept_max"], half["n_below"]) == (32, 30, 32, 8)
    assert half["ratio_kept"] == pytest.approx(half["tokens_kept"] / 64)
    assert (quarter["n"], quarter["tokens_kept"]) == (0, None)


def test_the_budget_audit_tells_the_bytes_of_the_cache(tmp_path: Path) -> None:
    document, lines = written(a_run(), tmp_path)
    stock, half, quarter = document["budget"]
    kv = {(line["cell"], line["sample"]): line["kv_bytes"] for line in lines}
    own = [n for (cell, _), n in kv.items() if cell == half["cell"]]
    assert (stock["kv_bytes"], stock["kv_bytes_share"]) == (kv[stock["cell"], "s000"], 1.0)
    assert half["kv_bytes"] == pytest.approx(sum(own) / 11)
    assert half["kv_bytes_share"] == pytest.approx(half["kv_bytes"] / stock["kv_bytes"])
    assert (quarter["kv_bytes"], quarter["kv_bytes_share"]) == (None, None)


def test_gates_and_errors_are_told(tmp_path: Path) -> None:
    document, _ = written(a_run(), tmp_path)
    assert document["gates"]["asked"] == ["divprune@0.5: max_drop=1", "*: min_accuracy=0"]
    assert [verdict["outcome"] for verdict in document["gates"]["verdicts"]] == ["not judged"] * 4
    assert document["gates"]["verdicts"][-1]["reason"] == "not run: it takes one image size"
    assert document["gates"]["inconclusive"] == "skip"
    assert document["errors"] == [
        {
            "cell": "tiny/probes/divprune@0.5",
            "sample": "s005",
            "message": "compressor divprune raised ValueError: x",
        }
    ]


def test_a_verdict_is_told_with_its_figures(tmp_path: Path) -> None:
    results = run_of({STOCK: [1.0] * 200, HALF: [1.0] * 196 + [0.0] * 4}, gates=("*: max_drop=2.5, category=digit",))
    (verdict,) = written(results, tmp_path)[0]["gates"]["verdicts"]
    assert {key: verdict[key] for key in ("condition", "limit", "category", "rule", "n")} == {
        "condition": "max_drop", "limit": 2.5, "category": "digit", "rule": "interval", "n": 200,
    }  # fmt: skip
    assert verdict["estimate"] == pytest.approx(2.0)
    assert verdict["low"] < verdict["estimate"] < 2.5 < verdict["high"]
    assert verdict["n_needed"] > 200


def test_categories_are_told(tmp_path: Path) -> None:
    document, _ = written(a_run(), tmp_path)
    (category,) = document["categories"]
    assert (category["dataset"], category["category"], category["n"]) == ("probes", "digit", 12)
    assert [(v["variant"], v["n"]) for v in category["variants"]] == [
        ("stock", 12),
        ("divprune@0.5", 11),
        ("divprune@0.25", 0),
    ]


def test_samples_are_one_line_each_in_run_order(tmp_path: Path) -> None:
    results = a_run()
    _, samples = written(replace(results, measurements=results.measurements[::-1], sample_order=ORDER), tmp_path)
    assert [(line["sample"], line["cell"]) for line in samples] == [(m.sample, m.cell.id) for m in results.measurements]


ORDER = {"probes": [f"s{i:03d}" for i in range(12)]}


def test_answers_come_through_whatever_they_hold(tmp_path: Path) -> None:
    answers = [
        '"quoted", with\nlines\u2028and\ttabs',
        "猫が寝ている",
        "half a pair \ud83d",
        "nothing \x00 \x1b[31m",
        "",
    ]
    rows = [measured(STOCK, i, 0.0, answer=answer) for i, answer in enumerate(answers)]
    _, samples = written(run_of({STOCK: [0.0] * 5}, measurements=rows), tmp_path)
    assert [line["answer"] for line in samples] == answers
    assert "猫が寝ている" in (tmp_path / "samples.jsonl").read_text(encoding="utf-8")


def test_there_is_no_nan_but_null(tmp_path: Path) -> None:
    settings = manifest()
    settings["settings"] = {"temperature": math.nan, "nested": [{"limit": math.inf}], "pair": (1, 2.5)}
    rows = [measured(STOCK, i, math.nan, seconds=math.nan) for i in range(3)]
    document, samples = written(run_of({STOCK: [1.0] * 3}, measurements=rows, manifest=settings), tmp_path)
    assert document["manifest"]["settings"] == {"temperature": None, "nested": [{"limit": None}], "pair": [1, 2.5]}
    assert [(line["score"], line["run"]["seconds"]) for line in samples] == [(None, None)] * 3


# The same however the run went


def test_a_resumed_run_differs_from_an_uninterrupted_one_only_under_run(tmp_path: Path) -> None:
    straight = a_run()
    later = manifest()
    later["run"] = {"started": "2026-11-22T08:00:00+00:00", "seconds": 3.0, "command": ["pytest", "-x"]}
    resumed = replace(
        straight,
        manifest=later,
        measurements=[
            replace(m, cached=not m.cached, generation=replace(m.generation, seconds=9.0))
            for m in reversed(straight.measurements)
        ],
        sample_order=ORDER,
    )
    first, second = written(straight, tmp_path / "a"), written(resumed, tmp_path / "b")
    assert first != second
    assert comparable(list(first)) == comparable(list(second))


def test_another_answer_is_not_comparable(tmp_path: Path) -> None:
    results = a_run()
    other = replace(results, measurements=[measured(STOCK, 0, 0.0, answer="six"), *results.measurements[1:]])
    first, second = written(results, tmp_path / "a"), written(other, tmp_path / "b")
    assert comparable(first[0]) != comparable(second[0])
    assert comparable(first[1]) != comparable(second[1])


# Whole or not at all


def test_files_are_replaced_and_nothing_else_is_left_behind(tmp_path: Path) -> None:
    written(a_run(), tmp_path / "out")
    written(run_of({STOCK: [1.0]}), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["results.json", "samples.jsonl"]
    assert len((tmp_path / "out" / "samples.jsonl").read_text().splitlines()) == 1


def test_a_failed_write_leaves_the_old_files_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = written(a_run(), tmp_path)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_vtc.whole_file.os.fsync", no_space)
    with pytest.raises(ReportError, match=r"cannot write .*samples\.jsonl \(No space left on device\).*in the store"):
        written(run_of({STOCK: [1.0]}), tmp_path)
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.json", "samples.jsonl"]
    assert json.loads((tmp_path / "results.json").read_text()) == old[0]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReportError, match=r"cannot write .*file.samples\.jsonl"):
        written(a_run(), tmp_path / "file")
