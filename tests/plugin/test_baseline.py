"""Runs with a baseline: refused before they begin where they cannot be compared, judged by sample id at their end."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.cli import main
from pytest_vtc.report.json_report import SCHEMA, comparable
from tests.plugin.conftest import RunVtc, n_measured
from tests.plugin.sessions import Suite

KEEPS = """
import torch
from pytest_vtc.compression import Compressor
from pytest_vtc.compressors.divprune import DivPrune

class Mine(Compressor):
    name = "mine"
    description = "whatever is being worked on"

    def compress(self, features, n_target, **ctx):
        return {indices}
"""
GOOD = "DivPrune().compress(features, n_target, **ctx)"
BROKEN = "features[:n_target] * 0"

RUN = ("--vtc-n=24", "--vtc-compressors=./mine.py,divprune", "--vtc-ratios=0.5")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("baseline")


@pytest.fixture
def base(run_vtc: RunVtc, kept: Path, pytester: pytest.Pytester) -> Path:
    """A run in the folder `base`, with a compressor of one's own; made by the first test, copied for the others."""
    write_compressor(pytester.path, GOOD)
    folder = pytester.path / "base"
    if not (kept / "base").exists():
        run_vtc(*RUN, "--vtc-output=base")
        shutil.copytree(folder, kept / "base")
    else:
        shutil.copytree(kept / "base", folder)
    # What a run without a difference measures is in the store: the tests are about what is made of it.
    shutil.copytree(folder, pytester.path / "vtc-results")
    (pytester.path / "vtc-results" / "results.json").unlink()
    return folder


def write_compressor(folder: Path, indices: str) -> None:
    (folder / "mine.py").write_text(KEEPS.format(indices=indices))


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {verdict["name"]: verdict["outcome"] for verdict in document["gates"]["verdicts"]}


def test_a_run_against_itself_has_no_flips_and_passes(
    base: Path, run_vtc: RunVtc, results: Any, pytester: pytest.Pytester
) -> None:
    result = run_vtc(*RUN, "--vtc-baseline=base", "--vtc-max-regression=0", "--junitxml=junit.xml")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == 3
    result.stdout.fnmatch_lines(
        [
            "vtc: baseline base, compared on 3 cells: at most 0 pp of regression",
            "Compared with the baseline base, sample by sample",
            "No answer changed: 3 cells, 72 answers.",
        ]
    )
    document = results()
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert verdicts(document) == {
        "stock max_regression=0": "pass",
        "mine@0.5 max_regression=0": "pass",
        "divprune@0.5 max_regression=0": "pass",
    }
    assert 'name="gate[mine@0.5 max_regression=0]"' in (pytester.path / "junit.xml").read_text()
    assert {tuple(cell["flips"].values()) for cell in document["baseline"]["cells"]} == {(0, 0, 0, 0)}
    assert not (pytester.path / "vtc-results" / "flips.jsonl").exists()
    assert str(pytester.path) not in json.dumps(document["baseline"])


def test_a_compressor_that_loses_answers_fails_and_its_flips_are_written(
    base: Path, run_vtc: RunVtc, results: Any, pytester: pytest.Pytester
) -> None:
    write_compressor(pytester.path, BROKEN)
    result = run_vtc(*RUN, "--vtc-baseline=base", "--vtc-max-regression=0")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "FAIL  mine@0.5 max_regression=0: -[1-9]?.?? pp [[]*] over 24*",
            "2 cells of 3 without any change; the others:",
            "mine * -*pp *",
            "  compressor mine: source_hash: * -> *",
        ]
    )
    document = results()
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert verdicts(document)["mine@0.5 max_regression=0"] == "fail"
    cells = {cell["cell"]: cell for cell in document["baseline"]["cells"]}
    flips = [json.loads(line) for line in (pytester.path / "vtc-results" / "flips.jsonl").read_text().splitlines()]
    assert len(flips) == sum(cells["tiny-gemma4/probes/mine@0.5"]["flips"].values())
    assert {flip["cell"] for flip in flips} == {"tiny-gemma4/probes/mine@0.5"}


def test_without_a_limit_only_what_is_significantly_worse_fails(
    base: Path, run_vtc: RunVtc, results: Any, pytester: pytest.Pytester
) -> None:
    write_compressor(pytester.path, BROKEN)
    run_vtc(*RUN, "--vtc-baseline=base/results.json")
    assert verdicts(results()) == {
        "stock no_regression": "pass",
        "mine@0.5 no_regression": "fail",
        "divprune@0.5 no_regression": "pass",
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--vtc-positions=original", "--vtc-max-new-tokens=3"],
            ["*  model tiny-gemma4: positions: compact -> original*", "*dataset probes: max_new_tokens: 8 -> 3*"],
        ),
        (["--vtc-seed=7"], ["*  seed: 42 -> 7*", "*samples, prompts or expected answers*"]),
        (["--vtc-attention=eager"], ["*  model tiny-gemma4: attention: sdpa -> eager*"]),
    ],
)
def test_other_settings_are_refused_before_the_run_with_the_list(
    base: Path, run_vtc: RunVtc, options: list[str], told: list[str]
) -> None:
    result = run_vtc(*RUN, "--vtc-baseline=base", *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert n_measured(result) == 0
    result.stderr.fnmatch_lines(["*the baseline base/results.json was run with other settings*", *told])


def test_fewer_samples_are_compared_with_the_same_ones_of_a_larger_baseline(
    base: Path, run_vtc: RunVtc, results: Any
) -> None:
    assert run_vtc(*RUN, "--vtc-n=5", "--vtc-baseline=base").ret == 0
    assert [(cell["n"], cell["n_only_reference"]) for cell in results()["baseline"]["cells"]] == [(5, 19)] * 3


def test_samples_that_the_baseline_lacks_are_refused_with_their_number(base: Path, run_vtc: RunVtc) -> None:
    result = run_vtc(*RUN, "--vtc-n=27", "--vtc-baseline=base")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*lacks samples that this run measures:", "*probes/stock: 3 of 27"])


def test_a_prompt_that_changed_in_a_larger_baseline_is_refused(
    pytester: pytest.Pytester, run_vtc: RunVtc, manifest: Path
) -> None:
    run = (f"--vtc-data={manifest}", "--vtc-compressors=identity")
    run_vtc(*run, "--vtc-n=all", "--vtc-output=base")
    manifest.write_text(manifest.read_text().replace("what digit is red", "which digit is red"))
    result = run_vtc(*run, "--vtc-n=1", "--vtc-baseline=base")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*dataset mine: samples, prompts or expected answers: * -> *"])


def test_a_new_cell_is_said_and_not_judged_and_one_that_is_gone_named(
    base: Path, run_vtc: RunVtc, results: Any
) -> None:
    result = run_vtc("--vtc-n=24", "--vtc-compressors=./mine.py,identity", "--vtc-baseline=base")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "vtc: not judged, as the baseline lacks tiny-gemma4/probes/identity@0.5",
            "NOT JUDGED  identity@0.5 no_regression: the baseline has no such cell",
            "Only in base: tiny-gemma4/probes/divprune@0.5",
        ]
    )
    assert results()["baseline"]["only_compared"] == ["tiny-gemma4/probes/identity@0.5"]
    assert results()["baseline"]["only_reference"] == ["tiny-gemma4/probes/divprune@0.5"]


def test_a_baseline_of_other_cells_is_refused(base: Path, run_vtc: RunVtc) -> None:
    result = run_vtc("--vtc-data=easyvqa", "--vtc-baseline=base")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*has no cell of this run: it has tiny-gemma4/probes/stock, *"])


def test_the_order_of_the_baselines_lines_does_not_matter(base: Path, run_vtc: RunVtc, results: Any) -> None:
    run_vtc(*RUN, "--vtc-baseline=base")
    straight = results()
    path = base / "samples.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    random.Random(1).shuffle(lines)
    path.write_text("".join(lines))
    run_vtc(*RUN, "--vtc-baseline=base")
    assert comparable(results()) == comparable(straight)


def test_a_baseline_where_the_run_writes_is_read_before_it_is_replaced(
    base: Path, run_vtc: RunVtc, results: Any, pytester: pytest.Pytester
) -> None:
    write_compressor(pytester.path, BROKEN)
    result = run_vtc(*RUN, "--vtc-output=base", "--vtc-baseline=base", "--vtc-max-regression=0")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["vtc: the baseline lies where this run writes; it has been read, *"])
    again = run_vtc(*RUN, "--vtc-output=base", "--vtc-baseline=base", "--vtc-max-regression=0")
    assert again.ret == 0
    assert not (base / "flips.jsonl").exists()  # of the run before


def test_after_an_interruption_and_in_a_shard_nothing_is_judged(base: Path, run_vtc: RunVtc, results: Any) -> None:
    run_vtc(*RUN, "--vtc-baseline=base", "-x", "--maxfail=1", "--vtc-shard=1/2", "--vtc-output=part")
    assert set(verdicts(results("part")).values()) == {"not judged"}
    (verdict, *_) = results("part")["gates"]["verdicts"]
    assert verdict["reason"] == "this is shard 1/2: merge the shards, with --baseline"


def test_cases_that_were_not_selected_leave_a_cell_unjudged(base: Path, run_vtc: RunVtc, results: Any) -> None:
    first = json.loads((base / "samples.jsonl").read_text().splitlines()[0])["sample"]
    run_vtc(*RUN, "--vtc-baseline=base", "-k", f"divprune and {first}")
    assert verdicts(results()) == {"stock no_regression": "not judged", "divprune@0.5 no_regression": "not judged"}


@pytest.mark.slow
def test_merged_shards_are_compared_as_the_whole_run(
    base: Path, run_vtc: RunVtc, results: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run_vtc(*RUN, "--vtc-baseline=base")
    for i in (1, 2):
        run_vtc(*RUN, f"--vtc-shard={i}/2", f"--vtc-output=s{i}")
    assert main(["merge", "s2", "s1", "--output=merged", "--baseline=base"]) == 0
    assert comparable(results("merged")) == comparable(results())
    assert main(["merge", "s1", "s2", "--output=merged", "--max-regression=1"]) == 2
    assert "--max-regression needs --baseline" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--vtc-max-regression=1"], "*--vtc-max-regression needs --vtc-baseline*"),
        (["--vtc-baseline=base", "--vtc-max-regression=much"], "*'much' is no number of percentage points*"),
        (["--vtc-baseline=nowhere"], "*no file or folder nowhere; give a results.json*"),
    ],
)
def test_options_that_make_no_sense_are_refused(run_vtc: RunVtc, options: list[str], message: str) -> None:
    result = run_vtc(*options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_a_baseline_can_be_named_in_the_ini_and_the_experiment_file(
    base: Path, run_vtc: RunVtc, results: Any, pytester: pytest.Pytester
) -> None:
    pytester.makeini("[pytest]\nvtc_baseline = base\nvtc_max_regression = 2.5\n")
    run_vtc(*RUN)
    assert results()["baseline"]["max_regression"] == 2.5
    pytester.makefile(".json", experiment='{"baseline": "base", "max_regression": 5}')
    run_vtc(*RUN, "--vtc-config=experiment.json")
    assert results()["baseline"]["max_regression"] == 5


@pytest.mark.slow
def test_workers_give_the_same_comparison(tmp_path: Path) -> None:
    suite = Suite(tmp_path, traced=False)
    suite.run("--vtc-n=16", "--vtc-output=base")
    alone = suite.run("--vtc-n=16", "--vtc-output=one", "--vtc-baseline=base", "--vtc-max-regression=1")
    together = suite.run("--vtc-n=16", "--vtc-output=two", "--vtc-baseline=base", "--vtc-max-regression=1", "-n2")
    assert (alone.returncode, together.returncode) == (0, 0)
    assert suite.comparable("two") == suite.comparable("one")
    assert "vtc: baseline base, compared on" in together.stdout
    refused = suite.run("--vtc-n=16", "--vtc-seed=3", "--vtc-output=two", "--vtc-baseline=base", "-n2")
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "seed: 42 -> 3" in refused.stdout + refused.stderr
