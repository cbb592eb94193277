"""What every model family must keep to, as a class of tests: subclass it, say how to load a backend, and run pytest.

    class TestMyFamily(FamilyContract):
        @classmethod
        def load(cls, dtype: torch.dtype) -> Backend:
            return MyFamilyBackend(*my_tiny_random_checkpoint(dtype))

A tiny model with random weights is enough, and better than a trained one: its logits depend on everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.cells import Positions
from pytest_vtc.compressed import Compressed
from pytest_vtc.models.backend import Backend
from pytest_vtc.models.decoding import Output
from pytest_vtc.models.sequences import Row, VisionTokens
from pytest_vtc.models.vision_side import NOTHING, VISION_BATCH, Wants

QUESTION = "what is in the image ?"
LONGER_QUESTION = "which of the things in the image is to the left of all others ?"
N_NEW = 5
POSITIONS: tuple[Positions, ...] = ("original", "compact")


@dataclass(frozen=True)
class Asked:
    """A prompt on images that are encoded already."""

    backend: Backend
    prompt: list[int]
    images: Sequence[VisionTokens]

    def row(self, positions: Positions, share: float = 1.0) -> Row:
        """The sequence with every so-manieth token of each image: all of them, every other one ..."""
        return self.backend.row(self.prompt, self.images, [every(tokens, share) for tokens in self.images], positions)


def every(tokens: VisionTokens, share: float) -> Compressed:
    """Tokens at equal distances, the first of them always."""
    n = max(1, int(len(tokens) * share))
    indices = torch.linspace(0, len(tokens) - 1, n).long().unique()
    return Compressed(indices, None, indices)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Coarse coloured noise: nothing repeats, and no two pictures are alike."""
    noise = torch.rand(3, 5, 7, generator=torch.Generator().manual_seed(seed + 97 * width + height))
    large = torch.nn.functional.interpolate(noise[None], size=(height, width), mode="bicubic")[0].clamp(0, 1)
    return Image.fromarray((large * 255).byte().permute(1, 2, 0).contiguous().numpy())


class FamilyContract:
    """The tests. Each of them is a promise that every number of a run rests on.

    sizes: width and height of the images that are tried. several_images: whether a prompt may hold more than one.
    """

    sizes: ClassVar[tuple[tuple[int, int], ...]] = ((96, 64), (60, 100))
    several_images: ClassVar[bool] = True

    @classmethod
    def load(cls, dtype: torch.dtype) -> Backend:
        """A freshly loaded backend in this precision."""
        raise NotImplementedError(f"{cls.__name__}.load: say how to load a backend")

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Backend:
        return cls.load(torch.float32)

    @pytest.fixture(scope="class", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
    @classmethod
    def either(cls, request: pytest.FixtureRequest, backend: Backend) -> Backend:
        return backend if request.param == torch.float32 else cls.load(request.param)

    def pictures(self) -> Iterator[list[Image.Image]]:
        for i, size in enumerate(self.sizes):
            yield [picture(*size, seed=i)]
        if self.several_images:
            yield [picture(*size, seed=9) for size in self.sizes[:2]]

    def ask(self, backend: Backend, images: Sequence[Image.Image], question: str = QUESTION) -> Asked:
        tokens = backend.encode_prompt(images)
        return Asked(backend, backend.prompt_ids(question, [of_image.tiles for of_image in tokens]), tokens)

    # Stock

    @pytest.mark.parametrize("positions", POSITIONS)
    def test_keeping_all_tokens_is_the_stock_model(self, either: Backend, positions: Positions) -> None:
        if either.mrope and positions == "compact":
            pytest.skip("renumbered positions of three axes are not the stock model's")
        for images in self.pictures():
            asked = self.ask(either, images)
            stock = either.generate_stock(asked.prompt, images, N_NEW, with_logits=True)
            (ours,) = either.generate([asked.row(positions)], N_NEW, with_logits=True)
            assert ours.token_ids == stock.token_ids
            assert torch.equal(logits(ours), logits(stock))

    def test_answers_depend_on_the_image(self, backend: Backend) -> None:
        # Otherwise nothing here would show anything.
        first, second = (self.ask(backend, [picture(96, 64, seed)]) for seed in (1, 2))
        answers = backend.generate([a.row(backend.default_positions) for a in (first, second)], N_NEW, with_logits=True)
        assert not torch.equal(logits(answers[0])[0], logits(answers[1])[0])

    def test_images_encoded_one_by_one_are_those_encoded_for_their_prompt(self, backend: Backend) -> None:
        for images in self.pictures():
            beside = backend.shown_beside(len(images))
            for together, image in zip(backend.encode_prompt(images), images, strict=True):
                alone = backend.encode(image, beside=beside)
                assert alone.tiles == together.tiles
                assert_close(alone.rows, together.rows)

    def test_images_that_share_a_call_keep_every_bit(self, backend: Backend) -> None:
        processed = [backend.process(picture(*self.sizes[0], seed)) for seed in range(VISION_BATCH)]
        alone = [backend.encode_processed(p) for p in processed]
        for _ in range(2):  # the first time is the trial
            for one, other in zip(alone, backend.encode_many(processed), strict=True):
                assert torch.equal(one.rows, other.rows)

    # Batches and beginnings

    @pytest.mark.parametrize("positions", POSITIONS)
    def test_a_padded_batch_of_mixed_lengths_answers_like_each_row_alone(
        self, backend: Backend, positions: Positions
    ) -> None:
        rows = self.mixed_rows(backend, positions)
        alone = [backend.generate([row], N_NEW, with_logits=True)[0] for row in rows]
        for one, other in zip(alone, backend.generate(rows, N_NEW, with_logits=True), strict=True):
            assert one.token_ids == other.token_ids
            assert_close(logits(one), logits(other))

    @pytest.mark.parametrize("positions", POSITIONS)
    def test_rows_that_go_on_from_a_beginning_answer_as_from_scratch(
        self, backend: Backend, positions: Positions
    ) -> None:
        rows = self.mixed_rows(backend, positions)
        prefixes = list({id(row.prefix): row.prefix for row in rows}.values())
        first_image = min(prefix.ids.index(backend.image_token_id) for prefix in prefixes)
        lead = backend.prefill_lead(prefixes[0].ids[:first_image])
        alone = [backend.generate([row], N_NEW, with_logits=True)[0] for row in rows]
        for begun in (lead, backend.prefill(prefixes), backend.prefill(prefixes, lead)):
            together = backend.generate(rows, N_NEW, with_logits=True, prefilled=begun)
            for one, other in zip(alone, together, strict=True):
                assert one.token_ids == other.token_ids
                assert_close(logits(one), logits(other))

    def mixed_rows(self, backend: Backend, positions: Positions) -> list[Row]:
        """Two questions on each image, with all, half and few of its tokens."""
        rows: list[Row] = []
        for images in self.pictures():
            asked = self.ask(backend, images)
            other = backend.prompt_ids(LONGER_QUESTION, [tokens.tiles for tokens in asked.images])
            for share in (1.0, 0.5, 0.1):
                row = asked.row(positions, share)
                rows += [row, Row(row.prefix, backend.split_prompt(other)[1])]
        return rows

    # Compressed

    def test_dropping_tokens_is_masking_them(self, backend: Backend) -> None:
        """At original positions and within every sliding window."""
        for images in self.pictures():
            asked = self.ask(backend, images)
            whole = asked.row("original")
            window = backend.sliding_window
            assert window is None or len(whole) <= window, "make the images smaller or the window wider"
            dropped = asked.row("original", 0.5)
            assert len(dropped) < len(whole)
            (ours,) = backend.generate([dropped], 1, with_logits=True)
            kept = kept_places(asked, whole, dropped)
            assert_close(logits(ours)[0], masked(backend, whole, kept))

    def test_positions_are_those_of_the_whole_prompt_or_renumbered(self, backend: Backend) -> None:
        asked = self.ask(backend, [picture(*self.sizes[0])])
        whole, half = asked.row("original"), asked.row("original", 0.5)
        assert half.positions[-1] == whole.positions[-1]
        assert set(half.positions) <= set(whole.positions)
        compact = asked.row("compact", 0.5)
        assert [p[0] if isinstance(p, tuple) else p for p in compact.positions] == list(range(len(compact)))

    def test_the_budget_of_each_image_is_kept(self, backend: Backend) -> None:
        for images in self.pictures():
            asked = self.ask(backend, images)
            row = asked.row(backend.default_positions, 0.5)
            placeholders = row.ids.count(backend.image_token_id)
            assert placeholders == sum(len(features) for features in row.features)
            assert placeholders <= sum(len(tokens.rows) for tokens in asked.images) // 2

    # Memory

    def test_the_bytes_of_keys_and_values_are_those_that_the_model_itself_keeps(self, either: Backend) -> None:
        """With the model's own cache, one row at a time."""
        for images in self.pictures():
            asked = self.ask(either, images)
            for share in (1.0, 0.5, 0.1):
                row = asked.row(either.default_positions, share)
                assert either.kv_bytes(len(row)) == cache_bytes(either, row)

    # What compressors see

    def test_looking_on_changes_no_bit_and_shows_one_entry_per_token(self, backend: Backend) -> None:
        layers = frozenset[int]() if {"attention", "keys"} & backend.lacks.keys() else frozenset({-2, 0})
        for image in (picture(*size) for size in self.sizes):
            plain = backend.encode(image, NOTHING)
            seen = backend.encode(image, Wants(True, layers, layers))
            assert torch.equal(plain.rows, seen.rows)
            n = len(plain)
            assert seen.hidden is not None
            assert seen.hidden.shape[0] == n
            assert torch.isfinite(seen.hidden).all()
            assert set(seen.attention) == set(seen.keys) == layers
            for layer in layers:
                attention, keys = seen.attention[layer], seen.keys[layer]
                assert attention.received.shape[1] == keys.shape[1] == n
                assert attention.cls is None or attention.cls.shape == attention.received.shape
                assert (attention.received > 0).all()
                assert torch.isfinite(keys).all()

    # Text

    def test_prompts_end_where_the_model_answers(self, backend: Backend) -> None:
        asked = self.ask(backend, [picture(*self.sizes[0])])
        turn = [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}]
        texts = [
            backend.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=prompted)
            for prompted in (False, True)
        ]
        assert texts[1].startswith(texts[0])
        # As text: its first letter may be one token with the blank before it.
        assert backend.tokenizer.decode(asked.prompt).endswith(texts[1][len(texts[0]) :])
        bos = backend.tokenizer.bos_token_id
        assert bos is None or asked.prompt.count(bos) <= 1

    def test_the_checkpoints_settings_do_not_sample(self, backend: Backend) -> None:
        assert not backend.model.generation_config.do_sample
        assert backend.model.generation_config.num_beams == 1

    def test_an_answer_holds_no_special_token(self, backend: Backend) -> None:
        special = set(backend.tokenizer.all_special_ids)
        words = backend.tokenizer("what is in the image", add_special_tokens=False)["input_ids"]
        assert not special & set(words)
        output = Output([*words, *backend.stop_ids[:1]], truncated=False)
        assert backend.answer(output) == backend.tokenizer.decode(words).strip()


def logits(output: Output) -> Tensor:
    assert output.logits is not None
    return output.logits


def assert_close(one: Tensor, other: Tensor) -> None:
    """Within 1e-4 standard deviations: what float32 rounds differently from batch to batch."""
    steps = min(len(one), len(other))
    limit = 1e-4 * float(other.float().std())
    difference = float((one[:steps].float() - other[:steps].float()).abs().max())
    assert difference <= limit, f"differ by {difference:.3g}, more than {limit:.3g}"


def kept_places(asked: Asked, whole: Row, dropped: Row) -> list[bool]:
    """For each place of the whole sequence whether it is in the dropped one too."""
    backend = asked.backend
    left = iter([(token, place) for token, place in zip(dropped.ids, dropped.positions, strict=True)])
    following = next(left, None)
    found: list[bool] = []
    for token, place in zip(whole.ids, whole.positions, strict=True):
        is_kept = following == (token, place)
        assert is_kept or token == backend.image_token_id
        found.append(is_kept)
        if is_kept:
            following = next(left, None)
    assert following is None
    return found


def masked(backend: Backend, whole: Row, kept: Sequence[bool]) -> Tensor:
    """Logits [V] of the next token after the whole sequence, with all other places masked."""
    return call_model(backend, whole, kept).logits[0, -1].float().cpu()


def cache_bytes(backend: Backend, row: Row) -> int:
    """Bytes of all tensors that the model's own cache holds after one row."""
    cache = call_model(backend, row, [True] * len(row)).past_key_values
    states = [state for layer in cache.layers for state in vars(layer).values() if isinstance(state, Tensor)]
    return sum(state.nbytes for state in states if state.dim())  # some layers keep a number in a tensor


@torch.inference_mode()
def call_model(backend: Backend, row: Row, kept: Sequence[bool]) -> Any:
    """One call of the model on one row, its other places masked, with a cache that the model makes itself."""
    batch = backend._batch([(row.ids, row.positions)])
    inputs = {"input_ids": batch.ids, "attention_mask": torch.tensor([kept]).long(), "position_ids": batch.positions}
    if backend.token_type_key:
        inputs[backend.token_type_key] = (batch.ids == backend.image_token_id).long()
    on_device: dict[str, Any] = {name: tensor.to(backend.device) for name, tensor in inputs.items()}
    if row.features:
        on_device["mm_encoder_outputs"] = backend._pack([*row.features], [*row.prefix.deepstack])
    return backend.model(**on_device, logits_to_keep=1, use_cache=True)
