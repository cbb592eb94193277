"""Keep-all through the compressed path is the stock model: bit for bit, and noticed if it is not."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, Gemma4Config

from pytest_vtc.cells import Generation
from pytest_vtc.compressed import Compressed
from pytest_vtc.datasets.base import Sample
from pytest_vtc.datasets.registry import data_home, open_samples
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.catalogue import CATALOGUE, Quantization
from pytest_vtc.models.loading import load_backend
from pytest_vtc.models.sequences import Tile
from pytest_vtc.parity import ParityError, check_parity


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [*open_samples("probes", data_home(), 6, 3).samples, *open_samples("easyvqa", data_home(), 6, 3).samples]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("positions", ["compact", "original"])
def test_keep_all_gives_the_stock_models_tokens_and_logits(samples: list[Sample], dtype: str, positions: str) -> None:
    backend = load_backend("tiny-gemma4", dtype)  # type: ignore[arg-type]
    for sample in samples:
        images = [source.open() for source in sample.images]
        tokens = [backend.encode(image) for image in images]
        prompt = backend.prompt_ids(sample.prompt, [of_image.tiles for of_image in tokens])
        stock = backend.generate_stock(prompt, images, 8, with_logits=True)
        every = [Compressed(torch.arange(len(t)), None, torch.arange(len(t))) for t in tokens]
        row = backend.row(prompt, tokens, every, positions)  # type: ignore[arg-type]
        (ours,) = backend.generate([row], 8, with_logits=True)
        assert ours.token_ids == stock.token_ids
        assert ours.logits is not None
        assert stock.logits is not None
        assert torch.equal(ours.logits, stock.logits)


def test_the_stock_reference_is_what_the_models_own_users_call(tiny: Backend, samples: list[Sample]) -> None:
    image = samples[0].images[0].open()
    text = f"<bos><|turn>user\n<|image>{'<|image|>' * 64}<image|>{samples[0].prompt}<turn|>\n<|turn>model\n"
    inputs = tiny.tokenizer(text, return_tensors="pt", add_special_tokens=False)
    pixels = tiny.image_processor(images=[image], return_tensors="pt")
    generated = tiny.model.generate(
        **inputs,
        mm_token_type_ids=(inputs["input_ids"] == tiny.image_token_id).long(),
        pixel_values=pixels["pixel_values"],
        image_position_ids=pixels["image_position_ids"],
        max_new_tokens=8,
        do_sample=False,
    )
    expected = tiny.tokenizer.decode(generated[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    ours = tiny.generate_stock(tiny.prompt_ids(samples[0].prompt, [(Tile(8, 8),)]), [image], 8)
    assert tiny.answer(ours) == expected


def test_the_check_passes_on_the_embedded_model(tiny: Backend, samples: list[Sample]) -> None:
    parity = check_parity(tiny, samples[:4])
    assert (parity.max_logit_difference, parity.same_tokens, parity.batch_agreement) == (0.0, True, 1.0)


def test_a_compressed_path_that_differs_is_noticed(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = Backend._pack
    monkeypatch.setattr(Backend, "_pack", lambda self, features, deep: pack(self, [f * 1.001 for f in features], deep))
    with pytest.raises(ParityError, match="does not give the stock model's answer"):
        check_parity(tiny, samples[:2])


def test_answers_that_depend_on_the_batch_are_noticed(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = Backend.generate

    def forgets_in_batches(self, rows, limit, **options):  # type: ignore[no-untyped-def]
        outputs = generate(self, rows, limit, **options)
        return outputs if len(rows) == 1 else outputs[:1] * len(outputs)

    monkeypatch.setattr(Backend, "generate", forgets_in_batches)
    with pytest.raises(ParityError, match="depend on the batch"):
        check_parity(tiny, samples)


def test_the_checkpoints_sampling_settings_are_overridden_and_remembered(tiny: Backend) -> None:
    assert tiny.overridden["do_sample"] is True
    assert tiny.overridden["top_k"] == 64
    assert tiny.model.generation_config.do_sample is False


@pytest.mark.parametrize(
    "changes",
    [
        {"use_bidirectional_attention": "vision"},
        {"use_bidirectional_attention": "vision", "sliding_window": 24},
        {"num_kv_shared_layers": 2, "use_double_wide_mlp": True},
        {"hidden_size_per_layer_input": 0, "attention_k_eq_v": True},
        {"global_head_dim": 64, "num_kv_shared_layers": 2},
    ],
    ids=["bidirectional", "bidirectional-short-window", "shared-kv", "k-eq-v", "two-head-sizes"],
)
def test_variants_of_the_larger_checkpoints_keep_parity_and_share_prefixes(
    tmp_path: Path, samples: list[Sample], changes: dict[str, Any]
) -> None:
    """Random weights, loaded from a folder as a real checkpoint is."""
    source = Path(CATALOGUE["tiny-gemma4"].location)
    for file in source.glob("*[!s]"):
        if file.suffix in (".json", ".jinja"):
            shutil.copy(file, tmp_path)
    config = AutoConfig.from_pretrained(source)
    text = config.text_config.to_dict() | changes
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(Gemma4Config(**config.to_dict() | {"text_config": text}))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=weight.shape[-1] ** -0.5)
    model.save_pretrained(tmp_path)
    shutil.copy(source / "generation_config.json", tmp_path)
    backend = load_backend(str(tmp_path))
    saved = backend.model.config.text_config.to_dict()
    # Two head sizes are saved layer by layer, under another name.
    assert saved != config.text_config.to_dict()
    assert all(saved.get(name, value) == value for name, value in changes.items())
    parity = check_parity(backend, samples[:3])
    assert (parity.max_logit_difference, parity.batch_agreement) == (0, 1)
    jobs = [Job(s, c, r) for s in samples for c, r in [(None, 1.0), (resolve(["divprune"])[0], 0.25)]]
    alone = Engine(backend, batch_size=1)
    expected = [result for job in jobs for result in alone.run([job], 6)]
    together = Engine(backend).run(jobs, 6)
    assert [r.answer for r in together if isinstance(r, Generation)] == [
        r.answer for r in expected if isinstance(r, Generation)
    ]
    assert len({r.answer for r in together if isinstance(r, Generation)}) > 1


def test_a_prefix_that_is_not_what_it_was_computed_from_is_noticed(
    tiny: Backend, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    prefill = Backend.prefill

    def loses_the_image(self, prefixes, lead=None):  # type: ignore[no-untyped-def]
        filled = prefill(self, prefixes, lead)
        for layer in filled.cache.layers:
            layer.values = torch.zeros_like(layer.values)
        return filled

    monkeypatch.setattr(Backend, "prefill", loses_the_image)
    with pytest.raises(ParityError, match="depend on the batch"):
        check_parity(tiny, samples)


@pytest.mark.slow
def test_keep_all_is_the_quantised_stock_model_in_8_bit(samples: list[Sample]) -> None:
    pytest.importorskip("bitsandbytes")
    backend = load_backend("tiny-gemma4", quantization="8bit")
    assert "Linear8bitLt" in {type(module).__name__ for module in backend.model.model.language_model.modules()}
    assert "Linear8bitLt" not in {type(module).__name__ for module in backend.model.model.vision_tower.modules()}
    assert check_parity(backend, samples[:2]).max_logit_difference == 0


@pytest.mark.slow
@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
@pytest.mark.parametrize("name", ["gemma3", "llava", "qwen3_vl", "smolvlm"])
def test_keep_all_is_the_quantised_stock_model_of_every_kind(
    samples: list[Sample], checkpoint: Callable[[str], Path], name: str, quantization: Quantization
) -> None:
    pytest.importorskip("bitsandbytes")
    backend = load_backend(str(checkpoint(name)), quantization=quantization)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random weights answer in a batch what they like
        parity = check_parity(backend, samples[:2])
    assert (parity.max_logit_difference, parity.same_tokens) == (0, True)


@pytest.mark.slow
def test_answers_of_int8_weights_that_depend_on_the_batch_are_told_and_do_not_stop_a_run(
    samples: list[Sample], checkpoint: Callable[[str], Path]
) -> None:
    pytest.importorskip("bitsandbytes")
    backend = load_backend(str(checkpoint("gemma3")), quantization="8bit")
    with pytest.warns(UserWarning, match="rounds differently from batch to batch"):
        parity = check_parity(backend, samples[:2])
    assert parity.batch_agreement is not None
    assert parity.batch_agreement < 0.995
