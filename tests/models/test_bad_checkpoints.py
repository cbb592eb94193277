"""A checkpoint that cannot be loaded is refused in one sentence: what is wrong, what to do."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file

from pytest_vtc.models.catalogue import ModelError, locate
from pytest_vtc.models.identity import identify
from pytest_vtc.models.loading import load_backend
from tests.models.broken import WEIGHTS, copy_tiny, edit_json


def lose(*names: str) -> Callable[[Path], object]:
    return lambda folder: [(folder / name).unlink() for name in names]


def put(name: str, content: str | bytes) -> Callable[[Path], object]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(raw)


def shorten(n: int) -> Callable[[Path], object]:
    return lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:n])


def name_a_missing_shard(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    shards = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def damage_the_index(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "model.safetensors.index.json").write_text("{")


def code_of_its_own(folder: Path) -> None:
    auto_map = {"AutoTokenizer": ["code.Mine", None]}
    edit_json(folder / "tokenizer_config.json", tokenizer_class="Mine", auto_map=auto_map)


def is_a(model_type: str) -> Callable[[Path], object]:
    return lambda folder: edit_json(folder / "config.json", model_type=model_type)


def in_text(**values: object) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        edit_json(folder / "config.json", text_config=config["text_config"] | values)

    return edit


SEEN_AT_ONCE: dict[str, tuple[Callable[[Path], object], str]] = {
    "no tokenizer": (lose("tokenizer.json"), r"has no tokenizer \(tokenizer\.json or .*copy it from"),
    "no image processor": (lose("preprocessor_config.json"), "has no image processor .*copy it from"),
    "no weights": (lose(WEIGHTS), r"has no weights \(model\.safetensors\)"),
    "weights cut off": (shorten(1_000_000), r"model\.safetensors is damaged or was not downloaded to its end"),
    "weights cut off in the header": (shorten(1000), "is damaged or was not downloaded to its end"),
    "empty weights": (put(WEIGHTS, b""), "is damaged or was not downloaded to its end"),
    "a pointer of Git LFS": (put(WEIGHTS, "version https://git-lfs.github.com/spec/v1\n"), "run `git lfs pull`"),
    "a shard missing": (name_a_missing_shard, r"model-00002-of-00002\.safetensors is missing; its index names it"),
    "a damaged index": (damage_the_index, r"index\.json is damaged; download it again"),
    "no JSON in config.json": (put("config.json", "nothing"), "config.json .* is not a valid JSON file.*get it again"),
    "no object in config.json": (put("config.json", "[]"), "no config.json that names a model_type"),
    "no model_type": (put("config.json", "{}"), "no config.json that names a model_type"),
    "a language model": (is_a("llama"), "is a 'llama' model, which is not a vision-language model"),
    "the text part of one": (is_a("gemma3_text"), "is a 'gemma3_text' model, which is not a vision-language model"),
    "an image encoder": (is_a("clip"), "is a 'clip' model, which is not a vision-language model"),
    "no vision part": (
        lambda folder: edit_json(folder / "config.json", vision_config=None),
        "without a vision part, not a vision-language model",
    ),
    "layers with states of another kind": (
        in_text(layer_types=["linear_attention"] * 3 + ["full_attention"], num_kv_shared_layers=0),
        r"cannot be run: its language model keeps states other than keys and values of tokens \(LinearAttentionLayer\)",
    ),
    "another family": (
        is_a("paligemma"),
        r"is a 'paligemma' model, of which there is no family here; supported: gemma3, .*docs/adding-a-family\.md",
    ),
    "an unknown family": (is_a("brand_new"), r"'brand_new' model, which transformers [\d.]+ does not know; supported:"),
    "an older format": (is_a("internvl_chat"), "the ids of its port end in -hf, such as OpenGVLab/InternVL3-8B-hf"),
}


@pytest.mark.parametrize("case", SEEN_AT_ONCE)
def test_what_files_show_is_refused_before_anything_is_collected(tmp_path: Path, case: str) -> None:
    damage, message = SEEN_AT_ONCE[case]
    folder = copy_tiny(tmp_path / "broken")
    damage(folder)
    with pytest.raises(ModelError, match=message) as refused:
        identify(locate(str(folder)), "auto", None)
    assert len(str(refused.value).splitlines()) == 1


def lose_a_tensor(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    weights.pop("model.vision_tower.patch_embedder.input_proj.weight")
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def be_of_another_class(folder: Path) -> None:
    weights = {"text_model.layers.0.mlp.weight": torch.zeros(3)}
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


SEEN_WHEN_LOADED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a damaged tokenizer": (put("tokenizer.json", "nothing"), "the tokenizer of .* cannot be used .*get it again"),
    "an empty tokenizer": (put("tokenizer.json", "{}"), "the tokenizer of .* cannot be used .*get it again"),
    "a damaged image processor": (
        put("preprocessor_config.json", "nothing"),
        "the image processor of .* cannot be used .*get it again",
    ),
    "an unknown image processor": (
        lambda folder: edit_json(folder / "preprocessor_config.json", image_processor_type="Mine"),
        "the image processor of .* cannot be used .*get it again",
    ),
    "code of its own": (code_of_its_own, r"\(tokenizer\) needs Python code .* read it .* add --vtc-trust-remote-code"),
    "no chat template": (lose("chat_template.jinja"), r"has no chat template .*take the instruction-tuned checkpoint"),
    "weights of other sizes": (
        in_text(intermediate_size=320),
        r"do not fit its config\.json: model\.language_model\.\S+ is \(128, 256\) in the file and \(128, 320\) in a "
        r"Gemma4ForConditionalGeneration so configured \(and 11 more\)",
    ),
    "one tensor missing": (
        lose_a_tensor,
        r"1 of the tensors of a Gemma4ForConditionalGeneration, .* such as model\.vision_tower\.patch_embedder\.",
    ),
    "weights of another class": (be_of_another_class, "the checkpoint is incomplete or of another class"),
}


@pytest.mark.parametrize("case", SEEN_WHEN_LOADED)
def test_what_shows_on_loading_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str) -> None:
    damage, message = SEEN_WHEN_LOADED[case]
    folder = copy_tiny(tmp_path / "broken")
    damage(folder)
    with pytest.raises(ModelError, match=message) as refused:
        load_backend(str(folder))
    assert len(str(refused.value).splitlines()) == 1
    assert "LOAD REPORT" not in caplog.text


def test_an_index_left_over_from_another_format_is_not_looked_at(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path / "both")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": {"a": "pytorch_model-1.bin"}}))
    load_backend(str(folder))


def test_tied_weights_are_not_missing(tmp_path: Path) -> None:
    folder = copy_tiny(tmp_path / "whole")
    assert "lm_head.weight" not in load_file(folder / WEIGHTS)
    backend = load_backend(str(folder))
    assert backend.model.lm_head.weight is backend.model.get_input_embeddings().weight


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str, int], None]]:
    """A Hub that answers everything with the error it is told to: `hub(error code, HTTP status)`."""
    answer = ("", 500)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, status = answer
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", "as the test wants it")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815  as http.server calls it

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  as http.server calls it
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    def answers(code: str, status: int) -> None:
        nonlocal answer
        answer = (code, status)

    yield answers
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("RepoNotFound", 404, r"the Hub has no google/gemma-3-4b-it \(if it is private, log in with `hf auth login`\)"),
        ("RepoNotFound", 401, "the Hub has no google/gemma-3-4b-it"),
        ("GatedRepo", 401, r"is gated: accept its terms at https://huggingface\.co/google/gemma-3-4b-it, then log in"),
        ("GatedRepo", 403, "is gated: accept its terms at"),
        ("EntryNotFound", 404, "is no checkpoint of transformers: it has no config.json"),
        ("", 403, "the Hub refuses google/gemma-3-4b-it"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(
    hub: Callable[[str, int], None], code: str, status: int, message: str
) -> None:
    hub(code, status)
    with pytest.raises(ModelError, match=message) as refused:
        identify(locate("google/gemma-3-4b-it"), "auto", None)
    assert len(str(refused.value).splitlines()) == 1


def test_without_a_connection_a_checkpoint_must_be_in_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelError, match=r"is not in the Hub's cache .*HF_HUB_OFFLINE forbids .*give its folder as --vtc-m"
    ):
        identify(locate("google/gemma-3-4b-it"), "auto", None)


def test_a_broken_download_in_the_cache_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    repository = tmp_path / "models--someone--tiny"
    folder = copy_tiny(repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    assert identify(locate("someone/tiny"), "auto", None).revision == "0" * 40
    shorten(1000)(folder)
    with pytest.raises(ModelError, match=r"model\.safetensors is damaged or was not downloaded to its end"):
        identify(locate("someone/tiny"), "auto", None)
