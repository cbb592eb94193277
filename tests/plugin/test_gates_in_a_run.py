"""Gates as tests of their own: counted, named, and able to fail the run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from pytest_vtc.report.json_report import SCHEMA
from tests.plugin.conftest import RunVtc, n_measured
from tests.plugin.sessions import Suite

USELESS = """
import torch
from pytest_vtc.compression import Compressor

class Useless(Compressor):
    name = "useless"
    description = "tokens that show nothing"
    def compress(self, features, n_target, **ctx):
        return torch.zeros_like(features[:n_target])
"""

GATES = """# what the run must keep to
useless@0.5: max_drop=2.5   # it cannot
divprune@0.5: max_drop=60

divprune@0.5: max_drop=2.5
*@0.5: max_kv_bytes=1MB
"""

NAMES = [
    "useless@0.5 max_drop=2.5",
    "divprune@0.5 max_drop=60",
    "divprune@0.5 max_drop=2.5",
    "divprune@0.5 max_kv_bytes=1000000",
    "useless@0.5 max_kv_bytes=1000000",
]
OUTCOMES = ["fail", "pass", "inconclusive", "pass", "pass"]
RUN = ("--vtc-compressors=divprune,./useless.py", "--vtc-n=24", "--vtc-gate=@gates.txt")


@dataclass(frozen=True)
class Recorded:
    """What a run with gates of every outcome has shown and left behind."""

    result: pytest.RunResult
    document: dict[str, Any]
    junit: ElementTree.Element
    output: Path

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        return self.document["gates"]["verdicts"]


@pytest.fixture(scope="module")
def kept() -> list[Recorded]:
    return []


def write_files(folder: Path) -> None:
    (folder / "useless.py").write_text(USELESS)
    (folder / "gates.txt").write_text(GATES)


@pytest.fixture
def recorded(kept: list[Recorded], run_vtc: RunVtc, pytester: pytest.Pytester, results: Any) -> Recorded:
    """Made by the first test that asks for it."""
    if not kept:
        write_files(pytester.path)
        result = run_vtc(*RUN, "-rfs", "--junitxml=junit.xml")
        junit = ElementTree.parse(pytester.path / "junit.xml").getroot()
        kept.append(Recorded(result, results(), junit, pytester.path / "vtc-results"))
    return kept[0]


@pytest.fixture
def again(recorded: Recorded, run_vtc: RunVtc, pytester: pytest.Pytester) -> Any:
    """The same run from the store, with other options."""

    def run(*args: str) -> pytest.RunResult:
        write_files(pytester.path)
        return run_vtc(*RUN, f"--vtc-output={recorded.output}", *args)

    return run


# Outcomes


def test_a_broken_compressor_fails_its_gate_and_the_run(recorded: Recorded) -> None:
    assert recorded.result.ret == 1
    counts = recorded.result.parseoutcomes()
    assert (counts["failed"], counts["passed"], counts["skipped"]) == (1, 3, 1)
    assert [(v["name"], v["outcome"]) for v in recorded.verdicts] == list(zip(NAMES, OUTCOMES, strict=True))


def test_a_run_too_small_is_inconclusive_and_says_the_number_needed(recorded: Recorded) -> None:
    verdict = recorded.verdicts[2]
    assert verdict["low"] < 2.5 < verdict["high"]
    assert verdict["n_needed"] > verdict["n"] == 24
    recorded.result.stdout.re_match_lines(
        [r"INCONCLUSIVE  divprune@0\.5 max_drop=2\.5: .* on 24", r" .* samples \([\d,]+ more\) would"]
    )


def test_verdicts_in_the_file_have_their_figures_and_follow_the_schema(recorded: Recorded) -> None:
    jsonschema.validate(recorded.document, json.loads(SCHEMA.read_text()))
    failed = recorded.verdicts[0]
    delta = recorded.document["cells"][2]["versus_stock"]["difference_pp"]
    assert (failed["condition"], failed["limit"], failed["rule"], failed["n"]) == ("max_drop", 2.5, "interval", 24)
    assert (failed["estimate"], failed["low"], failed["high"]) == (-delta["estimate"], -delta["high"], -delta["low"])
    kv = recorded.verdicts[3]
    assert (kv["estimate"], kv["low"]) == (recorded.document["budget"][1]["kv_bytes"], None)


# Reports


def test_junit_names_every_gate_with_its_outcome_and_reason(recorded: Recorded) -> None:
    cases = {c.get("name"): c for c in recorded.junit.iter("testcase") if str(c.get("name")).startswith("gate[")}
    assert list(cases) == [f"gate[{name}]" for name in NAMES]
    assert [[child.tag for child in case] for case in cases.values()] == [["failure"], [], ["skipped"], [], []]
    failure, skipped = cases[f"gate[{NAMES[0]}]"][0], cases[f"gate[{NAMES[2]}]"][0]
    assert failure.get("message") == recorded.verdicts[0]["reason"]
    assert skipped.get("message") == f"inconclusive: {recorded.verdicts[2]['reason']}"


def test_the_short_summary_has_a_line_of_reasons(recorded: Recorded) -> None:
    lines = recorded.result.outlines
    assert any(line.startswith(f"FAILED vtc::gate[{NAMES[0]}] - drop ") for line in lines)
    (skipped,) = [line for line in lines if line.startswith(f"SKIPPED [1] vtc::gate[{NAMES[2]}]")]
    assert skipped.endswith(f"inconclusive: {recorded.verdicts[2]['reason']}")


def test_v_shows_a_line_for_each_gate(again: Any) -> None:
    result = again("-v")
    result.stdout.fnmatch_lines([f"vtc::gate[[]{NAMES[0]}] FAILED*", f"vtc::gate[[]{NAMES[1]}] PASSED*"])


def test_q_shows_the_verdicts_all_the_same(again: Any) -> None:
    result = again("-q")
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"FAIL  {NAMES[0]}: drop *", f"PASS  {NAMES[1]}: *", f"INCONCLUSIVE  {NAMES[2]}: *"])


# Inconclusive


def test_an_inconclusive_gate_may_be_reported_as_failed(again: Any, pytester: pytest.Pytester, results: Any) -> None:
    pytester.makeini("[pytest]\nvtc_gate_inconclusive = fail\n")
    result = again()
    assert result.ret == 1
    assert result.parseoutcomes()["failed"] == 2
    line = f"FAILED vtc::gate[{NAMES[2]}] - inconclusive: "
    assert any(shown.startswith(line) for shown in result.outlines)


def test_an_inconclusive_gate_may_be_reported_as_passed_and_is_shown_as_what_it_is(
    again: Any, recorded: Recorded
) -> None:
    result = again("--vtc-gate-inconclusive=pass")
    assert result.parseoutcomes()["passed"] == 4
    result.stdout.fnmatch_lines([f"INCONCLUSIVE  {NAMES[2]}: *"])
    document = json.loads((recorded.output / "results.json").read_text())
    assert [v["outcome"] for v in document["gates"]["verdicts"]] == OUTCOMES
    assert document["gates"]["inconclusive"] == "pass"


def test_an_experiment_file_may_hold_gates_and_what_becomes_of_inconclusive_ones(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    (pytester.path / "experiment.json").write_text(
        json.dumps({"gates": ["identity@0.5: max_drop=1", "*: min_accuracy=0"], "gate_inconclusive": "pass"})
    )
    result = run_vtc("--vtc-config=experiment.json")
    assert (result.ret, result.parseoutcomes()["passed"]) == (0, 3)
    assert results()["gates"]["verdicts"][0]["outcome"] == "inconclusive"


# Where gates are written


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nvtc_gate =\n    divprune@0.5: max_drop=100\n    *@0.5: min_accuracy=0\n"),
        (
            "pyproject.toml",
            '[tool.pytest.ini_options]\nvtc_gate = ["divprune@0.5: max_drop=100", "*@0.5: min_accuracy=0"]\n',
        ),
        ("pyproject.toml", '[tool.pytest.ini_options]\nvtc_gate = ["@ci/gates.txt"]\n'),
    ],
)
def test_gates_may_stand_in_the_ini_file(
    pytester: pytest.Pytester, run_vtc: RunVtc, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    (pytester.path / name).write_text(text)
    (pytester.path / "ci").mkdir()
    (pytester.path / "ci" / "gates.txt").write_text(
        "divprune@0.5: max_drop=100, min_accuracy=0\nidentity@*: max_drop=100\n"
    )
    # A file named in the ini file lies where that says, from wherever the run is started.
    (pytester.path / "elsewhere").mkdir()
    monkeypatch.chdir(pytester.path / "elsewhere")
    assert run_vtc("..").parseoutcomes()["passed"] == 3


@pytest.mark.parametrize("words", [["--vtc-gate=@ci/gates.txt"], ["--vtc-gate", "@ci/gates.txt"]])
def test_a_file_of_gates_on_the_command_line_is_relative_to_the_working_directory(
    pytester: pytest.Pytester, run_vtc: RunVtc, words: list[str]
) -> None:
    (pytester.path / "ci").mkdir()
    (pytester.path / "ci" / "gates.txt").write_text("# two\ndivprune@0.5: max_drop=100\nidentity@*: max_drop=100\n")
    result = run_vtc(*words, "test_accuracy.py")
    assert result.parseoutcomes()["passed"] == 2
    assert n_measured(result) == 12


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("nothing@0.5: max_drop=1", "*gate 'nothing@0.5: max_drop=1' matches no cell of this run*divprune@0.5*"),
        ("divprune@0.5: max_dorp=1", "*unknown condition 'max_dorp'*"),
        ("divprune@0.5", "*gate 'divprune@0.5'*"),
        ("*: max_drop=1, category=shape", "*no sample of this run has such a category; categories are called *count/*"),
        ("@absent.txt", "*cannot read the gates in absent.txt (No such file or directory)*"),
        ("@wrong.txt", "*wrong.txt:2: gate 'divprune: max_drop=1' matches no cell of this run*"),
        ("@broken.txt", "*broken.txt:3: gate 'divprune@0.5: max_drop': *"),
    ],
)
def test_a_gate_that_can_never_be_judged_is_refused_before_the_run(
    pytester: pytest.Pytester, run_vtc: RunVtc, gate: str, message: str
) -> None:
    (pytester.path / "wrong.txt").write_text("divprune@0.5: max_drop=1\ndivprune: max_drop=1\n")
    (pytester.path / "broken.txt").write_text("\ndivprune@0.5: max_drop=1\ndivprune@0.5: max_drop\n")
    result = run_vtc(f"--vtc-gate={gate}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert not (pytester.path / "vtc-results").exists()


# Categories


def test_every_category_that_matches_is_a_gate_of_its_own(again: Any, recorded: Recorded) -> None:
    again("--vtc-gate=divprune@0.5: max_drop=5, category=count/*")
    verdicts = json.loads((recorded.output / "results.json").read_text())["gates"]["verdicts"][len(NAMES) :]
    assert len(verdicts) > 1
    assert all(v["name"] == f"divprune@0.5 category={v['category']!r} max_drop=5" for v in verdicts)
    assert {v["outcome"] for v in verdicts} == {"inconclusive"}
    assert sum(v["n"] for v in verdicts) < 24


# Not judged


def test_a_gate_on_an_incomplete_cell_is_not_judged(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(
        raising="""
        from pytest_vtc.compression import Compressor
        class Raising(Compressor):
            name = "raising"
            description = "always raises"
            def compress(self, features, n_target, **ctx):
                raise RuntimeError("never")
        """
    )
    gates = ("--vtc-gate=raising@0.5: max_drop=100", "--vtc-gate-inconclusive=fail")
    result = run_vtc("--vtc-compressors=./raising.py", *gates, "-rs")
    assert result.parseoutcomes()["skipped"] == 1
    result.stdout.fnmatch_lines(["NOT JUDGED*raising@0.5*4 of 4 cases are missing*"])
    result.stdout.fnmatch_lines(["SKIPPED*not judged: 4 of 4 cases are missing*"])


@pytest.mark.slow
def test_after_ctrl_c_nothing_is_judged(pytester: pytest.Pytester, run_vtc: RunVtc, results: Any) -> None:
    write_files(pytester.path)
    pytester.makeconftest(
        """
        def pytest_runtest_logreport(report):
            if report.when == "call" and "test_accuracy" in report.nodeid and "useless" in report.nodeid:
                raise KeyboardInterrupt
        """
    )
    result = run_vtc(*RUN, subprocess=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert results()["interrupted"]
    assert {(v["outcome"], v["reason"]) for v in results()["gates"]["verdicts"]} == {
        ("not judged", "the run was interrupted")
    }
    assert result.parseoutcomes()["skipped"] == len(NAMES)


# Workers


@pytest.mark.slow
def test_workers_give_the_same_verdicts(recorded: Recorded, tmp_path: Path) -> None:
    suite = Suite(tmp_path, traced=False)
    write_files(tmp_path)
    result = suite.run(*RUN, "-n2")
    assert result.returncode == 1
    assert suite.results()["gates"] == recorded.document["gates"]
    assert f"FAILED vtc::gate[{NAMES[0]}] - drop " in result.stdout
