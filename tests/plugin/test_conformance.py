"""`pytest --vtc-conformance`: conformance tests of a person's own file, in any folder, in place of its tests."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import takewhile

import pytest

from pytest_vtc.discovery import shipped_folder, shipped_names
from tests.plugin.conftest import RunVtc

RIGHT = """
from dataclasses import dataclass
from pytest_vtc.compression import Compressor

class First(Compressor):
    name = "first"
    description = "the first tokens"
    def compress(self, features, n_target, **ctx):
        import torch
        return torch.arange(n_target)
"""

BROKEN = """
from dataclasses import dataclass
from pytest_vtc.compression import Compressor

@dataclass(frozen=True)
class Loudest(Compressor):
    name = "loudest"
    description = "tokens of largest norm, but for the last"
    lost: int = 1
    def compress(self, features, n_target, **ctx):
        return features.double().norm(dim=1).topk(max(1, n_target - self.lost)).indices
"""


@pytest.fixture
def conformance(run_vtc: RunVtc, pytester: pytest.Pytester) -> RunVtc:
    """Runs in a folder with a right and a broken file, and a test that fails."""
    pytester.makepyfile(right=RIGHT, broken=BROKEN, test_other="def test_it(): assert 0")

    def run(*args: str, subprocess: bool = False, defaults: bool = False) -> pytest.RunResult:
        return run_vtc(*args, subprocess=subprocess, defaults=defaults)

    return run


def test_a_right_file_conforms(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./right.py")
    assert result.ret == pytest.ExitCode.OK
    # An installation may have warnings of its own.
    assert result.parseoutcomes().keys() - {"warnings"} == {"passed", "skipped"}
    result.stdout.fnmatch_lines(["conformance/first .*", "Compressor *Verdict *Time per image", "first *conforms * ms"])


def test_the_template_conforms(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", str(shipped_folder() / "_template.py"))
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["my_compressor *conforms * ms"])


def test_a_broken_file_is_told_what_is_wrong_with_what_and_what_to_do(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./broken.py")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(
        [
            "*loudest: keeps-exactly-n*",
            "it returned 31 indices, not the 32 it was asked for",
            "tried: 8 x 8 tokens of width 32 (N = 64), n_target = 32, seed 1",
            "to do: *exact = False*",
            "loudest *breaks 1 of *",
            "loudest breaks keeps-exactly-n",
            "FAILED conformance/loudest::keeps-exactly-n - it returned 31 indices*",
        ]
    )


def test_the_table_fits_into_80_columns(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "right.py,broken.py")
    lines = result.stdout.lines
    table = list(takewhile(bool, lines[next(i for i, line in enumerate(lines) if line.startswith("Compressor  ")) :]))
    assert len(table) == 4  # and not pytest's own lines below it, which are cut to the terminal except in CI
    assert max(len(line) for line in table) <= 80


def test_several_specs_with_parameters_are_tried_under_their_specs(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./broken.py:Loudest(lost=0)", "divprune_hybrid(alpha=0.3)", "-q")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["loudest(lost=0) *conforms*", "divprune_hybrid(alpha=0.3) *conforms*"])


def test_all_are_all_that_are_shipped(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance=all", "--collect-only", "-q")
    compressors = {line.split("/")[1].split("::")[0] for line in result.outlines if "::" in line}
    assert compressors >= {*shipped_names()}


def test_test_files_of_the_suite_are_not_collected(conformance: RunVtc, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\ntestpaths = .\n")
    result = conformance("--vtc-conformance", "./right.py", "--collect-only", "-q")
    assert "conformance/first::every-budget" in result.outlines
    assert not [line for line in result.outlines if "::" in line and "test_" in line]


def test_a_property_is_selected_by_its_name(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./broken.py", "./right.py", "-k", "first and zero-rows", "-v")
    result.assert_outcomes(passed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["conformance/first::zero-rows PASSED*", "first *holds 1 of *"])


def test_a_test_is_selected_by_its_id(conformance: RunVtc) -> None:
    conformance("--vtc-conformance", "./right.py", "conformance/first::runs").assert_outcomes(passed=1)


def test_an_id_that_there_is_not_is_refused(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./right.py", "conformance/first::run")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no test 'conformance/first::run'*--collect-only*"])


def test_last_failed_runs_what_was_broken(conformance: RunVtc) -> None:
    conformance("--vtc-conformance", "./broken.py")
    result = conformance("--vtc-conformance", "./broken.py", "--lf")
    result.assert_outcomes(failed=1, deselected=result.parseoutcomes()["deselected"])


def test_x_stops_at_the_first(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./broken.py", "-x")
    assert {"passed": 3, "failed": 1}.items() <= result.parseoutcomes().items()


@pytest.mark.slow
def test_workers_bring_the_same_table(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./right.py", "./broken.py", "-n", "2", subprocess=True)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["first *conforms * ms", "loudest *breaks 1 of * ms", "loudest breaks keeps-exactly-n"])


def test_junit_has_a_case_for_each_property_and_the_time(conformance: RunVtc, pytester: pytest.Pytester) -> None:
    conformance("--vtc-conformance", "./right.py", "--junitxml=junit.xml")
    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")}
    assert {case.get("classname") for case in cases.values()} == {"conformance.first"}
    seconds = {each.get("name"): each.get("value") for each in cases["time"].iter("property")}
    assert float(str(seconds["seconds_per_image"])) < 1


def test_what_cannot_be_run_on_a_made_up_image_is_skipped_with_the_reason(
    conformance: RunVtc, pytester: pytest.Pytester
) -> None:
    pytester.makepyfile(later=RIGHT.replace("    def comp", "    stage = 'llm'\n    def comp"))
    result = conformance("--vtc-conformance", "./later.py", "-rs")
    assert result.ret == pytest.ExitCode.OK
    assert result.parseoutcomes()["passed"] == 1
    result.stdout.fnmatch_lines(["first *not tried*", "not tried, as it acts at stage 'llm'*", "SKIPPED*later.py:1: *"])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--vtc-conformance", "./absent.py"], "*--vtc-conformance: no compressor file at absent.py*"),
        (["--vtc-conformance", "divprun"], "*unknown compressor 'divprun': did you mean divprune*"),
        (["--vtc-conformance", "./broken.py:Loudest(left=1)"], "*loudest has no parameter 'left'*lost*"),
        (["--vtc-conformance", "./test_other.py"], "*test_other.py defines no subclass of*Compressor*"),
        (["--vtc-conformance", "./right.py", "tests/"], "*takes compressors and no folders; leave out 'tests/'*"),
        (["test_other.py", "--vtc-conformance", "./right.py"], "*runs no test files; leave out 'test_other.py'*"),
        (["--vtc-conformance"], "*argument --vtc-conformance: expected one argument*"),
    ],
)
def test_what_cannot_be_tried_is_a_usage_error(conformance: RunVtc, args: list[str], message: str) -> None:
    result = conformance(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_workers_are_not_started_for_a_file_that_is_not_there(conformance: RunVtc) -> None:
    result = conformance("--vtc-conformance", "./absent.py", "-n", "2", subprocess=True)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*no compressor file at absent.py*"])
