"""One vision-language model behind the few calls the engine makes; a family's file overrides only what differs.

Built on two public parts of transformers: `get_image_features`, which turns pixels into the vision tokens the language
model would get, and `mm_encoder_outputs`, which lets `generate` be handed such tokens, all of them or fewer.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from pytest_vtc.cells import Positions
from pytest_vtc.compression import Compressed, CompressionError


class PromptError(ValueError):
    """A prompt cannot be given to this model; the message says why."""


_GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": None,
    "top_k": None,
    "top_p": None,
    "min_new_tokens": None,
}


@dataclass(frozen=True)
class VisionTokens:
    """The vision side of one image.

    features: [N, D] in the model's dtype, raster order, as the language model gets them (after the projector).
    hidden: [N, C] before the projector. grid: rows, columns; rows * columns = N.
    """

    features: Tensor
    hidden: Tensor
    grid: tuple[int, int]

    def __len__(self) -> int:
        return self.features.shape[0]


@dataclass(frozen=True)
class Row:
    """One sequence for the language model.

    ids, positions: [L], placeholders already cut down to the kept tokens. features: [M, D] for each image in order.
    """

    ids: list[int]
    positions: list[int]
    features: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Output:
    """What the model generated for one row. token_ids: without end token. logits: [steps, V] if asked for."""

    token_ids: list[int]
    truncated: bool
    logits: Tensor | None = None


class Backend(ABC):
    """A loaded model with its tokenizer and image processor."""

    model_type: ClassVar[str]
    pixel_keys: ClassVar[tuple[str, ...]]
    """What of the image processor's output goes into `get_image_features`."""
    token_type_key: ClassVar[str | None] = None
    """Name of the model input that marks image positions, if it has one."""
    default_positions: ClassVar[Positions] = "compact"

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any) -> None:
        self.model, self.tokenizer, self.image_processor = model, tokenizer, image_processor
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        stops = model.generation_config.eos_token_id
        self.stop_ids: tuple[int, ...] = tuple(stops) if isinstance(stops, (list, tuple)) else (int(stops),)
        self.pad_id: int = tokenizer.pad_token_id
        self.overridden = _make_greedy(model.generation_config, self.pad_id)

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

    def _pack(self, features: list[Tensor]) -> Any:
        """Vision tokens of a whole batch, image by image, in the container `mm_encoder_outputs` takes."""
        return {"image": BaseModelOutputWithPooling(pooler_output=tuple(features))}  # type: ignore[arg-type]

    def _visible(self, token_ids: list[int]) -> list[int]:
        """Answer tokens without what the model says to itself; nothing to remove by default."""
        return token_ids

    @property
    def image_token_id(self) -> int:
        return int(self.model.config.image_token_id)

    # Vision side

    @torch.inference_mode()
    def encode(self, image: Image.Image) -> VisionTokens:
        """Processor, vision tower and projector for one RGB image. One image at a time: bit-identical in any batch."""
        return self._encode(self.image_processor(images=[image], return_tensors="pt"))

    @torch.inference_mode()
    def encode_resized(self, image: Image.Image, rows: int, columns: int) -> Tensor:
        """The image encoded afresh at the size that yields rows x columns tokens: [rows * columns, D] float32."""
        tokens = self._encode(self._process_resized(image, rows, columns))
        if tokens.grid != (rows, columns):
            raise CompressionError(f"asked the vision side for {rows} x {columns} tokens, got {tokens.grid}")
        return tokens.features.float()

    def _encode(self, processed: Any) -> VisionTokens:
        output = self.model.model.get_image_features(**self._pixels(processed), return_dict=True)
        features = torch.cat([item.reshape(-1, item.shape[-1]) for item in output.pooler_output])
        hidden = output.last_hidden_state
        return VisionTokens(features, hidden.reshape(-1, hidden.shape[-1]), self._grid(processed))

    def _pixels(self, processed: Any) -> dict[str, Tensor]:
        pixels = {key: processed[key].to(self.device) for key in self.pixel_keys}
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

    @torch.inference_mode()
    def text_embeddings(self, text: str) -> Tensor:
        """Input embeddings of the bare text: [T, D] float32."""
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"][0]
        return self.model.get_input_embeddings()(ids.to(self.device)).float()

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
        ids: list[int] = []
        place: list[int] = []
        features: list[Tensor] = []
        offset = 0  # of the next token in the uncompressed prompt
        remaining = iter(zip(images, kept, strict=True))
        for token in prompt_ids:
            if token != self.image_token_id:
                ids.append(token)
                place.append(offset)
                offset += 1
                continue
            tokens, compressed = next(remaining)
            rows = tokens.features if compressed is None else compressed.gather(tokens.features)
            before, placeholders, after = self._block(len(rows))
            start = offset + len(before)
            ids += before + placeholders + after
            place += [*range(offset, start), *self._source_positions(tokens, compressed, positions, start)]
            offset = start + len(tokens) + len(after)
            place += range(offset - len(after), offset)
            features.append(rows)
        if len(ids) != len(place):
            raise CompressionError(f"{len(ids)} tokens but {len(place)} positions")
        return Row(ids, place if positions == "original" else list(range(len(ids))), tuple(features))

    def _source_positions(
        self, tokens: VisionTokens, compressed: Compressed | None, positions: Positions, start: int
    ) -> list[int]:
        if compressed is None:
            return list(range(start, start + len(tokens)))
        if compressed.positions is not None:
            return [start + p for p in compressed.positions.tolist()]
        if positions == "original":
            raise CompressionError(
                "the compressor returned rows without positions, so they have no original ones; return "
                "Kept(features, positions) or run with compact positions"
            )
        return [start] * compressed.n_kept  # replaced by renumbering

    # Generation

    @torch.inference_mode()
    def generate(self, rows: Sequence[Row], max_new_tokens: int, with_logits: bool = False) -> list[Output]:
        """Greedy answers for a left-padded batch of rows of any lengths and any numbers of vision tokens."""
        width = max(len(row) for row in rows)
        self._check_length(width + max_new_tokens)
        ids = torch.full((len(rows), width), self.pad_id)
        mask = torch.zeros_like(ids)
        positions = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, width - len(row) :] = torch.tensor(row.ids)
            mask[i, width - len(row) :] = 1
            positions[i, width - len(row) :] = torch.tensor(row.positions)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        if self.token_type_key:
            inputs[self.token_type_key] = (ids == self.image_token_id).long()
        packed = self._pack([features for row in rows for features in row.features])
        return self._generate(inputs, max_new_tokens, with_logits, mm_encoder_outputs=packed)

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
        return self._generate(inputs, max_new_tokens, with_logits, **joined)[0]

    def _generate(
        self, inputs: dict[str, Tensor], max_new_tokens: int, with_logits: bool, **vision: Any
    ) -> list[Output]:
        inputs = {key: value.to(self.device) for key, value in inputs.items()}
        generated = self.model.generate(
            **inputs,
            **vision,
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            output_logits=with_logits,
        )
        new_ids = generated.sequences[:, inputs["input_ids"].shape[1] :].tolist()
        logits = torch.stack(generated.logits, dim=1).float().cpu() if with_logits else [None] * len(new_ids)
        outputs: list[Output] = []
        for ids, row_logits in zip(new_ids, logits, strict=True):
            end = next((i for i, token in enumerate(ids) if token in self.stop_ids), None)
            steps = None if row_logits is None else row_logits[: len(ids) if end is None else end + 1]
            outputs.append(Output(ids if end is None else ids[:end], end is None, steps))
        return outputs

    def answer(self, output: Output) -> str:
        """The text of an output as a person would read it."""
        return self.tokenizer.decode(self._visible(output.token_ids), skip_special_tokens=True).strip()

    def _check_length(self, length: int) -> None:
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if limit is not None and length > limit:
            raise PromptError(f"prompt and answer need {length} tokens, the model's context has {limit}")


def _make_greedy(config: Any, pad_id: int) -> dict[str, Any]:
    """Take out of a checkpoint's generation settings what would sample, search or hide an empty answer.

    generate() fills whatever a call leaves out from there. The rest stays: stock and compressed share it. Returns what
    was replaced.
    """
    replaced = {key: old for key in _GREEDY if (old := getattr(config, key, None)) not in (None, _GREEDY[key])}
    for key, value in _GREEDY.items():
        setattr(config, key, value)
    config.pad_token_id = pad_id
    return replaced
