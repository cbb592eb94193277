"""Gates as tests of their own: counted, named, and able to fail the run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plugin.conftest import RunVtc


def test_a_gate_that_must_fail_fails_the_run_and_is_named_in_junit(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    result = run_vtc("--vtc-ratios=0.05", "--vtc-n=24", "--vtc-gate=identity@0.05: max_drop=1", "--junitxml=junit.xml")
    assert result.ret == 1
    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["*FAIL*identity@0.05 max_drop=1:*pp below stock over 24 paired samples*"])
    assert 'name="gate[identity@0.05 max_drop=1]"' in (pytester.path / "junit.xml").read_text()
    (verdict,) = results()["gates"]["verdicts"]
    assert verdict["outcome"] == "fail"


def test_a_gate_that_must_pass_passes(run_vtc: RunVtc) -> None:
    result = run_vtc("--vtc-gate=*@0.5: max_drop=100")
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == 2
    result.stdout.fnmatch_lines(["PASS*divprune@0.5 max_drop=100*", "PASS*identity@0.5 max_drop=100*"])


def test_gates_may_stand_in_the_ini_file(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makeini("[pytest]\nvtc_gate =\n    divprune@0.5: max_drop=100\n    *@0.5: min_accuracy=0\n")
    assert run_vtc().parseoutcomes()["passed"] == 3


def test_a_gate_on_an_incomplete_cell_is_not_decided(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
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
    result = run_vtc("--vtc-compressors=./raising.py", "--vtc-gate=raising@0.5: max_drop=100")
    assert result.parseoutcomes()["skipped"] == 1
    result.stdout.fnmatch_lines(["NOT DECIDED*raising@0.5*4 of 4 cases are missing*"])


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("nothing@0.5: max_drop=1", "*matches no cell of this run*divprune@0.5*"),
        ("divprune@0.5: max_dorp=1", "*unknown condition 'max_dorp'*"),
        ("divprune@0.5", "*gate 'divprune@0.5'*"),
    ],
)
def test_a_gate_that_can_never_be_judged_is_refused_before_the_run(run_vtc: RunVtc, gate: str, message: str) -> None:
    result = run_vtc(f"--vtc-gate={gate}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
