"""Runs on random weights: they go the way of any model, and everything that they leave behind says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_vtc.cells import MEANINGLESS
from tests.plugin.conftest import RunVtc, n_measured
from tests.random_models import small_model

__all__ = ["small_model"]


@pytest.fixture
def random(small_model: str, run_vtc: RunVtc) -> RunVtc:
    """A run on the small description with the sizes of a quick one."""

    def run(*args: str, **options: Any) -> pytest.RunResult:
        return run_vtc(f"--random-weights={small_model}:2:1", "--vtc-max-new-tokens=2", *args, **options)

    return run


def test_a_run_ends_with_a_table_and_files_that_say_so(
    random: RunVtc, results: Any, samples: Any, pytester: pytest.Pytester
) -> None:
    result = random("--junitxml=junit.xml")
    assert n_measured(result) == 12
    result.stdout.fnmatch_lines(
        [
            "vtc: random-gemma-4-small:2:1 on probes: 4 of 7,260 samples, 3 cells",
            f"vtc: {MEANINGLESS}",
            "random-gemma-4-small:2:1 on probes: 4 of 7,260 samples*",
            MEANINGLESS,
            "divprune*",
        ]
    )
    model = results()["manifest"]["models"]["random-gemma-4-small:2:1"]
    assert model["random_weights"] is True
    assert model["source"] == "google/gemma-4-small"
    assert model["revision"].startswith("random-")
    assert {line["cell"].split("/")[0] for line in samples()} == {"random-gemma-4-small:2:1"}
    assert "random-gemma-4-small:2:1/probes/stock" in (pytester.path / "junit.xml").read_text()


def test_keeping_all_tokens_is_the_stock_model(random: RunVtc, results: Any) -> None:
    random()
    parity = results()["manifest"]["run"]["loaded"]["random-gemma-4-small:2:1"]["parity"]
    assert parity["max_logit_difference"] == 0
    assert parity["same_tokens"]


def test_the_same_command_is_answered_by_the_store_and_other_layers_are_not(
    random: RunVtc, run_vtc: RunVtc, small_model: str, results: Any
) -> None:
    random()
    random()
    assert results()["manifest"]["run"]["loaded"] == {}
    run_vtc(f"--random-weights={small_model}:1:1", "--vtc-max-new-tokens=2")
    assert list(results()["manifest"]["run"]["loaded"]) == ["random-gemma-4-small:1:1"]


def test_its_data_are_the_embedded_ones(random: RunVtc) -> None:
    result = random("--vtc-n=1", "--vtc-compressors=identity", "--vtc-ratios=0.5", defaults=False)
    result.stdout.fnmatch_lines(["*on probes: 1 of *", "*on easyvqa: 1 of *"])


def test_an_ordinary_model_is_not_called_random(run_vtc: RunVtc, results: Any) -> None:
    result = run_vtc("--vtc-n=1", "--vtc-compressors=identity")
    assert results()["manifest"]["models"]["tiny-gemma4"]["random_weights"] is False
    assert MEANINGLESS not in result.stdout.str()


def test_a_default_model_of_the_ini_file_gives_way(random: RunVtc, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nvtc_model = tiny-gemma4\n")
    result = random("--vtc-n=1", "--vtc-compressors=identity")
    result.stdout.fnmatch_lines(["vtc: random-gemma-4-small:2:1 on probes*"])


@pytest.mark.slow
def test_the_smallest_real_configuration_runs_from_end_to_end(run_vtc: RunVtc, results: Any, tmp_path: Path) -> None:
    name = "SmolVLM2-256M-Video-Instruct:1:1"
    result = run_vtc(f"--random-weights={name}", "--vtc-n=1", "--vtc-max-new-tokens=2", "--vtc-compressors=fps")
    assert n_measured(result) == 2
    assert list(results()["manifest"]["models"]) == [f"random-{name}"]
