"""Several seeds of what draws at random, and what stands in for what a model lacks: through a whole run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_vtc.cli import main
from pytest_vtc.discovery import ON_REQUEST
from pytest_vtc.report.json_report import SCHEMA, comparable
from tests.plugin.conftest import RunVtc, n_measured
from tests.plugin.sessions import Suite

RANDOM = "--vtc-compressors=divprune,random"
LINE = "random (3 seeds)"

WITHOUT_CLS = "what is received stands in for the class token"
LOOKS = f"""
from pytest_vtc.compression import Compressor

class {{cls}}(Compressor):
    name = "{{name}}"
    description = "most attended"
    needs = frozenset({{{{"attention"}}}})
    substitutes = {{{{"cls": "{WITHOUT_CLS}"}}}}

    def compress(self, features, n_target, *, attention, layers, **ctx):
        return attention[layers[0]].saliency.sum(0).topk(n_target).indices
"""


@pytest.fixture
def looks(pytester: pytest.Pytester) -> str:
    """Option for two compressors that do something else where there is no class token."""
    return f"--vtc-compressors=divprune,{','.join(write_looks(pytester.path))}"


def write_looks(folder: Path) -> list[str]:
    for name in ("looks", "stares"):
        (folder / f"{name}.py").write_text(LOOKS.format(name=name, cls=name.capitalize()))
    return ["./looks.py", "./stares.py"]


# Several seeds


def test_random_is_measured_with_three_seeds_and_shown_as_one_row(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc(RANDOM)
    assert n_measured(result) == 4 * 5
    assert "vtc: compressors divprune, random (3 seeds); ratios 0.5; seed 42" in result.outlines
    assert len([line for line in result.outlines if line.startswith("random")]) == 1
    document = results()
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    cells = [cell["variant"] for cell in document["cells"]]
    assert cells == ["stock", "divprune@0.5", "random@0.5", "random(seed=1)@0.5", "random(seed=2)@0.5"]
    (group,) = document["seed_groups"]
    assert group["by_seed"] == [cell["accuracy"]["estimate"] for cell in document["cells"][2:]]


def test_the_number_of_seeds_is_an_option(run_vtc: RunVtc, results: Any) -> None:
    assert n_measured(run_vtc(RANDOM, "--vtc-random-seeds=2")) == 4 * 4
    assert results()["manifest"]["settings"]["random_seeds"] == 2
    assert n_measured(run_vtc(RANDOM, "--vtc-random-seeds=1")) == 4 * 3
    assert results()["seed_groups"] == []


def test_the_number_of_seeds_may_stand_in_an_ini_or_an_experiment_file(
    pytester: pytest.Pytester, run_vtc: RunVtc
) -> None:
    pytester.makeini("[pytest]\nvtc_random_seeds = 4\n")
    assert n_measured(run_vtc(RANDOM)) == 4 * 6
    (pytester.path / "experiment.json").write_text('{"random_seeds": 2}')
    assert n_measured(run_vtc(RANDOM, "--vtc-config=experiment.json")) == 4 * 4


def test_a_number_of_seeds_below_one_is_refused(run_vtc: RunVtc) -> None:
    assert "--vtc-random-seeds: 0 is too small" in run_vtc(RANDOM, "--vtc-random-seeds=0").stderr.str()


def test_a_gate_judges_the_mean_of_all_seeds_or_the_one_that_it_names(run_vtc: RunVtc, results: Any) -> None:
    gates = ("--vtc-gate=ra*@0.5: max_drop=100", "--vtc-gate=random(seed=2)@0.5: max_drop=100")
    result = run_vtc(RANDOM, *gates)
    assert [v["name"] for v in results()["gates"]["verdicts"]] == [
        "random@0.5 max_drop=100",
        "random(seed=2)@0.5 max_drop=100",
    ]
    (group,) = results()["seed_groups"]
    mean = -group["versus_stock"]["difference_pp"]["estimate"]
    assert results()["gates"]["verdicts"][0]["estimate"] == mean
    result.stdout.fnmatch_lines(["PASS  random@0.5 max_drop=100: mean of 3 seeds:*"])


def test_selected_seeds_are_shown_for_what_they_are(run_vtc: RunVtc, results: Any) -> None:
    two = run_vtc(RANDOM, "-k", "seed")
    assert any(line.startswith("random (2 of 3") for line in two.outlines)
    assert results()["seed_groups"][0]["missing_seeds"] == [0]
    one = run_vtc(RANDOM, "-k", "random and not seed")
    assert any(line.startswith("random  ") for line in one.outlines)
    assert results()["seed_groups"] == []


# What a run takes by default


def test_a_run_that_names_no_compressor_takes_the_default_ones_and_says_what_it_leaves_out(run_vtc: RunVtc) -> None:
    result = run_vtc("--collect-only", "-q", "--vtc-n=1", "--vtc-data=probes", "--vtc-ratios=0.5", defaults=False)
    ids = "\n".join(result.outlines)
    assert "/random@0.5" in ids
    assert not any(f"/{name}@0.5" in ids for name in ON_REQUEST)
    header = run_vtc("--collect-only", "--vtc-n=1", "--vtc-data=probes", "--vtc-ratios=0.5", defaults=False)
    header.stdout.fnmatch_lines(["vtc: * more with --vtc-compressors all: divprune_hybrid*"])


def test_all_takes_every_compressor_and_goes_with_specs(run_vtc: RunVtc) -> None:
    result = run_vtc("--collect-only", "-q", "--vtc-n=1", "--vtc-compressors=all,divprune_hybrid(alpha=0.3)")
    ids = "\n".join(result.outlines)
    assert "/divprune_hybrid@0.5" in ids
    assert "/divprune_hybrid(alpha=0.3)@0.5" in ids


# Substitutes


def test_what_stands_in_is_printed_below_the_table_and_recorded(run_vtc: RunVtc, results: Any, looks: str) -> None:
    result = run_vtc(looks)
    assert result.outlines.count(f"looks, stares on tiny-gemma4: {WITHOUT_CLS}") == 1
    recorded = results()["manifest"]["models"]["tiny-gemma4"]["substitutes"]
    assert recorded == {"looks": {"cls": WITHOUT_CLS}, "stares": {"cls": WITHOUT_CLS}}


def test_what_stands_in_is_known_without_loading_the_model(run_vtc: RunVtc, results: Any, looks: str) -> None:
    run_vtc(looks)
    first = results()
    again = run_vtc(looks)
    assert results()["manifest"]["run"]["loaded"] == {}
    assert comparable(results()) == comparable(first)
    assert f"looks, stares on tiny-gemma4: {WITHOUT_CLS}" in again.outlines


def test_a_run_without_substitutes_says_nothing(run_vtc: RunVtc, results: Any) -> None:
    run_vtc()
    assert results()["manifest"]["models"]["tiny-gemma4"]["substitutes"] == {}


@pytest.mark.slow
def test_merged_shards_are_the_run_with_its_seeds_and_substitutes(
    run_vtc: RunVtc, results: Any, looks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    several = (f"{looks},random", "--vtc-n=6")
    run_vtc(*several, "--vtc-output=whole")
    for shard in ("1", "2"):
        run_vtc(*several, f"--vtc-shard={shard}/2", f"--vtc-output=s{shard}")
    capsys.readouterr()
    main(["merge", "s1", "s2", "--output=merged"])
    printed = capsys.readouterr().out
    assert comparable(results("merged")) == comparable(results("whole"))
    assert f"looks, stares on tiny-gemma4: {WITHOUT_CLS}" in printed
    assert LINE in printed


def test_a_single_question_tells_what_stands_in(
    looks: str, pytester: pytest.Pytester, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["run", "--image", "scene.png", "--prompt", "what ?", "--ratio", "0.5", "--compressor", "./looks.py"]
    assert main(asked) == 0
    assert f"[looks on tiny-gemma4: {WITHOUT_CLS}]" in capsys.readouterr().err


@pytest.mark.slow
def test_two_workers_give_the_same_seeds_and_substitutes(tmp_path: Path) -> None:
    suite = Suite(tmp_path / "suite", traced=False)
    several = ("--vtc-n=12", f"--vtc-compressors=random,{','.join(write_looks(suite.folder))}")
    alone: subprocess.CompletedProcess[str] = suite.run(*several, "--vtc-output=alone")
    together = suite.run(*several, "--vtc-output=together", "-n2")
    assert (alone.returncode, together.returncode) == (0, 0), together.stdout
    assert suite.comparable("together") == suite.comparable("alone")
    assert len(suite.results("together")["seed_groups"]) == 1
    for line in (LINE, f"looks, stares on tiny-gemma4: {WITHOUT_CLS}"):
        assert line in together.stdout
