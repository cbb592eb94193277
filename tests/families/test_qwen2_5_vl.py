"""What is particular to Qwen-VL: image sizes, window order, positions on three axes and how generation goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from pytest_vtc.cells import Generation
from pytest_vtc.compressed import Compressed
from pytest_vtc.datasets.base import Sample
from pytest_vtc.discovery import resolve
from pytest_vtc.engine import Engine, Job
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.qwen2_5_vl import Qwen2_5VLBackend, Qwen2VLBackend
from pytest_vtc.models.qwen3_vl import Qwen3VLBackend, Qwen3VLMoeBackend
from pytest_vtc.models.sequences import Row, Tile, VisionTokens
from pytest_vtc.models.vision_side import Wants
from pytest_vtc.parity import check_parity
from tests.families.checkpoints import Parts, load_parts
from tests.families.pictures import picture
from tests.families.stock import stock_inputs

BACKENDS = {cls.model_type: cls for cls in (Qwen2VLBackend, Qwen2_5VLBackend, Qwen3VLBackend, Qwen3VLMoeBackend)}

WIDE, TALL, LONG = picture(96, 64, seed=0), picture(60, 100, seed=1), picture(300, 40, seed=2)
QUESTION = "What is it?"


def load(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> Backend:
    parts = load_parts(name, folder, dtype)
    return BACKENDS[name](parts.model, parts.tokenizer, parts.image_processor)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]) -> Backend:
    return load(request.param, checkpoint(request.param))


@pytest.fixture(scope="module")
def windowed(checkpoint: Callable[[str], Path]) -> Backend:
    return load("qwen2_5_vl", checkpoint("qwen2_5_vl"))


def parts_of(backend: Backend) -> Parts:
    return Parts(backend.model, backend.tokenizer, backend.image_processor)


def first(n: int) -> Compressed:
    return Compressed(torch.arange(n), None, torch.arange(n))


def prompt(backend: Backend, *images: VisionTokens, text: str = QUESTION) -> list[int]:
    return backend.prompt_ids(text, [image.tiles for image in images])


@dataclass(frozen=True)
class Drawn:
    """A picture as samples hold it."""

    width: int
    height: int
    seed: int = 0

    def open(self) -> Image.Image:
        return picture(self.width, self.height, self.seed)

    def fingerprint(self) -> str:
        return str(self)


SAMPLES = [
    Sample("wide", (Drawn(96, 64),), QUESTION),
    Sample("wide again", (Drawn(96, 64),), "Where does it stand, left or right?"),
    Sample("tall", (Drawn(60, 100, 1),), "Which colour has it?"),
    Sample("both", (Drawn(96, 64), Drawn(60, 100, 1)), "Are they alike?"),
]


@pytest.mark.parametrize("images", [(WIDE,), (TALL, WIDE, LONG)], ids=["one", "three"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", BACKENDS)
def test_keep_all_is_what_the_models_own_processor_leads_to(
    checkpoint: Callable[[str], Path], name: str, dtype: torch.dtype, images: tuple[Image.Image, ...]
) -> None:
    backend = load(name, checkpoint(name), dtype)
    inputs = stock_inputs(name, parts_of(backend), QUESTION, images)
    stock = backend.model.generate(
        **{key: value.to(dtype) if value.is_floating_point() else value for key, value in inputs.items()},
        max_new_tokens=8,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens = backend.encode_prompt(images)
    row = backend.row(prompt(backend, *tokens), tokens, [first(len(t)) for t in tokens], "original")
    (ours,) = backend.generate([row], 8, with_logits=True)
    assert row.ids == inputs["input_ids"][0].tolist()
    assert ours.token_ids == stock.sequences[0, len(row) :].tolist()
    assert ours.logits is not None
    assert torch.equal(ours.logits, torch.stack(stock.logits, dim=1)[0].float())
    assert backend.generate_stock(prompt(backend, *tokens), images, 8).token_ids == ours.token_ids


def test_original_positions_are_those_of_the_model(backend: Backend) -> None:
    images = [TALL, WIDE, LONG]
    tokens = backend.encode_prompt(images)
    row = backend.row(prompt(backend, *tokens), tokens, [first(len(t)) for t in tokens], "original")
    inputs = stock_inputs(backend.model_type, parts_of(backend), QUESTION, images)
    expected, _ = backend.model.model.get_rope_index(
        inputs["input_ids"], mm_token_type_ids=inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
    )
    assert torch.equal(torch.tensor(row.positions).T, expected[:, 0])


def test_compact_positions_are_those_of_text(windowed: Backend) -> None:
    tokens = windowed.encode(WIDE)
    row = windowed.row(prompt(windowed, tokens), [tokens], [first(5)], "compact")
    assert row.positions == [(place, place, place) for place in range(len(row))]


def test_dropping_tokens_is_masking_them_at_their_original_positions(backend: Backend) -> None:
    tokens = backend.encode(WIDE)
    kept = torch.tensor([1, 2, 9, 20, 23, 39])
    row = backend.row(prompt(backend, tokens), [tokens], [Compressed(kept, None, kept)], "original")
    (ours,) = backend.generate([row], 1, with_logits=True)
    inputs = stock_inputs(backend.model_type, parts_of(backend), QUESTION, [WIDE])
    (places,) = (inputs["input_ids"][0] == backend.image_token_id).nonzero(as_tuple=True)
    dropped = torch.ones(len(tokens), dtype=torch.bool)
    dropped[kept] = False
    positions, _ = backend.model.model.get_rope_index(
        **{key: inputs[key] for key in ("input_ids", "mm_token_type_ids", "image_grid_thw")}
    )
    inputs["attention_mask"][0, places[dropped]] = 0
    with torch.inference_mode():
        masked = backend.model(**inputs, position_ids=positions).logits[:, -1]
    assert ours.logits is not None
    assert torch.allclose(ours.logits, masked, atol=1e-4 * float(masked.std()))


def test_batches_and_beginnings_computed_beforehand_do_not_change_answers(backend: Backend) -> None:
    parity = check_parity(backend, SAMPLES[1:], max_new_tokens=4)
    assert (parity.max_logit_difference, parity.same_tokens, parity.batch_agreement) == (0, True, 1)


def test_compressed_answers_do_not_depend_on_the_batch(backend: Backend) -> None:
    compressors = resolve(["divprune", "pool", "random", "downsample"])
    jobs = [Job(sample, c, 0.25 if c.exact else 0.5) for sample in SAMPLES[2:] for c in compressors]
    together = Engine(backend).run(jobs, 4)
    alone = [Engine(backend, batch_size=1).run([job], 4)[0] for job in jobs]
    answers = [[r.answer for r in results if isinstance(r, Generation)] for results in (together, alone)]
    assert len(answers[0]) == len(jobs)
    assert answers[0] == answers[1]
    assert len(set(answers[0])) > 2


def test_an_answer_of_the_stock_model_leaves_no_trace_in_the_next(backend: Backend) -> None:
    """The model remembers by how much its last sequence was shorter in positions than in tokens."""
    tokens = backend.encode(WIDE)
    ids = prompt(backend, tokens)
    row = backend.row(ids, [tokens], [first(7)], "original")
    backend.model.model.rope_deltas = None
    (before,) = backend.generate([row], 6, with_logits=True)
    long = backend.encode(LONG)
    backend.generate_stock(prompt(backend, long), [LONG], 2)
    prefilled = backend.prefill([row.prefix])
    (after,) = backend.generate([row], 6, with_logits=True)
    (gone_on,) = backend.generate([row], 6, prefilled=prefilled)
    assert before.logits is not None
    assert after.logits is not None
    assert torch.equal(before.logits, after.logits)
    assert gone_on.token_ids == before.token_ids


class TestARepetitionPenalty:
    """Qwen2.5-VL is published with one."""

    @pytest.fixture(autouse=True)
    def strong(self, windowed: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(windowed.model.generation_config, "repetition_penalty", 9.0)

    @pytest.fixture
    def rows(self, windowed: Backend) -> list[Row]:
        tokens = windowed.encode(WIDE)
        asked = [(4, QUESTION), (40, "Where does it stand, left or right?")]
        return [
            windowed.row(prompt(windowed, tokens, text=text), [tokens], [first(n)], "original") for n, text in asked
        ]

    @pytest.mark.parametrize("begun", [False, True], ids=["from scratch", "from prefixes"])
    def test_does_not_count_padding(
        self, windowed: Backend, rows: list[Row], monkeypatch: pytest.MonkeyPatch, begun: bool
    ) -> None:
        (alone,) = windowed.generate(rows[:1], 4)
        new = [token for token in alone.token_ids if token not in rows[0].ids]
        monkeypatch.setattr(windowed, "pad_id", new[0])
        prefilled = windowed.prefill([row.prefix for row in rows]) if begun else None
        assert windowed.generate(rows, 4, prefilled=prefilled)[0] == alone

    @pytest.mark.parametrize("leaving", [0, 1])
    def test_goes_on_where_a_row_has_left(
        self, windowed: Backend, rows: list[Row], monkeypatch: pytest.MonkeyPatch, leaving: int
    ) -> None:
        alone = [windowed.generate([row], 6)[0] for row in rows]
        assert alone[leaving].token_ids[1] not in alone[1 - leaving].token_ids
        monkeypatch.setattr(windowed, "stop_ids", (alone[leaving].token_ids[1],))
        together = windowed.generate(rows, 6)
        assert together[leaving].token_ids == alone[leaving].token_ids[:1]
        assert together[1 - leaving] == alone[1 - leaving]


@pytest.mark.parametrize("size", [(96, 64), (60, 100), (300, 40), (8, 8), (64, 64)])
def test_rows_of_the_encoder_are_mapped_to_the_tokens_made_of_them(backend: Backend, size: tuple[int, int]) -> None:
    pixels = backend.process(picture(*size))
    with torch.inference_mode():
        seen = backend.model.model.get_image_features(**{key: pixels[key] for key in backend.pixel_keys})
        merged = backend.model.model.visual.merger(seen.last_hidden_state)
    tokens = backend.encode_processed(pixels, Wants(hidden=True))
    of_row = backend._token_of_row(pixels).reshape(-1, 4)
    assert torch.equal(of_row, of_row[:, :1].expand(-1, 4))
    order = of_row[:, 0].argsort()
    assert torch.equal(merged[order], tokens.features)
    assert tokens.hidden is not None
    assert torch.allclose(seen.last_hidden_state.reshape(-1, 4, 64).mean(dim=1)[order], tokens.hidden, atol=1e-6)


@pytest.mark.parametrize("layer", [-2, -1], ids=["windows", "whole image"])
def test_attention_and_keys_are_those_of_the_whole_image(windowed: Backend, layer: int) -> None:
    """A row that is not in sight gets nothing: so rows of windows that the edge cuts off do not stand out."""
    given: list[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]] = []

    def keep(_module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, object]) -> None:
        given.append((args[0], kwargs["cu_seqlens"], kwargs["position_embeddings"]))  # type: ignore[arg-type]

    attention = windowed.model.model.visual.blocks[layer].attn
    handle = attention.register_forward_pre_hook(keep, with_kwargs=True)
    pixels = windowed.process(LONG)
    tokens = windowed.encode_processed(pixels, Wants(attention=frozenset({layer}), keys=frozenset({layer})))
    handle.remove()
    ((hidden, bounds, (cos, sin)),) = given
    with torch.inference_mode():
        query, key, _ = attention.qkv(hidden).reshape(len(hidden), 3, 4, 16).permute(1, 2, 0, 3)
        turned = [x * cos + torch.cat([-x[..., 8:], x[..., :8]], dim=-1) * sin for x in (query, key)]
        window = torch.bucketize(torch.arange(len(hidden)), bounds[1:], right=True)
        out_of_sight = window[:, None] != window
        scores = (turned[0] @ turned[1].transpose(1, 2) / 4).masked_fill(out_of_sight, -torch.inf)
    assert bool(out_of_sight.any()) == (layer == -2)
    order = windowed._token_of_row(pixels).argsort(stable=True)
    received = scores.softmax(dim=-1).mean(dim=1)[:, order].reshape(4, -1, 4).mean(dim=2)
    assert torch.allclose(tokens.attention[layer].received, received, atol=1e-6)
    keys = key[:, order].reshape(4, -1, 4, 16).mean(dim=2)
    assert torch.allclose(tokens.keys[layer], keys, atol=1e-6)


def test_an_image_can_be_encoded_at_any_grid(backend: Backend) -> None:
    tokens = backend.encode(WIDE)
    assert torch.equal(backend.encode_resized(WIDE, *tokens.grid).features, tokens.features)
    # Also beyond what the image processor limits images to.
    for grid in ((1, 1), (2, 7), (9, 8)):
        features = backend.encode_resized(WIDE, *grid).features
        assert features.shape == (grid[0] * grid[1], 64)
        assert features.isfinite().all()


@pytest.mark.parametrize(
    ("size", "grid"),
    [
        ((1, 1), (2, 2)),
        ((2, 3), (3, 2)),
        ((50, 3), (1, 9)),
        ((3, 3), (2, 2)),
        ((1000, 800), (6, 7)),
        ((16, 24), (3, 2)),
    ],
)
def test_images_of_any_size_are_taken_as_the_image_processor_scales_them(
    windowed: Backend, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    assert windowed.encode(picture(*size)).tiles == (Tile(*grid),)


def test_an_image_that_is_all_edge_is_refused(windowed: Backend) -> None:
    with pytest.raises(ValueError, match="aspect ratio must be smaller than 200, got 250"):
        windowed.encode(picture(500, 2))


def test_four_images_in_one_call_are_as_they_are_alone(backend: Backend) -> None:
    wants = Wants(hidden=True, attention=frozenset({-2}), keys=frozenset({-2}))
    # As many patches each, in two layouts.
    processed = [backend.process(image) for image in (WIDE, picture(64, 96), picture(96, 64, 3), WIDE)]
    for _ in range(2):  # the first time it is tried
        together = backend.encode_many(processed, wants)
    for ours, pixels in zip(together, processed, strict=True):
        alone = backend.encode_processed(pixels, wants)
        assert ours.tiles == alone.tiles
        assert torch.equal(ours.features, alone.features)
        assert torch.equal(ours.attention[-2].received, alone.attention[-2].received)
        assert torch.equal(ours.keys[-2], alone.keys[-2])


def test_the_end_of_an_image_belongs_to_it_and_not_to_the_question(backend: Backend) -> None:
    tokens = backend.encode(WIDE)
    head, rest = backend.split_prompt(prompt(backend, tokens, tokens))
    assert backend.tokenizer.decode(head).endswith("<|image_pad|><|vision_end|>")
    assert backend.tokenizer.decode(rest) == f"{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
