"""Bad input: a clear error that says what, where and what to do; finished work is not lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.models.broken import WEIGHTS, copy_tiny, edit_json
from tests.plugin.conftest import RunVtc, n_measured

USAGE = pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--vtc-model=gemma-4-E4B"], "*unknown model 'gemma-4-E4B': did you mean gemma-4-E4B-it*"),
        (["--vtc-model=gemma-4-E12B-it"], "*no model 'gemma-4-E12B-it'*the nearest is gemma-4-12B-it"),
        (["--vtc-model=Mini-Gemini"], "*no model 'Mini-Gemini'*no transformers port*"),
        (["--vtc-attention=flash"], "*--vtc-attention: invalid choice: 'flash'*"),
        (["--vtc-model=./nowhere"], "*no checkpoint folder at nowhere*"),
        (["--random-weights=gemma-4-E4B"], "*no configuration for 'gemma-4-E4B': did you mean gemma-4-E4B-it*"),
        (["--random-weights=gemma-4-E4B-it:0"], "*write NAME, NAME:LAYERS*"),
        (["--vtc-random-weights=gemma-4-E4B-it:43"], "*has 42 text layers; give 1 to 42*"),
        (["--random-weights=gemma-4-E4B-it", "--vtc-model=tiny-gemma4"], "*exclude each other; give one of them*"),
        (["--random-weights=gemma-4-E4B-it:1", "--vtc-quantization=8bit"], "*random weights cannot be quantised*"),
        (["--vtc-data=probess"], "*unknown dataset 'probess'*probes*"),
        (["--vtc-data=absent.jsonl"], "*absent.jsonl*"),
        (["--vtc-compressors=divprun"], "*unknown compressor 'divprun': did you mean divprune*"),
        (["--vtc-compressors=divprune_hybrid(alfa=1)"], "*divprune_hybrid has no parameter 'alfa'*alpha*"),
        (["--vtc-compressors=divprune_hybrid(alpha=7)"], "*divprune_hybrid(alpha=7)*alpha*"),
        (["--vtc-compressors=./absent.py"], "*no compressor file at absent.py*"),
        (["--vtc-ratios=0"], "*--vtc-ratios: 0 is outside (0, 1]*"),
        (["--vtc-ratios=1.5"], "*--vtc-ratios: 1.5 is outside (0, 1]*"),
        (["--vtc-ratios=half"], "*--vtc-ratios: 'half' is not a number*"),
        (["--vtc-n=0"], "*--vtc-n: 0 is too small*"),
        (["--vtc-n=100000"], "*asked for 100,000 samples, but it has 7,260*"),
        (["--vtc-n=few"], "*--vtc-n: 'few' is not a whole number*"),
        (["--vtc-batch-size=0"], "*--vtc-batch-size: 0 is too small*"),
        (["--vtc-config=absent.json"], "*--vtc-config: no file absent.json*"),
        (["--vtc-data=mmmu_pro"], "*mmmu_pro*python -m pytest_vtc fetch mmmu_pro*"),
    ],
)
def test_what_cannot_be_had_is_refused_before_any_case_runs(
    run_vtc: RunVtc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, args: list[str], message: str
) -> None:
    monkeypatch.setenv("VTC_HOME", str(tmp_path / "home"))
    result = run_vtc(*args)
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()


def test_a_model_that_is_not_downloaded_is_refused_before_any_case_runs(
    run_vtc: RunVtc, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run_vtc("--vtc-model=gemma-4-E4B-it")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(
        ["*cannot load gemma-4-E4B-it: google/gemma-4-E4B-it (config.json) is not in the Hub's*"]
    )


def test_an_unsupported_kind_of_model_is_refused(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    folder = pytester.mkdir("other")
    (folder / "config.json").write_text(json.dumps({"model_type": "paligemma"}))
    result = run_vtc("--vtc-model=./other")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*is a 'paligemma' model, of which there is no family here; supported: *gemma4*"])


def test_weights_that_cannot_be_read_are_refused_before_any_case_runs(
    pytester: pytest.Pytester, run_vtc: RunVtc
) -> None:
    weights = copy_tiny(pytester.path / "broken") / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    result = run_vtc("--vtc-model=./broken")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*cannot load broken: broken/model.safetensors is damaged*"])


def test_weights_of_another_model_end_the_run_with_one_message(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    folder = copy_tiny(pytester.path / "broken")
    config = json.loads((folder / "config.json").read_text())
    edit_json(folder / "config.json", text_config=config["text_config"] | {"intermediate_size": 320})
    result = run_vtc("--vtc-model=./broken")
    assert result.ret == 1
    assert result.stdout.str().count("cannot load broken: its weights do not fit its config.json") == 1
    assert result.parseoutcomes().get("failed", 0) == 0


def test_a_ratio_that_leaves_no_token_keeps_one(run_vtc: RunVtc, results: Any) -> None:
    assert run_vtc("--vtc-ratios=0.001").ret == 0
    assert results()["budget"][1]["tokens_kept"] == 1


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (['{"id": "a", "image": "scene.png"'], "*mine.jsonl:1:*"),
        (['{"id": "a", "image": "scene.png", "answer": "x"}'], "*mine.jsonl:1:*prompt*"),
        (['{"id": "a", "image": "gone.png", "prompt": "p", "answer": "x"}'], "*mine.jsonl:1:*gone.png*"),
        (['{"id": "a", "image": "scene.png", "prompt": "p", "answer": "x"}'] * 2, "*mine.jsonl:2:*'a'*"),
        ([], "*mine.jsonl*"),
    ],
)
def test_a_bad_manifest_is_refused_with_file_and_line(
    run_vtc: RunVtc, manifest: Path, rows: list[str], message: str
) -> None:
    manifest.write_text("\n".join(rows))
    result = run_vtc("--vtc-data=mine.jsonl", "--vtc-n=all")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([message])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b""), "*scene2.png*"),
        (lambda path: path.write_bytes(b"no image"), "*scene2.png*"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "*scene2.png*"),
    ],
)
def test_an_unreadable_image_fails_its_own_cases_only(
    pytester: pytest.Pytester, run_vtc: RunVtc, manifest: Path, results: Any, damage: Any, message: str
) -> None:
    second = pytester.path / "scene2.png"
    second.write_bytes((pytester.path / "scene.png").read_bytes())
    with manifest.open("a") as file:
        file.write(json.dumps({"id": "c", "image": "scene2.png", "prompt": "what ?", "answer": "1"}) + "\n")
    damage(second)
    result = run_vtc("--vtc-data=mine.jsonl", "--vtc-n=all")
    assert result.ret == 1
    assert result.parseoutcomes()["failed"] == 3
    result.stdout.fnmatch_lines([message])
    assert [cell["n_measured"] for cell in results()["cells"]] == [2, 2, 2]
    assert [cell["n_missing"] for cell in results()["cells"]] == [1, 1, 1]


def test_images_of_every_mode_are_answered(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    modes = {"rgba.png": "RGBA", "cmyk.jpg": "CMYK", "deep.png": "I;16", "palette.gif": "P", "gray.png": "L"}
    rows = []
    for name, mode in modes.items():
        Image.new(mode, (50, 40)).save(pytester.path / name)
        rows.append(json.dumps({"id": name, "image": name, "prompt": "what ?", "answer": "1"}))
    (pytester.path / "modes.jsonl").write_text("\n".join(rows))
    result = run_vtc("--vtc-data=modes.jsonl", "--vtc-n=all")
    assert result.ret == 0
    assert n_measured(result) == 15


COMPRESSOR = """
import torch
from pytest_vtc.compression import Compressor

class Mine(Compressor):
    name = "mine"
    description = "breaks its contract"
    def compress(self, features, n_target, **ctx):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise KeyError('x')", "*compressor mine raised KeyError*"),
        ("return torch.arange(n_target + 1)", "*compressor mine returned 33 tokens; asked for exactly 32 of 64*"),
        ("return features[:n_target, :5]", "*compressor mine returned rows of shape*"),
        ("return features[:n_target] * float('nan')", "*compressor mine returned rows with NaN*"),
        ("return torch.arange(n_target) + 40", "*compressor mine returned index 71, out of range*"),
        ("return torch.zeros(n_target, dtype=torch.long)", "*compressor mine returned index 0 more than once*"),
        ("return None", "*compressor mine returned NoneType*"),
    ],
)
def test_a_compressor_that_breaks_its_contract_fails_its_cases_only(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any, body: str, message: str
) -> None:
    pytester.makepyfile(mine=COMPRESSOR.format(body=body))
    result = run_vtc("--vtc-compressors=identity,./mine.py", "--vtc-n=1")
    assert result.ret == 1
    result.stdout.fnmatch_lines([message])
    assert {c["variant"]: c["n_measured"] for c in results()["cells"]} == {"stock": 1, "identity@0.5": 1, "mine@0.5": 0}


def test_an_exception_in_a_compressor_names_its_file_and_line(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(mine=COMPRESSOR.format(body="raise KeyError('x')"))
    run_vtc("--vtc-compressors=./mine.py", "--vtc-n=1").stdout.fnmatch_lines(["*mine.py:8*"])


def test_a_compressor_file_with_a_syntax_error_is_refused_with_its_line(
    pytester: pytest.Pytester, run_vtc: RunVtc
) -> None:
    (pytester.path / "mine.py").write_text("import torch\n\nclass Broken(:\n")
    result = run_vtc("--vtc-compressors=./mine.py")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*mine.py:3: SyntaxError*"])


def test_two_compressors_of_one_name_are_refused_with_both_files(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    pytester.makepyfile(mine=COMPRESSOR.format(body="return torch.arange(n_target)").replace('"mine"', '"fps"'))
    result = run_vtc("--vtc-compressors=fps,./mine.py")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*two compressors are called 'fps'*fps.py*mine.py*"])


def test_a_folder_of_images_is_described_and_not_scored(
    pytester: pytest.Pytester, run_vtc: RunVtc, results: Any
) -> None:
    folder = pytester.mkdir("photos")
    Image.new("RGB", (60, 60), "red").save(folder / "a.png")
    result = run_vtc("--vtc-data=photos", "--vtc-n=all", "--vtc-max-new-tokens=4")
    assert result.ret == 0
    assert result.parseoutcomes()["answered"] == 3
    assert results()["cells"][0]["accuracy"] is None
