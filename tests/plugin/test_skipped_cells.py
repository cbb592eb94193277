"""Cells that a model cannot run: one skipped test each, with the reason, wherever a run speaks of its cells."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest

from pytest_vtc.cli import main
from pytest_vtc.models.catalogue import CATALOGUE, ModelLocation
from pytest_vtc.models.gemma4 import Gemma4Backend
from pytest_vtc.report.json_report import SCHEMA, comparable
from tests.plugin.conftest import RunVtc, n_measured
from tests.plugin.sessions import Suite

REASON = "its vision tower takes one image size"
NOT_RUN = "tiny-gemma4/probes/downsample@0.5"
WITH_ONE = "--vtc-compressors=divprune,downsample"
GATES = ("--vtc-gate=downsample@*: max_drop=5", "--vtc-gate=divprune@0.5: max_drop=100")


@pytest.fixture(autouse=True)
def one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded model's family cannot encode a resized image."""
    monkeypatch.setattr(Gemma4Backend, "lacks", {"encode": REASON})


def node_ids(result: pytest.RunResult) -> list[str]:
    return [re.sub(r".*\[(.*)\]", r"\1", line) for line in result.outlines if "::" in line]


# Collection


def test_a_skipped_cell_is_one_item_after_the_cases(run_vtc: RunVtc) -> None:
    ids = node_ids(run_vtc("--collect-only", "-q", WITH_ONE, "--vtc-ratios=0.5,0.25"))
    assert len(ids) == 4 * 3 + 2
    assert ids[-2:] == [NOT_RUN, "tiny-gemma4/probes/downsample@0.25"]


def test_the_header_counts_skipped_cells(run_vtc: RunVtc) -> None:
    result = run_vtc("--collect-only", WITH_ONE, "--vtc-ratios=0.5,0.25")
    result.stdout.fnmatch_lines(["vtc: tiny-gemma4 on probes: *, 3 cells; 2 more cannot be run on this model"])


def test_a_model_without_limits_skips_nothing(run_vtc: RunVtc, monkeypatch: pytest.MonkeyPatch, results: Any) -> None:
    monkeypatch.setattr(Gemma4Backend, "lacks", {"keys": REASON})
    assert n_measured(run_vtc(WITH_ONE)) == 12
    assert results()["skipped"] == []


def test_a_folder_is_known_by_its_configuration(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    folder = pytester.mkdir("mine")
    (folder / "config.json").write_text('{"model_type": "gemma4", "vision_config": {}}')
    ids = node_ids(run_vtc("--collect-only", "-q", "--vtc-model=./mine", WITH_ONE))
    assert "mine/probes/downsample@0.5" in ids


def test_what_only_some_checkpoints_of_a_family_have_is_known_by_the_configuration(
    pytester: pytest.Pytester, run_vtc: RunVtc
) -> None:
    pytester.makepyfile(
        looks="""
        from pytest_vtc.compression import Compressor

        class Looks(Compressor):
            name = "looks"
            description = "looks at class tokens"
            needs = {"class_token"}

            def compress(self, features, n_target, **ctx):
                return features[:n_target]
        """
    )
    for tower in ("clip_vision_model", "siglip_vision_model"):
        folder = pytester.mkdir(tower)
        strategy = "default" if tower.startswith("clip") else "full"
        config = {"model_type": "llava", "vision_feature_select_strategy": strategy}
        (folder / "config.json").write_text(json.dumps(config | {"vision_config": {"model_type": tower}}))
    result = run_vtc(
        "--collect-only",
        "--vtc-model=./clip_vision_model,./siglip_vision_model",
        "--vtc-compressors=./looks.py",
        "--vtc-ratios=0.5",
    )
    result.stdout.fnmatch_lines(
        [
            "vtc: clip_vision_model on probes: *, 2 cells",
            "vtc: siglip_vision_model on probes: *, 1 cell*; 1 more cannot be run on this model",
        ]
    )


def test_a_folder_of_an_unknown_family_is_refused_at_collection(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    folder = pytester.mkdir("other")
    (folder / "config.json").write_text('{"model_type": "nonesuch"}')
    result = run_vtc("--collect-only", "--vtc-model=./other", WITH_ONE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "nonesuch" in result.stderr.str()


@pytest.mark.parametrize(
    ("variant", "compressor", "reason"),
    [("llava", "downsample", "images of one size only"), ("internvl", "downsample", "tiles of one size")],
)
def test_what_a_family_lacks_is_said_in_its_own_words(
    run_vtc: RunVtc, checkpoint: Callable[[str], Path], variant: str, compressor: str, reason: str
) -> None:
    folder = checkpoint(variant)
    model = (f"--vtc-model={folder}", f"--vtc-compressors=divprune,{compressor}", "-k", compressor)
    result = run_vtc(*model, "--no-fold-skipped", "-rs")
    assert result.parseoutcomes()["skipped"] == 1
    result.stdout.fnmatch_lines([f"SKIPPED test_accuracy.py::*[[]{folder.name}/probes/{compressor}@0.5] - *{reason}*"])


# The run


@dataclass(frozen=True)
class Recorded:
    """What a run with a compressor that the model cannot run has shown and left behind."""

    result: pytest.RunResult
    document: dict[str, Any]
    samples: list[dict[str, Any]]
    junit: ElementTree.Element


@pytest.fixture(scope="module")
def kept() -> list[Recorded]:
    return []


@pytest.fixture
def recorded(kept: list[Recorded], run_vtc: RunVtc, pytester: pytest.Pytester, results: Any, samples: Any) -> Recorded:
    """Made by the first test that asks for it."""
    if not kept:
        result = run_vtc(WITH_ONE, "--vtc-ratios=0.5,0.25", "-rs", "--junitxml=junit.xml", *GATES)
        kept.append(Recorded(result, results(), samples(), ElementTree.parse(pytester.path / "junit.xml").getroot()))
    return kept[0]


def test_skipped_cells_fail_nothing(recorded: Recorded) -> None:
    assert recorded.result.ret == 0
    assert n_measured(recorded.result) == 12


def test_rs_shows_the_reason_at_the_test_function(recorded: Recorded) -> None:
    line = f"SKIPPED [[]2[]] test_accuracy.py: downsample is not run on tiny-gemma4: {REASON}"
    recorded.result.stdout.fnmatch_lines([line])


def test_junit_names_the_cell_and_the_reason(recorded: Recorded) -> None:
    cases = [case for case in recorded.junit.iter("testcase") if case.get("name") == f"test_accuracy[{NOT_RUN}]"]
    assert [REASON in skipped.get("message", "") for case in cases for skipped in case.iter("skipped")] == [True]


def test_a_line_below_the_table_says_what_is_not_run(recorded: Recorded) -> None:
    recorded.result.stdout.fnmatch_lines(["divprune *", "", f"Not run: downsample@0.5, downsample@0.25: {REASON}"])
    assert not any(line.startswith("downsample ") for line in recorded.result.outlines)


def test_the_files_list_skipped_cells_apart_and_follow_the_schema(recorded: Recorded) -> None:
    jsonschema.validate(recorded.document, json.loads(SCHEMA.read_text()))
    assert recorded.document["skipped"][0] == {
        "id": NOT_RUN,
        "model": "tiny-gemma4",
        "dataset": "probes",
        "variant": "downsample@0.5",
        "compressor": "downsample",
        "ratio": 0.5,
        "reason": REASON,
    }
    assert [cell["ratio"] for cell in recorded.document["skipped"]] == [0.5, 0.25]
    assert [cell["variant"] for cell in recorded.document["cells"]] == ["stock", "divprune@0.5", "divprune@0.25"]
    assert recorded.document["manifest"]["models"]["tiny-gemma4"]["unsupported"] == {"downsample": REASON}


def test_skipped_cells_have_no_place_among_the_cases(recorded: Recorded) -> None:
    assert [line["run"]["order"] for line in recorded.samples] == list(range(4 * 3))
    assert any(line.startswith("12/12 ") for line in recorded.result.outlines)


def test_a_gate_on_a_skipped_cell_is_not_judged(recorded: Recorded) -> None:
    recorded.result.stdout.fnmatch_lines(["NOT JUDGED  downsample@0.5 max_drop=5: not run: its vision tower*"])
    assert [v["outcome"] for v in recorded.document["gates"]["verdicts"]] == ["not judged", "not judged", "pass"]


def test_a_run_of_which_every_compressor_is_skipped_runs_stock(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc("--vtc-compressors=downsample")
    assert result.ret == 0
    assert n_measured(result) == 4
    assert [cell["variant"] for cell in results()["cells"]] == ["stock"]


# Selection


def test_k_selects_skipped_cells_like_others(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc(WITH_ONE, "-k", "divprune")
    assert "skipped" not in result.parseoutcomes()
    assert results()["skipped"] == []
    assert not any(line.startswith("Not run") for line in result.outlines)


def test_a_run_of_skipped_cells_alone_says_so(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc(WITH_ONE, "-k", "downsample", *GATES)
    assert result.ret == 0
    assert result.parseoutcomes()["skipped"] == 1 + 2
    result.stdout.fnmatch_lines(["tiny-gemma4 on probes", "", f"Not run: downsample@0.5: {REASON}"])
    assert [cell["id"] for cell in results()["skipped"]] == [NOT_RUN]
    assert results()["cells"] == []


def test_a_node_id_addresses_a_skipped_cell(run_vtc: RunVtc) -> None:
    result = run_vtc(f"test_accuracy.py::test_accuracy[{NOT_RUN}]", WITH_ONE)
    result.assert_outcomes(skipped=1)  # and nothing else but warnings of the installation


def test_m_heeds_the_marks_of_the_test_function(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        test_accuracy="import pytest\n@pytest.mark.sweep\ndef test_accuracy(vtc_case):\n    vtc_case.measure()\n"
    )
    pytester.makeini("[pytest]\nmarkers = sweep\n")
    run_vtc(WITH_ONE, "-m", "not sweep").assert_outcomes(deselected=9)


def test_lf_does_not_take_a_skip_for_a_failure(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        flaky="""
        import pathlib, torch
        from pytest_vtc.compression import Compressor
        class Flaky(Compressor):
            name = "flaky"
            description = "raises at first"
            def compress(self, features, n_target, **ctx):
                if pathlib.Path("broken").exists():
                    raise RuntimeError("no luck")
                return torch.arange(n_target)
        """
    )
    (pytester.path / "broken").touch()
    assert run_vtc("--vtc-compressors=downsample,./flaky.py").parseoutcomes()["failed"] == 4
    (pytester.path / "broken").unlink()
    again = run_vtc("--vtc-compressors=downsample,./flaky.py", "--lf")
    assert (n_measured(again), again.parseoutcomes().get("skipped", 0)) == (4, 0)


def test_two_test_functions_list_a_cell_once(pytester: pytest.Pytester, run_vtc: RunVtc, results: Any) -> None:
    one = "def test_{}(vtc_case):\n    vtc_case.measure()\n"
    pytester.makepyfile(test_accuracy=one.format("one") + one.format("two"))
    result = run_vtc(WITH_ONE)
    assert result.parseoutcomes()["skipped"] == 2
    assert [cell["id"] for cell in results()["skipped"]] == [NOT_RUN]


def test_a_gate_on_a_skipped_cell_lists_it_though_it_was_not_selected(run_vtc: RunVtc, results: Any) -> None:
    run_vtc(WITH_ONE, "-k", "divprune", *GATES)
    assert [cell["id"] for cell in results()["skipped"]] == [NOT_RUN]


# Several models


def test_a_cell_is_skipped_on_the_models_that_cannot_run_it_alone(
    pytester: pytest.Pytester, run_vtc: RunVtc, monkeypatch: pytest.MonkeyPatch, results: Any
) -> None:
    class Limited(Gemma4Backend):
        lacks: ClassVar[dict[str, str]] = {"encode": REASON}

    def family(location: ModelLocation, _trust_remote_code: bool) -> type[Gemma4Backend]:
        return Limited if location.label == "limited" else Gemma4Backend

    monkeypatch.setattr(Gemma4Backend, "lacks", {})
    monkeypatch.setattr("pytest_vtc.models.families.family_of", family)
    shutil.copytree(CATALOGUE["tiny-gemma4"].location, pytester.path / "limited")
    models = (
        "--vtc-model=limited,tiny-gemma4",
        "--vtc-compressors=downsample",
        "--vtc-gate=downsample@0.5: max_drop=100",
    )
    result = run_vtc(*models, "--vtc-output=whole")
    assert (result.ret, n_measured(result)) == (0, 4 * 3)
    document = results("whole")
    assert [cell["id"] for cell in document["cells"]] == [
        "limited/probes/stock",
        "tiny-gemma4/probes/stock",
        "tiny-gemma4/probes/downsample@0.5",
    ]
    assert [cell["id"] for cell in document["skipped"]] == ["limited/probes/downsample@0.5"]
    assert {v["cell"]: v["outcome"] for v in document["gates"]["verdicts"]} == {
        "limited/probes/downsample@0.5": "not judged",
        "tiny-gemma4/probes/downsample@0.5": "pass",
    }
    for i in (1, 2):
        run_vtc(*models, f"--vtc-shard={i}/2", f"--vtc-output=s{i}")
    assert main(["merge", "s1", "s2", "--output=merged"]) == 0
    assert comparable(results("merged")) == comparable(document)


# Shards and workers


@pytest.mark.slow
@pytest.mark.parametrize("selection", [(), ("-k", "divprune")])
def test_merged_shards_are_the_run_without_shards(
    run_vtc: RunVtc, results: Any, samples: Any, capsys: pytest.CaptureFixture[str], selection: tuple[str, ...]
) -> None:
    run = (WITH_ONE, "--vtc-n=12", *GATES, *selection)
    whole = run_vtc(*run, "--vtc-output=whole")
    for i in (1, 2):
        run_vtc(*run, f"--vtc-shard={i}/2", f"--vtc-output=s{i}")
    capsys.readouterr()
    assert main(["merge", "s1", "s2", "--output=merged"]) == whole.ret == 0
    assert comparable(results("merged")) == comparable(results("whole"))
    assert comparable(samples("merged")) == comparable(samples("whole"))
    said = [line for line in whole.outlines if line.startswith(("Not run", "NOT JUDGED", "These files hold"))]
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in said if line not in printed] == []


def test_merge_knows_a_gate_on_a_skipped_cell(run_vtc: RunVtc, results: Any) -> None:
    for i in (1, 2):
        run_vtc(WITH_ONE, "--vtc-n=12", "-k", "divprune", f"--vtc-shard={i}/2", f"--vtc-output=s{i}")
    assert main(["merge", "s1", "s2", "--output=merged", "--gate=downsample@0.5: max_drop=5"]) == 0
    assert [verdict["reason"] for verdict in results("merged")["gates"]["verdicts"]] == [f"not run: {REASON}"]


LACKING = f"""
from pytest_vtc.models.gemma4 import Gemma4Backend
Gemma4Backend.lacks = {{"encode": {REASON!r}}}
"""


@pytest.mark.slow
def test_workers_say_the_same(tmp_path: Path) -> None:
    suite = Suite(tmp_path, traced=False)
    (tmp_path / "conftest.py").write_text(LACKING)
    one = suite.run(WITH_ONE, "--vtc-n=12", "--vtc-output=one", *GATES)
    two = suite.run(WITH_ONE, "--vtc-n=12", "--vtc-output=two", "-n2", "-rs", *GATES)
    assert one.returncode == two.returncode == 0
    assert suite.comparable("two") == suite.comparable("one")
    assert f"test_accuracy.py: downsample is not run on tiny-gemma4: {REASON}" in two.stdout
    alone = suite.run(WITH_ONE, "--vtc-output=alone", "-n2", "-k", "downsample")
    assert alone.returncode == 0
    assert [cell["id"] for cell in suite.results("alone")["skipped"]] == [NOT_RUN]
    assert f"Not run: downsample@0.5: {REASON}" in alone.stdout
