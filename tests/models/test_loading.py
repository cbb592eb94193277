"""What is said and checked on the way to a loaded model: memory, templates, code of others, attention."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from pytest_vtc.models import loading
from pytest_vtc.models.attention import attention_in_use
from pytest_vtc.models.catalogue import TINY, ModelError
from pytest_vtc.models.loading import load_backend
from pytest_vtc.models.memory import FreeMemory
from tests.models.broken import WEIGHTS, copy_tiny, edit_json

PROMPT = "{% for m in messages %}{% for c in m['content'] %}{{ c['text'] or '<|image|>' }}{% endfor %}{% endfor %}"


def test_what_is_about_to_be_loaded_is_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "free_memory", lambda _: FreeMemory(8_000_000_000, "in main memory"))
    lines: list[str] = []

    def stop(*_: object) -> None:
        raise InterruptedError

    monkeypatch.setattr(loading, "_load_weights", stop)
    with pytest.raises(InterruptedError):
        load_backend(TINY, on_progress=lines.append)
    assert lines == ["loading tiny-gemma4: 4.5 MB of weights (float32), 8.0 GB free in main memory"]


def test_half_precision_takes_half_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    load_backend(TINY, "bfloat16", on_progress=lines.append)
    assert lines[0].startswith("loading tiny-gemma4: 2.3 MB of weights (bfloat16), ")


@pytest.mark.parametrize(
    ("free", "message"),
    [
        (FreeMemory(4_000_000, "in main memory"), r"needs 4\.5 MB for .*, and 4\.0 MB are free in main memory; take a"),
        (
            FreeMemory(1_000_000, "on the GPU", 2_000_000),
            r"1\.0 MB are free on the GPU and 2\.0 MB in main memory; take",
        ),
    ],
)
def test_too_little_memory_is_said_before_it_is_loaded(
    monkeypatch: pytest.MonkeyPatch, free: FreeMemory, message: str
) -> None:
    monkeypatch.setattr(loading, "free_memory", lambda _: free)
    with pytest.raises(ModelError, match=message + ".*--vtc-dtype bfloat16, --vtc-quantization 8bit or 4bit"):
        load_backend(TINY)


def test_what_the_gpus_cannot_hold_may_go_to_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = FreeMemory(1_000_000, "on the GPU", 9_000_000)
    monkeypatch.setattr(loading, "free_memory", lambda _: free)
    lines: list[str] = []
    load_backend(TINY, on_progress=lines.append)
    assert lines[0].endswith("1.0 MB free on the GPU; the rest goes to main memory, which is slow")


def test_quantised_models_must_fit_on_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes")
    free = FreeMemory(1_000_000, "on the GPU", 9_000_000)
    monkeypatch.setattr(loading, "free_memory", lambda _: free)
    with pytest.raises(ModelError, match=r"needs 2\.\d MB for its weights alone"):
        load_backend(TINY, quantization="8bit")


def test_loading_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_backend(TINY)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_attention_that_was_asked_for_is_used(attention: Any) -> None:
    backend = load_backend(TINY, attention=attention)
    assert attention_in_use(backend.model) == {"text": attention, "vision": attention}


# Chat templates


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", PROMPT),
        ("chat_template.json", json.dumps({"chat_template": PROMPT})),
        ("processor_config.json", json.dumps({"chat_template": PROMPT, "processor_class": "Gemma4Processor"})),
        ("processor_config.json", json.dumps({"chat_template": {"default": PROMPT, "tool_use": "no"}})),
    ],
)
def test_the_template_of_the_processor_is_found_wherever_it_is(tmp_path: Path, name: str, content: str) -> None:
    folder = copy_tiny(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    (folder / name).write_text(content)
    assert load_backend(str(folder)).tokenizer.chat_template == PROMPT


def test_the_processors_template_comes_before_the_tokenizers(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    edit_json(folder / "tokenizer_config.json", chat_template="{{ messages[0]['content'] + 'text alone' }}")
    assert "text alone" in load_backend(str(folder)).tokenizer.chat_template
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": PROMPT}))
    assert load_backend(str(folder)).tokenizer.chat_template == PROMPT


def test_a_damaged_template_is_named(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path / "model")
    (folder / "chat_template.jinja").unlink()
    (folder / "chat_template.json").write_text("{")
    with pytest.raises(ModelError, match=r"chat_template\.json is damaged"):
        load_backend(str(folder))


# Code of others


@pytest.fixture
def with_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose tokenizer is a class of its own."""
    folder = copy_tiny(tmp_path / "coded")
    (folder / "mine.py").write_text(
        "from transformers import PreTrainedTokenizerFast\n\nclass Mine(PreTrainedTokenizerFast):\n    pass\n"
    )
    edit_json(folder / "tokenizer_config.json", tokenizer_class="Mine", auto_map={"AutoTokenizer": [None, "mine.Mine"]})
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    return folder


def test_code_of_a_checkpoint_is_not_run_unasked(with_code: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--vtc-trust-remote-code"):
        load_backend(str(with_code))
    assert not (tmp_path / "modules").exists()


def test_code_of_a_checkpoint_is_run_if_it_is_trusted(with_code: Path) -> None:
    assert type(load_backend(str(with_code), trust_remote_code=True).tokenizer).__name__ == "Mine"


# Checkpoints in other shapes


def test_weights_in_shards_are_loaded(tmp_path: Path, tiny: Any) -> None:
    folder = copy_tiny(tmp_path / "sharded")
    (folder / WEIGHTS).unlink()
    tiny.model.save_pretrained(folder, max_shard_size="1MB")
    assert (folder / "model.safetensors.index.json").is_file()
    loaded = load_backend(str(folder)).model.state_dict()
    assert all(torch.equal(weight, loaded[name]) for name, weight in tiny.model.state_dict().items())
