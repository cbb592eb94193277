"""One vision-language model behind the few calls the engine makes; a family's file overrides only what differs.

Built on two public parts of transformers: `get_image_features`, which turns pixels into the vision tokens the language
model would get, and `mm_encoder_outputs`, which lets `generate` be handed such tokens, all of them or fewer.
"""

from __future__ import annotations

import dataclasses
import itertools
import string
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from pytest_vtc.cells import Positions
from pytest_vtc.compression import Compressed, CompressionError
from pytest_vtc.models.decoding import (
    Batch,
    GreedyLoop,
    LetterLoop,
    Output,
    Prefilled,
    make_greedy,
    prefill_only,
    select_rows,
)
from pytest_vtc.models.sequences import Prefix, Row, VisionTokens, lay_out


class PromptError(ValueError):
    """A prompt cannot be given to this model; the message says why."""


VISION_BATCH = 4
"""Images per call of the vision side, where they can share one."""

_Shape = tuple[tuple[int, ...], ...]


class Backend(ABC):
    """A loaded model with its tokenizer and image processor."""

    model_type: ClassVar[str]
    pixel_keys: ClassVar[tuple[str, ...]]
    """What of the image processor's output goes into `get_image_features`."""
    token_type_key: ClassVar[str | None] = None
    """Name of the model input that marks image positions, if it has one."""
    default_positions: ClassVar[Positions] = "compact"
    lacks: ClassVar[Mapping[str, str]] = {}
    """What of a compressor's context (`compression.CONTEXT_NAMES`) this family cannot give, and in a phrase why."""

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any) -> None:
        self.model, self.tokenizer, self.image_processor = model, tokenizer, image_processor
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        stops = model.generation_config.eos_token_id
        self.stop_ids: tuple[int, ...] = tuple(stops) if isinstance(stops, (list, tuple)) else (int(stops),)
        self.pad_id: int = tokenizer.pad_token_id
        self.overridden = make_greedy(model.generation_config, self.pad_id)
        self._exact_together: dict[tuple[_Shape, bool], bool] = {}

    # What a family may differ in

    @abstractmethod
    def _grid(self, processed: Any) -> tuple[int, int]:
        """Rows and columns of vision tokens of one processed image."""

    @abstractmethod
    def _process_resized(self, image: Image.Image, rows: int, columns: int) -> Any:
        """Image processor output of `image` resized so that it yields rows x columns tokens."""

    @abstractmethod
    def _block(self, n_tokens: int) -> tuple[list[int], list[int], list[int]]:
        """Token ids that stand for one image: before, the placeholders, after."""

    def _unpadded(self, processed: Any) -> Mapping[str, Tensor]:
        """What `process` gave without the padding of its patches; as it is where a processor adds none."""
        return processed

    def _pack(self, features: list[Tensor]) -> Any:
        """Vision tokens of a whole batch, image by image, in the container `mm_encoder_outputs` takes."""
        return {"image": BaseModelOutputWithPooling(pooler_output=tuple(features))}  # type: ignore[arg-type]

    def _visible(self, token_ids: list[int]) -> list[int]:
        """Answer tokens without what the model says to itself; nothing to remove by default."""
        return token_ids

    @cached_property
    def image_token_id(self) -> int:
        return int(self.model.config.image_token_id)

    # Vision side

    def process(self, image: Image.Image) -> Any:
        """Pixels of one RGB image as the vision side takes them, on the CPU. May run on any thread."""
        processed = self.image_processor(images=[image], return_tensors="pt")
        if self.device.type == "cuda":
            # Only from pinned memory does the copy to the device run beside the computation.
            processed.update({key: processed[key].pin_memory() for key in self.pixel_keys})
        return processed

    def encode(self, image: Image.Image) -> VisionTokens:
        """Processor, vision tower and projector for one RGB image."""
        return self.encode_processed(self.process(image))

    @torch.inference_mode()
    def encode_processed(self, processed: Any) -> VisionTokens:
        """Vision tower and projector for what `process` gave."""
        return self._encode_together([processed], [processed])[0]

    @torch.inference_mode()
    def encode_many(self, processed: Sequence[Any]) -> list[VisionTokens]:
        """`encode_processed` of each, in one call and without padding where that changes no bit of their features.

        Whether it does is tried once for each shape: a greedy choice among near-equal tokens would show the least
        difference, and results must not depend on which images happened to share a call.
        """
        bare = [self._unpadded(p) for p in processed]
        padded = {self._shape(p) != self._shape(b) for p, b in zip(processed, bare, strict=True)}
        for pixels, has_padding in ((bare, {False}), (processed, padded)):
            # Images with and without padding do not mix: without, attention needs no mask and may run another kernel.
            kinds = {(self._shape(p), padding) for p in pixels for padding in has_padding}
            if len(processed) != VISION_BATCH or len(kinds) > 1:
                continue
            if not self._exact_together.get(kind := kinds.pop(), True):
                continue
            together = self._encode_together(pixels, processed)
            if kind in self._exact_together:
                return together
            alone = [self.encode_processed(p) for p in processed]
            self._exact_together[kind] = all(
                torch.equal(a.features, b.features) and torch.equal(a.hidden, b.hidden)
                for a, b in zip(together, alone, strict=True)
            )
            return alone
        return [self.encode_processed(p) for p in processed]

    def _shape(self, pixels: Mapping[str, Tensor]) -> _Shape:
        return tuple(tuple(pixels[key].shape) for key in self.pixel_keys)

    def _encode_together(self, pixels: Sequence[Any], processed: Sequence[Any]) -> list[VisionTokens]:
        """One call of the vision side for images of one shape. pixels: what it is given of each of `processed`."""
        parts, n_images = [self._pixels(p) for p in pixels], len(pixels)
        output = self._see(parts[0] if n_images == 1 else {k: torch.cat([p[k] for p in parts]) for k in parts[0]})
        features = torch.cat([item.reshape(-1, item.shape[-1]) for item in output.pooler_output])
        hidden = output.last_hidden_state
        hidden = hidden.reshape(-1, hidden.shape[-1])
        grids = [self._grid(p) for p in processed]
        # Images of one shape may differ in their tokens: shapes are those of padded patches.
        sizes = [rows * columns for rows, columns in grids]
        return list(map(VisionTokens, features.split(sizes), hidden.split(sizes), grids))

    def _see(self, pixels: dict[str, Tensor]) -> Any:
        return self.model.model.get_image_features(**pixels, return_dict=True)

    def encode_resized(self, image: Image.Image, rows: int, columns: int) -> Tensor:
        """The image encoded afresh at the size that yields rows x columns tokens: [rows * columns, D] float32."""
        tokens = self.encode_processed(self._process_resized(image, rows, columns))
        if tokens.grid != (rows, columns):
            raise CompressionError(f"asked the vision side for {rows} x {columns} tokens, got {tokens.grid}")
        return tokens.features.float()

    def _pixels(self, processed: Any) -> dict[str, Tensor]:
        # Each from where it lies: joined first, they would no longer be in pinned memory.
        pixels = {key: processed[key].to(self.device, non_blocking=True) for key in self.pixel_keys}
        return {key: value.to(self.dtype) if value.is_floating_point() else value for key, value in pixels.items()}

    # Text side

    def prompt_ids(self, text: str, n_images: int) -> list[int]:
        """Token ids of a user turn, images first, by the model's own chat template, with one placeholder per image.

        Raises PromptError if the text itself holds image placeholders.
        """
        content = [*({"type": "image"} for _ in range(n_images)), {"type": "text", "text": text}]
        prompt = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        # The template writes the beginning-of-sequence token itself.
        ids: list[int] = self.tokenizer(prompt, add_special_tokens=False)["input_ids"]
        if (found := ids.count(self.image_token_id)) != n_images:
            raise PromptError(
                f"the prompt holds {found} image placeholders for {n_images} images; "
                f"its text must not contain {self.tokenizer.convert_ids_to_tokens(self.image_token_id)!r}"
            )
        return ids

    def letters(self, n: int) -> list[list[int]]:
        """Token ids of each of the first `n` letters, with and without a blank before it.

        Raises PromptError if there are not so many, or the tokenizer writes one of them with several tokens only.
        """
        if n > len(string.ascii_uppercase):
            raise PromptError(f"{n} options are more than there are letters; run with --vtc-answers generate")
        found: list[list[int]] = []
        for letter in string.ascii_uppercase[:n]:
            ways = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (letter, f" {letter}")]
            single = sorted({ids[0] for ids in ways if len(ids) == 1} - {self.tokenizer.unk_token_id})
            if not single:
                raise PromptError(
                    f"this model's tokenizer has no single token for the letter {letter}, so that options cannot be "
                    "scored by their letters; run with --vtc-answers generate"
                )
            found.append(single)
        return found

    @torch.inference_mode()
    def text_embeddings(self, text: str) -> Tensor:
        """Input embeddings of the bare text: [T, D] float32."""
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
        return self.model.get_input_embeddings()(ids.to(self.device)).float()

    def split_prompt(self, prompt_ids: list[int]) -> tuple[list[int], list[int]]:
        """A prompt's token ids up to and including the last image placeholder, and those after it."""
        last = len(prompt_ids)
        while last and prompt_ids[last - 1] != self.image_token_id:
            last -= 1
        return prompt_ids[:last], prompt_ids[last:]

    def row(
        self,
        prompt_ids: list[int],
        images: Sequence[VisionTokens],
        kept: Sequence[Compressed | None],
        positions: Positions,
    ) -> Row:
        """The sequence for one prompt whose images are compressed as `kept` says (None: all tokens, stock).

        Raises CompressionError if `original` positions are asked of rows that have none.
        """
        head, suffix = self.split_prompt(prompt_ids)
        return Row(self.prefix(head, images, kept, positions), suffix)

    def prefix(
        self,
        head: list[int],
        images: Sequence[VisionTokens],
        kept: Sequence[Compressed | None],
        positions: Positions,
    ) -> Prefix:
        """The part of `row` up to the end of its last image. head: as `split_prompt` gives it."""
        return lay_out(head, images, kept, positions, self.image_token_id, self._block)

    # Generation

    @cached_property
    def sliding_window(self) -> int | None:
        """Slots of the key-value cache that the shortest-sighted layer sees; None if all see all of them."""
        return shortest_window(self.model.config)

    @torch.inference_mode()
    def prefill(self, prefixes: Sequence[Prefix], lead: Prefilled | None = None) -> Prefilled:
        """Keys and values of a left-padded batch of prefixes, for `generate` to go on from. lead: of all of them."""
        sequences = [(prefix.ids, prefix.positions) for prefix in prefixes]
        batch, cache = self._go_on(prefixes, sequences, lead, prefill_only, 1)
        return Prefilled(cache, batch, {id(prefix): i for i, prefix in enumerate(prefixes)})

    @torch.inference_mode()
    def prefill_lead(self, ids: list[int]) -> Prefilled:
        """Keys and values of the text that all prefixes begin with, before their first image."""
        prefix = Prefix(ids, list(range(len(ids))), (), len(ids))
        return dataclasses.replace(self.prefill([prefix]), places=None)

    @torch.inference_mode()
    def generate(
        self,
        rows: Sequence[Row],
        max_new_tokens: int,
        with_logits: bool = False,
        prefilled: Prefilled | None = None,
    ) -> list[Output]:
        """Greedy answers for a left-padded batch of rows of any lengths and any numbers of vision tokens.

        Rows with options are answered by letter instead, all of a batch or none.

        prefilled: holds the prefixes of all rows, or their lead; only what follows is computed. Exact as long as all
        slots, the padding between what is held and what follows included, lie within `sliding_window`.
        """
        loop: Any = GreedyLoop(self.stop_ids, max_new_tokens, with_logits)
        if rows[0].n_options:
            n_options = [row.n_options for row in rows]
            loop = LetterLoop(self.letters(max(n_options)), n_options)
        sequences = [(row.ids, row.positions) for row in rows]
        return self._go_on([row.prefix for row in rows], sequences, prefilled, loop, max_new_tokens)[1]

    def _go_on(
        self,
        prefixes: Sequence[Prefix],
        sequences: Sequence[tuple[list[int], list[int]]],
        begun: Prefilled | None,
        loop: Any,
        max_new_tokens: int,
    ) -> tuple[Batch, Any]:
        """The whole batch, and what `loop` makes of the part of it that `begun` does not hold.

        sequences: token ids and positions of each, in all; they begin with `prefixes`.
        """
        if begun is None:
            batch, cache = self._batch(sequences), DynamicCache(config=self.model.config)
        else:
            beginnings = [begun.beginning_of(prefix) for prefix in prefixes]
            rest = [(ids[n:], places[n:]) for (ids, places), (_, n) in zip(sequences, beginnings, strict=True)]
            chosen = torch.tensor([row for row, _ in beginnings])
            batch = begun.batch.rows(chosen).followed_by(self._batch(rest))
            cache = select_rows(begun.cache, chosen)
        self._check_length(max(len(ids) for ids, _ in sequences) + max_new_tokens)
        images_held = begun is not None and begun.places is not None
        features = [] if images_held else [of_image for prefix in prefixes for of_image in prefix.features]
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask, "position_ids": batch.positions}
        if self.token_type_key:
            inputs[self.token_type_key] = (batch.ids == self.image_token_id).long()
        # `generate` prepares masks, settings and processors as for the unmodified model; the loop is ours, and so is
        # the cache, one that rows can leave, whatever kind the checkpoint asks for.
        found = self.model.generate(
            **{key: value.to(self.device, non_blocking=True) for key, value in inputs.items()},
            **({"mm_encoder_outputs": self._pack(features)} if features else {}),
            past_key_values=cache,
            max_new_tokens=max_new_tokens,
            custom_generate=loop,
        )
        return batch, found

    def _batch(self, sequences: Sequence[tuple[list[int], list[int]]]) -> Batch:
        width = max(len(ids) for ids, _ in sequences)
        return Batch(
            torch.tensor([[self.pad_id] * (width - len(ids)) + ids for ids, _ in sequences]),
            torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in sequences]),
            torch.tensor([[0] * (width - len(places)) + places for _, places in sequences]),
        )

    @torch.inference_mode()
    def generate_stock(
        self, prompt_ids: list[int], images: Sequence[Image.Image], max_new_tokens: int, with_logits: bool = False
    ) -> Output:
        """The unmodified model on one prompt: pixels in, as its users call it. What keep-all must be equal to."""
        processed = [self.image_processor(images=[image], return_tensors="pt") for image in images]
        pixels = [self._pixels(p) for p in processed]
        counts = iter([rows * columns for rows, columns in map(self._grid, processed)])
        ids: list[int] = []
        for token in prompt_ids:
            ids += itertools.chain(*self._block(next(counts))) if token == self.image_token_id else [token]
        input_ids = torch.tensor([ids])
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        if self.token_type_key:
            inputs[self.token_type_key] = (input_ids == self.image_token_id).long()
        joined = {key: torch.cat([p[key] for p in pixels]) for key in self.pixel_keys} if pixels else {}
        generated = self.model.generate(
            **{key: value.to(self.device) for key, value in inputs.items()},
            **joined,
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            output_logits=with_logits,
        )
        new_ids: list[int] = generated.sequences[0, len(ids) :].tolist()
        end = next((i for i, token in enumerate(new_ids) if token in self.stop_ids), None)
        logits = torch.stack(generated.logits, dim=1)[0].float().cpu() if with_logits else None
        return Output(new_ids if end is None else new_ids[:end], end is None, logits)

    def answer(self, output: Output) -> str:
        """The text of an output as a person would read it."""
        return self.tokenizer.decode(self._visible(output.token_ids), skip_special_tokens=True).strip()

    @cached_property
    def context_length(self) -> int | None:
        """Tokens that prompt, images and answer may have together; None if the checkpoint names no limit."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def _check_length(self, length: int) -> None:
        limit = self.context_length
        if limit is not None and length > limit:
            raise PromptError(f"prompt and answer need {length} tokens, the model's context has {limit}")


def shortest_window(config: Any) -> int | None:
    """`Backend.sliding_window` of a checkpoint, by its configuration."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if kinds is not None and "sliding_attention" not in kinds:
        return None
    return getattr(text, "sliding_window", None)
