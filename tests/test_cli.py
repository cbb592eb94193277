"""`python -m pytest_vtc`, and the pipeline behind its `run`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pytest_vtc import Pipeline
from pytest_vtc.cli import main
from pytest_vtc.datasets.probe_scenes import make_scene
from pytest_vtc.engine import CaseFailed
from tests.random_models import small_model

__all__ = ["small_model"]


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    Image.fromarray(make_scene("test", 3).render()).save(path)
    return path


def test_list_shows_models_datasets_and_compressors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in ("tiny-gemma4", "gemma-4-E4B-it", "15.9", "easyvqa", "mmmu_pro", "divprune", "arXiv 2503.02175"):
        assert name in shown


def test_list_shows_models_by_family_with_what_each_cannot_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.split("\nDatasets\n")[0].splitlines()
    assert max(len(line) for line in lines) <= 100
    heading = lines.index("Gemma 3n (gemma3n); cannot: attention, keys, encode")
    assert lines[heading + 1].split()[0] == "gemma-3n-E2B-it"
    assert lines[heading + 1].endswith("Gemma, gated")
    assert "Qwen3-VL (qwen3_vl)" in lines
    assert any("(gemma3n): the vision encoder is a convolutional network" in line for line in lines)


def test_run_says_what_it_loads_before_it_answers(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--image", str(scene), "--prompt", "what ?", "--attention", "eager"]) == 0
    assert capsys.readouterr().err.startswith("loading tiny-gemma4: 4.5 MB of weights (float32), ")


def test_run_answers_a_question_about_an_image(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = str(len(make_scene("test", 3).digits))
    arguments = ["run", "--image", str(scene), "--prompt", "how many digits are there ?"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == count
    assert "[64 -> 64 vision tokens" in shown.err


def test_run_takes_random_weights_and_says_what_answers_mean(
    scene: Path, small_model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "--image", str(scene), "--prompt", "what ?", "--random-weights", f"{small_model}:2:1"]
    assert main([*arguments, "--max-new-tokens", "2"]) == 0
    shown = capsys.readouterr().err
    assert "[64 -> 64 vision tokens" in shown
    assert f"[random-{small_model}:2:1: random weights: answers mean nothing" in shown


def test_run_takes_a_model_or_random_weights(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(
            ["run", "--image", "x", "--prompt", "x", "--model", "gemma-4-E2B-it", "--random-weights", "gemma-4-E4B-it"]
        )
    assert "not allowed with argument --model" in capsys.readouterr().err


def test_run_compresses(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "--image", str(scene), "--prompt", "what ?", "--compressor", "divprune", "--ratio", "0.25"]
    assert main(arguments) == 0
    assert re.search(
        r"\[64 -> 16 vision tokens, [\d,]{5,} bytes of keys and values for the prompt, ", capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--image", "gone.png", "--prompt", "x"], "gone.png"),
        (["run", "--image", "x", "--prompt", "x", "--model", "nope"], "unknown model 'nope'"),
        (["run", "--image", "x", "--prompt", "x", "--random-weights", "nope"], "no configuration for 'nope'"),
        (["run", "--image", "x", "--prompt", "x", "--ratio", "2"], "outside (0, 1]"),
        (["run", "--image", "x", "--prompt", "x", "--ratio", "0.5"], "a compressor which"),
        (["fetch", "mmu_pro"], "unknown dataset 'mmu_pro': did you mean mmmu_pro"),
        (["fetch", "gqa", "--columns", "image=a"], "--columns is for tables such as hf:owner/name; gqa knows its own"),
        (["fetch", "hf:mine"], "names no table: write hf:owner/name"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr().err.splitlines()
    assert message in shown[-1]
    assert shown[-1].startswith("error: ")


def test_fetching_what_is_built_in_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "probes"]) == 0
    assert "built in" in capsys.readouterr().out


@pytest.fixture
def published_gqa(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GQA as its authors publish it, in small; what is fetched lies in a folder of the test's."""
    monkeypatch.setenv("VTC_HOME", str(tmp_path / "home"))
    (tmp_path / "gqa" / "images").mkdir(parents=True)
    questions = {str(n): {"imageId": f"n{n // 2}", "question": "?", "answer": "yes"} for n in range(20)}
    (tmp_path / "gqa" / "val_balanced_questions.json").write_text(json.dumps(questions))
    for n in range(10):
        Image.new("RGB", (4, 4)).save(tmp_path / "gqa" / "images" / f"n{n}.jpg")
    return tmp_path / "gqa"


def test_a_part_is_fetched_and_listed(published_gqa: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch", "gqa", "--source", str(published_gqa), "--n", "6", "--seed", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "of which 6 samples are drawn by seed 3; licence: CC BY 4.0" in lines[0]
    assert lines[-1].startswith("ready: ")
    assert main(["list"]) == 0
    assert "fetched, 6 of 20 samples, 0 MB" in capsys.readouterr().out


def test_no_samples_are_no_part(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "gqa", "--n", "0"])
    assert "0 is less than 1" in capsys.readouterr().err


def test_what_is_no_number_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fetch", "gqa", "--n", "abc"])
    assert "argument --n: 'abc' is no whole number" in capsys.readouterr().err


def test_the_pipeline_takes_images_in_memory_and_compressors_as_objects() -> None:
    from pytest_vtc.compressors.divprune import DivPrune

    pipeline = Pipeline("tiny-gemma4")
    image = Image.fromarray(make_scene("test", 3).render())
    stock = pipeline(image, "how many digits are there ?")
    half = pipeline(image, "how many digits are there ?", compressor=DivPrune(), ratio=0.5)
    assert (stock.n_kept, half.n_kept) == (64, 32)
    assert stock.kv_bytes - half.kv_bytes == 32 * pipeline.backend.kv_bytes(1)
    assert stock.answer == str(len(make_scene("test", 3).digits))


def test_the_pipeline_raises_what_went_wrong() -> None:
    with pytest.raises(CaseFailed, match=r"gone\.png"):
        Pipeline("tiny-gemma4")("gone.png", "what ?")


def test_a_list_that_is_read_in_part_ends_without_a_traceback() -> None:
    command = [sys.executable, "-m", "pytest_vtc", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listing:
        assert listing.stdout is not None
        assert listing.stderr is not None
        listing.stdout.close()  # as `| head` does
        errors = listing.stderr.read()
    assert (listing.returncode, errors) == (0, b"")
