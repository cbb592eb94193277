"""Shards, merged, are the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.cli import main
from pytest_vtc.report.json_report import SCHEMA, comparable
from pytest_vtc.store import Store
from tests.plugin.conftest import RunVtc, n_measured
from tests.plugin.sessions import Suite

GATES = ("--vtc-gate=divprune@0.5: max_drop=100", "--vtc-gate=identity@0.5: min_accuracy=99")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture
def shards(run_vtc: RunVtc, kept: Path, pytester: pytest.Pytester) -> list[str]:
    """Three shards of a run, in the folders s1 to s3; made by the first test, copied for the others."""
    names = ["s1", "s2", "s3"]
    for i, name in enumerate(names, 1):
        if not (kept / name).exists():
            run_vtc("--vtc-n=20", f"--vtc-shard={i}/3", f"--vtc-output={name}", *GATES)
            shutil.copytree(pytester.path / name, kept / name)
        else:
            shutil.copytree(kept / name, pytester.path / name)
    return names


def test_merged_shards_are_the_run_without_shards(
    shards: list[str], run_vtc: RunVtc, results: Any, samples: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run_vtc("--vtc-n=20", "--vtc-output=whole", *GATES)
    capsys.readouterr()
    assert main(["merge", *reversed(shards), "--output=merged"]) == whole.ret == 1
    assert comparable(results("merged")) == comparable(results("whole"))
    assert comparable(samples("merged")) == comparable(samples("whole"))
    printed = capsys.readouterr().out.splitlines()
    tables = [line for line in whole.outlines if line.startswith(("stock ", "divprune ", "identity ", "PASS", "FAIL "))]
    assert tables
    assert [line for line in tables if line not in printed] == []


def test_the_merged_file_follows_the_schema_and_names_its_shards(shards: list[str], results: Any) -> None:
    main(["merge", *shards, "--output=merged"])
    jsonschema.validate(results("merged"), json.loads(SCHEMA.read_text()))
    assert [part["shard"] for part in results("merged")["manifest"]["run"]["merged"]] == ["1/3", "2/3", "3/3"]


def test_the_merged_store_answers_the_whole_run(shards: list[str], run_vtc: RunVtc, results: Any) -> None:
    main(["merge", *shards, "--output=merged"])
    run_vtc("--vtc-n=20", "--vtc-output=merged")
    assert [cell["run"]["n_cached"] for cell in results("merged")["cells"]] == [20, 20, 20]


def test_a_shard_says_so_and_judges_no_gate(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc("--vtc-n=20", "--vtc-shard=1/3", *GATES)
    result.stdout.fnmatch_lines(["vtc: shard 1/3, by image: * of 60 cases; gates are judged by*"])
    result.stdout.fnmatch_lines(["NOT JUDGED*this is shard 1/3: merge the*"])
    assert n_measured(result) < 30
    assert results()["manifest"]["run"]["shard"] == "1/3"


def test_a_gate_can_be_judged_after_the_fact(shards: list[str], results: Any) -> None:
    main(["merge", *shards, "--output=merged", "--gate", "*@0.5: min_accuracy=1"])
    assert [v["outcome"] for v in results("merged")["gates"]["verdicts"]] == ["pass", "fail", "pass", "pass"]


def test_an_inconclusive_gate_counts_as_in_the_shards_unless_told_otherwise(shards: list[str], results: Any) -> None:
    asked = ["merge", *shards, "--output=merged", "--gate", "divprune@0.5: max_drop=14"]
    without = [f"{folder}/results.json" for folder in shards]
    for path in map(Path, without):  # of a run that asks for nothing else
        document = json.loads(path.read_text())
        document["gates"]["asked"] = []
        path.write_text(json.dumps(document))
    assert main(asked) == 0
    (verdict,) = results("merged")["gates"]["verdicts"]
    assert (verdict["outcome"], results("merged")["gates"]["inconclusive"]) == ("inconclusive", "skip")
    assert main([*asked, "--gate-inconclusive=fail"]) == 1


def test_gates_to_judge_may_stand_in_a_file(shards: list[str], results: Any) -> None:
    Path("gates.txt").write_text("*@0.5: min_accuracy=1   # hardly anything\n")
    main(["merge", *shards, "--output=merged", "--gate=@gates.txt"])
    assert [v["outcome"] for v in results("merged")["gates"]["verdicts"]] == ["pass", "fail", "pass", "pass"]


def test_a_missing_shard_is_named(shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", "s1", "s3", "--output=merged"]) == 2
    assert "shard 2/3 is missing" in capsys.readouterr().err
    assert not Path("merged").exists()


def test_what_is_there_can_be_merged_as_an_interrupted_run(shards: list[str], results: Any) -> None:
    assert main(["merge", "s1", "s3", "--output=merged", "--partial"]) == 0
    assert results("merged")["interrupted"]
    assert {v["outcome"] for v in results("merged")["gates"]["verdicts"]} == {"not judged"}


def test_a_shard_is_not_taken_twice(shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", *shards, "s2", "--output=merged"]) == 2
    assert "s2 and s2 are both shard 2/3" in capsys.readouterr().err


def test_shards_of_different_runs_are_refused(
    shards: list[str], run_vtc: RunVtc, capsys: pytest.CaptureFixture[str]
) -> None:
    run_vtc("--vtc-n=20", "--vtc-shard=3/3", "--vtc-output=other", "--vtc-max-new-tokens=3")
    assert main(["merge", "s1", "s2", "other", "--output=merged"]) == 2
    assert "differ in datasets.probes.max_new_tokens" in capsys.readouterr().err


def test_what_another_version_wrote_is_refused(shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("s2/results.json")
    document = json.loads(path.read_text())
    document["manifest"]["pytest_vtc"] = "0.0.1"
    path.write_text(json.dumps(document))
    assert main(["merge", *shards, "--output=merged"]) == 2
    assert "was written by pytest-vtc 0.0.1" in capsys.readouterr().err


def test_a_store_of_another_version_is_refused(shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3

    with sqlite3.connect("s2/measurements.sqlite") as store:
        store.execute("PRAGMA user_version = 99")
    assert main(["merge", *shards, "--output=merged"]) == 2
    assert "s2/measurements.sqlite was written by another version" in capsys.readouterr().err
    assert not Path("merged/results.json").exists()


def test_a_whole_run_is_no_shard(run_vtc: RunVtc, capsys: pytest.CaptureFixture[str]) -> None:
    run_vtc("--vtc-output=whole")
    assert main(["merge", "whole", "--output=merged"]) == 2
    assert "is no shard" in capsys.readouterr().err


def test_an_unfinished_shard_is_named(shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("s2/results.json").unlink()
    assert main(["merge", *shards, "--output=merged"]) == 2
    assert "s2 holds no results.json" in capsys.readouterr().err


def test_shards_are_not_merged_into_one_of_them(shards: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["merge", *shards, "--output=s1"]) == 2
    assert "s1 is one of the shards" in capsys.readouterr().err


def test_errors_of_a_shard_are_errors_of_the_run(
    pytester: pytest.Pytester, run_vtc: RunVtc, manifest: Path, results: Any
) -> None:
    lines = manifest.read_text().splitlines()
    other = json.loads(lines[0]) | {"id": "c", "image": "broken.png"}
    (pytester.path / "broken.png").write_bytes(b"no image")
    manifest.write_text("\n".join([*lines, json.dumps(other)]) + "\n")
    run = (f"--vtc-data={manifest}", "--vtc-n=all", "--vtc-compressors=identity")
    run_vtc(*run, "--vtc-output=whole")
    for i in (1, 2):
        run_vtc(*run, f"--vtc-shard={i}/2", f"--vtc-output=s{i}")
    assert main(["merge", "s1", "s2", "--output=merged"]) == 1
    assert len(results("merged")["errors"]) == 2
    assert comparable(results("merged")) == comparable(results("whole"))


@pytest.mark.slow
def test_shards_run_by_workers_are_merged_as_others(tmp_path: Path) -> None:
    suite = Suite(tmp_path, traced=False)
    suite.run("--vtc-n=16", "--vtc-output=whole")
    for i in (1, 2):
        assert suite.run("--vtc-n=16", f"--vtc-shard={i}/2", f"--vtc-output=s{i}", "-n2").returncode == 0
    assert main(["merge", *(str(tmp_path / f"s{i}") for i in (1, 2)), f"--output={tmp_path / 'merged'}"]) == 0
    assert suite.comparable("merged") == suite.comparable("whole")


def test_a_shard_does_not_write_over_another(shards: list[str], run_vtc: RunVtc, results: Any) -> None:
    refused = run_vtc("--vtc-n=20", "--vtc-shard=2/3", "--vtc-output=s1")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*s1/results.json holds the results of shard 1/3; give each shard a folder of*"])
    assert results("s1")["manifest"]["run"]["shard"] == "1/3"
    assert run_vtc("--vtc-n=20", "--vtc-shard=1/3", "--vtc-output=s1").ret == 0


def test_selected_cases_can_be_sharded_too(run_vtc: RunVtc, results: Any, samples: Any) -> None:
    run_vtc("--vtc-n=20", "--vtc-output=whole", "-k", "divprune")
    for i in (1, 2):
        run_vtc("--vtc-n=20", f"--vtc-shard={i}/2", f"--vtc-output=s{i}", "-k", "divprune")
    main(["merge", "s1", "s2", "--output=merged"])
    assert comparable(results("merged")) == comparable(results("whole"))
    assert comparable(samples("merged")) == comparable(samples("whole"))


def test_stores_are_united(tmp_path: Path) -> None:
    from tests.test_in_flight import SEVEN

    with Store(tmp_path / "a.sqlite") as a, Store(tmp_path / "b.sqlite") as b:
        a.put_many([("x", SEVEN), ("y", SEVEN)])
        b.put_many([("y", SEVEN), ("z", SEVEN)])
        a.copy_from(b)
        assert a.get_many("xyz").keys() == {"x", "y", "z"}


def test_a_shard_can_be_named_in_the_ini_and_the_experiment_file(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeini("[pytest]\nvtc_shard = 1/2\n")
    run_vtc("--collect-only", "--vtc-n=8").stdout.fnmatch_lines(["vtc: shard 1/2, *"])
    pytester.makefile(".json", experiment='{"shard": "2/2"}')
    run_vtc("--collect-only", "--vtc-n=8", "--vtc-config=experiment.json").stdout.fnmatch_lines(["vtc: shard 2/2, *"])
