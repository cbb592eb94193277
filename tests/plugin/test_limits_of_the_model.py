"""What a model cannot take, and what it sees differently: prompts, images and sequences at its limits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image

from pytest_vtc.models.gemma4 import Gemma4Backend
from pytest_vtc.report.json_report import SCHEMA, comparable
from tests.plugin.conftest import RunVtc, n_measured

MINE = ("--vtc-data=mine.jsonl", "--vtc-n=all", "--vtc-max-new-tokens=4", "--vtc-compressors=identity")


def add_rows(manifest: Path, rows: Sequence[dict[str, str]]) -> None:
    with manifest.open("a") as file:
        file.writelines(
            json.dumps({"image": "scene.png", "answer": "3", "prompt": "what ?"} | row) + "\n" for row in rows
        )


# Prompts


def test_a_text_longer_than_the_context_refuses_the_run_before_any_case(
    pytester: pytest.Pytester, run_vtc: RunVtc, manifest: Path
) -> None:
    add_rows(manifest, [{"id": "endless", "prompt": "what is this ? " * 600}])
    result = run_vtc(*MINE)
    assert result.ret == 1
    assert n_measured(result) == 0
    assert "sample 'endless' of mine does not fit into the context of the model" in result.stdout.str()
    assert not (pytester.path / "vtc-results" / "results.json").exists()


def test_a_text_that_was_not_selected_refuses_nothing(run_vtc: RunVtc, manifest: Path) -> None:
    add_rows(manifest, [{"id": "endless", "prompt": "what is this ? " * 600}])
    result = run_vtc(*MINE, "-k", "not endless")
    assert (result.ret, n_measured(result)) == (0, 4)


def test_a_text_that_is_too_long_with_its_image_fails_its_own_case(
    run_vtc: RunVtc, manifest: Path, results: Any
) -> None:
    add_rows(manifest, [{"id": "long", "prompt": "what " * 2000}])
    result = run_vtc(*MINE)
    assert result.ret == 1
    assert (n_measured(result), result.parseoutcomes()["failed"]) == (4 + 1, 1)
    (error,) = results()["errors"]
    assert error["sample"] == "long"
    assert "prompt and answer need 2" in error["message"]
    assert "the model's context has 2048" in error["message"]
    result.stdout.fnmatch_lines(["*tiny-gemma4/mine/stock/long: *the model's context has 2048*"])


# Images


def test_an_image_of_one_pixel_is_answered(pytester: pytest.Pytester, run_vtc: RunVtc, manifest: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(pytester.path / "dot.png")
    add_rows(manifest, [{"id": "dot", "image": "dot.png"}])
    result = run_vtc(*MINE)
    assert (result.ret, n_measured(result)) == (0, 6)


def test_an_image_too_small_for_the_processor_fails_its_own_cases_and_is_named(
    pytester: pytest.Pytester, run_vtc: RunVtc, manifest: Path, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Gemma4Backend.process

    def fussy(self: Gemma4Backend, image: Image.Image, beside: bool = False) -> Any:
        if min(image.size) < 28:
            raise ValueError(f"height:{image.height} and width:{image.width} must be larger than factor:28")
        return process(self, image, beside)

    monkeypatch.setattr(Gemma4Backend, "process", fussy)
    Image.new("RGB", (3, 2), "red").save(pytester.path / "dot.png")
    add_rows(manifest, [{"id": "dot", "image": "dot.png"}])
    result = run_vtc(*MINE)
    assert result.ret == 1
    assert n_measured(result) == 4
    assert [error["sample"] for error in results()["errors"]] == ["dot", "dot"]
    result.stdout.fnmatch_lines(["*dot.png (3x2) is refused by the processor: ValueError: height:2 and width:3 must*"])


# The sliding window


@pytest.fixture
def beyond(run_vtc: RunVtc, manifest: Path) -> pytest.RunResult:
    """A run of three samples, one of which is longer than the window of 512 with all its tokens."""
    add_rows(manifest, [{"id": "long", "prompt": "what " * 460}])
    return run_vtc(*MINE)


def test_samples_beyond_the_window_are_counted_below_the_table(beyond: pytest.RunResult) -> None:
    assert beyond.ret == 0
    beyond.stdout.fnmatch_lines(["identity *", "", "1 of 3 samples is, uncompressed, longer than the model's sliding*"])


def test_files_say_which_cases_are_beyond_the_window(beyond: pytest.RunResult, results: Any, samples: Any) -> None:
    document = results()
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert [cell["n_beyond_window"] for cell in document["cells"]] == [1, 1]
    assert document["manifest"]["models"]["tiny-gemma4"]["sliding_window"] == 512
    assert [line["sample"] for line in samples() if line["beyond_window"]] == ["long", "long"]


def test_the_store_remembers_what_was_beyond_the_window(
    beyond: pytest.RunResult, run_vtc: RunVtc, results: Any, samples: Any
) -> None:
    before = comparable([results(), samples()])
    run_vtc(*MINE)
    assert all(line["run"]["cached"] for line in samples())
    assert comparable([results(), samples()]) == before


def test_a_run_within_the_window_says_nothing_of_it(run_vtc: RunVtc, manifest: Path, results: Any) -> None:
    assert "sliding" not in run_vtc(*MINE).stdout.str()
    assert [cell["n_beyond_window"] for cell in results()["cells"]] == [0, 0]
