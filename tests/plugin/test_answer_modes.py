"""Answers by letter probabilities in a run: a mode of its own in the store, the tables and the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import RunVtc


@pytest.fixture
def choices(manifest: Path) -> Path:
    """The manifest's questions with four options each."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    for row in rows:
        row |= {"options": ["one", "two", "three", "four"], "answer": "C"}
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def test_letters_are_answered_without_a_word_generated(
    run_vtc: RunVtc, choices: Path, results: Any, samples: Any
) -> None:
    result = run_vtc(f"--vtc-data={choices}", "--vtc-n=all", "--vtc-answers=letters")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["tiny-gemma4 on mine: *, answered by letter*"])
    assert results()["manifest"]["settings"]["answers"] == "letters"
    answered = samples()
    assert len(answered) == 6
    assert {sample["answer"] for sample in answered} <= {*"ABCD"}
    assert {sample["parsed"] for sample in answered} == {sample["answer"] for sample in answered}


def test_the_store_keeps_the_two_ways_to_answer_apart(run_vtc: RunVtc, choices: Path, samples: Any) -> None:
    run_vtc(f"--vtc-data={choices}", "--vtc-n=all")
    written = [sample["answer"] for sample in samples()]
    for expected in (False, True):
        run_vtc(f"--vtc-data={choices}", "--vtc-n=all", "--vtc-answers=letters")
        assert {sample["run"]["cached"] for sample in samples()} == {expected}
    run_vtc(f"--vtc-data={choices}", "--vtc-n=all")
    assert [sample["answer"] for sample in samples()] == written


def test_fewer_options_are_another_question(run_vtc: RunVtc, choices: Path, samples: Any) -> None:
    run_vtc(f"--vtc-data={choices}", "--vtc-n=all", "--vtc-answers=letters")
    rows = [json.loads(line) for line in choices.read_text().splitlines()]
    rows[0] |= {"options": ["one", "two"], "answer": "A"}
    choices.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_vtc(f"--vtc-data={choices}", "--vtc-n=all", "--vtc-answers=letters")
    assert {sample["sample"]: sample["run"]["cached"] for sample in samples()} == {"a": False, "b": True}


def test_letters_need_options(run_vtc: RunVtc) -> None:
    result = run_vtc("--vtc-answers=letters")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--vtc-answers letters needs multiple-choice questions; probes has none in sample*"])
