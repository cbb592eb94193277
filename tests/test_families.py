"""What a family of models cannot give a compressor, and how it is asked before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from pytest_vtc import Pipeline
from pytest_vtc.cli import main
from pytest_vtc.compression import CompressionError, Compressor
from pytest_vtc.discovery import resolve
from pytest_vtc.image_compression import unsupported
from pytest_vtc.models.catalogue import ModelError, locate
from pytest_vtc.models.families import family_of
from pytest_vtc.models.gemma4 import Gemma4Backend


class Limited(Gemma4Backend):
    lacks: ClassVar[dict[str, str]] = {
        "attention": "it has no vision encoder",
        "keys": "it has no vision encoder",
        "encode": "it takes one image size",
    }


def needing(*names: str) -> Compressor:
    class Needy(Compressor):
        name = "needy"
        description = "needs what a test says"
        needs = frozenset(names)

        def compress(self, _features: Tensor, n_target: int, **_ctx: Any) -> Tensor:
            return torch.arange(n_target)

    return Needy()


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        ((), None),
        (("text", "hidden"), None),
        (("encode",), "it takes one image size"),
        (("keys", "attention"), "it has no vision encoder"),
        (("keys", "text", "encode"), "it takes one image size; it has no vision encoder"),
    ],
)
def test_a_compressor_is_unsupported_for_each_reason_once(needs: tuple[str, ...], reason: str | None) -> None:
    assert unsupported(needing(*needs), Limited.lacked_by_all()) == reason


def test_gemma_4_gives_the_shipped_compressors_what_they_need() -> None:
    shipped = resolve(["downsample", "divprune"])
    assert [unsupported(compressor, Gemma4Backend.lacked_by_all()) for compressor in shipped] == [None, None]


def test_the_family_of_a_model_that_is_not_downloaded_is_known_by_the_catalogue() -> None:
    assert family_of(locate("gemma-4-31B-it")) is Gemma4Backend


def test_the_family_of_a_folder_is_that_of_its_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gemma4", "vision_config": {}}')
    assert family_of(locate(str(tmp_path))) is Gemma4Backend


def test_a_family_that_is_not_supported_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="'bert'"):
        family_of(locate(str(tmp_path)))


@pytest.mark.slow
def test_collecting_cases_of_the_embedded_model_does_not_import_what_loads_models(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_accuracy(vtc_case):\n    vtc_case.measure()\n")
    (tmp_path / "conftest.py").write_text(
        "import sys\ndef pytest_collection_finish():\n"
        "    assert 'pytest_vtc.models.families' in sys.modules\n"
        "    slow = {'pytest_vtc.models.checkpoint', 'transformers.modeling_utils', 'transformers.processing_utils'}\n"
        "    assert not slow & sys.modules.keys()\n"
    )
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "--vtc-n=1", "--vtc-compressors=downsample"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pipeline_refuses_what_its_model_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = Pipeline("tiny-gemma4")
    monkeypatch.setattr(Gemma4Backend, "lacks", Limited.lacked_by_all())
    with pytest.raises(CompressionError, match="downsample cannot be run on this model: it takes one image size"):
        pipeline("scene.png", "what ?", compressor="downsample", ratio=0.5)


def test_the_command_line_refuses_it_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Gemma4Backend, "lacks", Limited.lacked_by_all())
    arguments = ["run", "--model", "gemma-4-31B-it", "--image", "x.png", "--prompt", "what ?"]
    assert main([*arguments, "--compressor", "downsample", "--ratio", "0.5"]) == 2
    assert capsys.readouterr().err == "error: downsample cannot be run on this model: it takes one image size\n"
