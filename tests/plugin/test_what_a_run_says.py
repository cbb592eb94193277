"""The header of a run, and the summary that it leaves for a job on GitHub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import RunVtc

EXPLAINED = "vtc: detect: find significant in 80 % of runs, if 15 % of the answers change*"


@pytest.mark.parametrize("args", [["--collect-only"], ["--collect-only", "-q"], []])
def test_the_header_says_what_drop_can_be_detected(run_vtc: RunVtc, args: list[str]) -> None:
    result = run_vtc("--vtc-n=12", *args)
    result.stdout.fnmatch_lines(
        ["vtc: tiny-gemma4 on probes: 12 of 7,260 samples, 3 cells; can detect a drop of *.? points*", EXPLAINED]
    )


def test_what_can_be_detected_is_that_of_the_selected_samples(run_vtc: RunVtc) -> None:
    listed = [line for line in run_vtc("--collect-only", "-q", "--vtc-n=12").outlines if "/identity@0.5/" in line]
    wanted = " or ".join(line.rpartition("/")[2].rstrip("]") for line in listed[:4])
    result = run_vtc("--collect-only", "-q", "--vtc-n=12", "-k", f"identity and ({wanted})")
    result.stdout.fnmatch_lines(["vtc: *12 of 7,260 samples, 3 cells; the 4 selected can detect a drop of *"])


@pytest.mark.parametrize("selection", [["-k", "stock"], ["--vtc-n=1"]])
def test_what_can_detect_nothing_says_nothing(run_vtc: RunVtc, selection: list[str]) -> None:
    run_vtc("--collect-only", "-q", *selection).stdout.no_fnmatch_line("*detect*")


def test_a_shard_says_what_all_shards_can_detect(run_vtc: RunVtc) -> None:
    def drop(*args: str) -> str:
        (line,) = [x for x in run_vtc("--collect-only", "-q", "--vtc-n=12", *args).outlines if "of 7,260" in x]
        return line.partition("can detect")[2]

    assert drop("--vtc-shard=1/2") == drop()


def test_random_weights_can_detect_nothing(run_vtc: RunVtc) -> None:
    result = run_vtc("--random-weights=SmolVLM-256M-Instruct:1:1", "--vtc-n=12", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["vtc: random-SmolVLM*12 of 7,260 samples*"])
    result.stdout.no_fnmatch_line("*detect*")


@pytest.mark.parametrize("args", [[], pytest.param(["-n2"], marks=pytest.mark.slow)])
def test_a_run_writes_one_summary_for_github(
    run_vtc: RunVtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, results: Any, args: list[str]
) -> None:
    from pytest_vtc.report.markdown import render

    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = run_vtc("--vtc-gate=divprune@0.5: max_drop=50", *args, subprocess=bool(args))
    assert result.ret == 0
    assert summary.read_text() == render(results())
    assert "### Gates" in summary.read_text()


def test_a_summary_that_cannot_be_written_is_a_warning(
    run_vtc: RunVtc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    result = run_vtc()
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"WARNING: no summary for GitHub: cannot write {tmp_path} (Is a directory)"])


@pytest.mark.parametrize("colour", ["yes", "no"])
def test_marks_are_coloured_on_request_only(run_vtc: RunVtc, colour: str) -> None:
    text = run_vtc("--vtc-n=40", "--vtc-compressors=pool", "--vtc-ratios=0.125", f"--color={colour}").stdout.str()
    (line,) = [line for line in text.splitlines() if line.startswith("pool")]
    assert ("\x1b[31m" in line) == (colour == "yes")
