"""Options of how a model is loaded, through a run: recorded, and part of what the store goes by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.plugin.conftest import RunVtc


def test_the_attention_kernel_is_recorded(run_vtc: RunVtc, results: Any) -> None:
    assert run_vtc("--vtc-attention=eager").ret == 0
    manifest = results()["manifest"]
    assert manifest["models"]["tiny-gemma4"]["attention"] == "eager"
    loaded = manifest["run"]["loaded"]["tiny-gemma4"]
    assert loaded["attention"] == {"text": "eager", "vision": "eager"}
    assert (loaded["dtype"], loaded["quantization"], loaded["kept"]) == ("float32", None, [])


def test_another_attention_kernel_is_measured_anew(run_vtc: RunVtc, results: Any) -> None:
    cached: list[int] = []
    for options in ([], ["--vtc-attention=eager"], []):
        run_vtc(*options)
        cached.append(sum(cell["run"]["n_cached"] for cell in results()["cells"]))
    assert cached == [0, 0, 12]


def test_a_file_of_a_project_cannot_allow_code_of_checkpoints(pytester: pytest.Pytester, run_vtc: RunVtc) -> None:
    (pytester.path / "e.json").write_text('{"trust_remote_code": true}')
    result = run_vtc("--vtc-config=e.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown key 'trust_remote_code'*"])
    pytester.makeini("[pytest]\nvtc_trust_remote_code = true\n")
    assert run_vtc("--strict-config").ret == pytest.ExitCode.USAGE_ERROR
    pytester.makeini("[pytest]\n")
    assert run_vtc("--vtc-trust-remote-code").ret == 0


def test_what_a_model_takes_in_memory_is_said_before_it_is_loaded(
    run_vtc: RunVtc, checkpoint: Callable[[str], Path]
) -> None:
    result = run_vtc(f"--vtc-model={checkpoint('llava')}", "--vtc-n=1")
    result.stdout.fnmatch_lines(["vtc: loading llava*: * of weights (float32), * GB free in main memory", "*3 wrong*"])


def test_the_embedded_model_is_loaded_without_a_word(run_vtc: RunVtc) -> None:
    run_vtc("--vtc-n=1").stdout.no_fnmatch_line("*loading*")
