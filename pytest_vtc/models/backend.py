"""One vision-language model behind the few calls the engine makes; a family's file states only what differs.

Built on two public parts of transformers: `get_image_features`, which turns pixels into the vision tokens the language
model would get, and `mm_encoder_outputs`, which lets `generate` be handed such tokens, all of them or fewer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from pytest_vtc.cells import Positions
from pytest_vtc.compressed import Compressed
from pytest_vtc.models.clip_text import JointSpaces
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
from pytest_vtc.models.kv_cache import KVCache
from pytest_vtc.models.sequences import Position, Prefix, Row, VisionTokens, lay_out, text_positions
from pytest_vtc.models.text_side import PromptError, TextSide
from pytest_vtc.models.vision_side import VisionSide


class Backend(VisionSide, TextSide):
    """A loaded model with its tokenizer and image processor.

    A family is a subclass that states facts: the class variables here and in the two base classes, and the few methods
    there that begin with _.
    """

    model_type: ClassVar[str]
    token_type_key: ClassVar[str | None] = None
    """Name of the model input that marks image positions, if it has one."""
    default_positions: ClassVar[Positions] = "compact"
    """Compact, as the published methods have it; original where renumbering would throw the 2-D layout away."""
    mrope: ClassVar[bool] = False
    """Positions have three axes: time, height and width."""
    packs_tensor: ClassVar[bool] = False
    """`mm_encoder_outputs` takes the rows of all images as one tensor [1, M, D], not as a list of [M, D]."""

    def __init__(self, model: Any, tokenizer: Any, image_processor: Any) -> None:
        self.model, self.tokenizer, self.image_processor = model, tokenizer, image_processor
        self.device: torch.device = model.device
        self.dtype: torch.dtype = model.dtype
        stops = model.generation_config.eos_token_id
        stops = tokenizer.eos_token_id if stops is None else stops
        self.stop_ids: tuple[int, ...] = tuple(stops) if isinstance(stops, (list, tuple)) else (int(stops),)
        self.pad_id: int = self.stop_ids[0] if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self.overridden = make_greedy(model.generation_config, self.pad_id)
        unusable = (*self.stop_ids, tokenizer.unk_token_id)
        if more := [i for i in tokenizer.convert_tokens_to_ids([*self.stops]) if i not in unusable]:
            self.stop_ids += tuple(more)
            self.overridden["eos_token_id"] = stops
            model.generation_config.eos_token_id = [*self.stop_ids]
        self._exact_together = {}
        self._joint_spaces = JointSpaces(self.device)
        self._kv_cache: KVCache | None = None

    @classmethod
    def refuse(cls, config: Any) -> str | None:  # noqa: ARG003
        """Why a checkpoint of this model type cannot be run, if so."""
        return None

    def _pack(self, features: list[Tensor], deepstack: list[Tensor]) -> Any:  # noqa: ARG002  see Qwen3-VL
        """Rows of a whole batch, image by image, as `mm_encoder_outputs` takes them: a fresh object for every call."""
        rows: Any = torch.cat(features)[None] if self.packs_tensor else tuple(features)
        return {"image": BaseModelOutputWithPooling(pooler_output=rows)}

    # Sequences

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
        return lay_out(head, images, kept, positions, self.image_token_id, self.mrope)

    # Generation

    @cached_property
    def sliding_window(self) -> int | None:
        """Slots of the key-value cache that the shortest-sighted layer sees; None if all see all of them."""
        return shortest_window(self.model.config)

    def kv_bytes(self, n_tokens: int) -> int:
        """Bytes of keys and values that the language model holds of a prompt, before its answer.

        n_tokens: text and vision tokens of the prompt. It is counted alone: no padding, nothing shared with others.
        """
        if self._kv_cache is None:  # nothing has gone through the model yet
            self.prefill_lead([self.stop_ids[0]])
        assert self._kv_cache is not None
        return self._kv_cache.n_bytes(n_tokens)

    @torch.inference_mode()
    def prefill(self, prefixes: Sequence[Prefix], lead: Prefilled | None = None) -> Prefilled:
        """Keys and values of a left-padded batch of prefixes, for `generate` to go on from. lead: of all of them."""
        sequences = [(prefix.ids, prefix.positions) for prefix in prefixes]
        batch, cache = self._go_on(prefixes, sequences, lead, prefill_only, 1)
        return Prefilled(cache, batch, {id(prefix): i for i, prefix in enumerate(prefixes)})

    @torch.inference_mode()
    def prefill_lead(self, ids: list[int]) -> Prefilled:
        """Keys and values of the text that all prefixes begin with, before their first image."""
        prefix = Prefix(ids, text_positions(0, len(ids), self.mrope), (), len(ids), mrope=self.mrope)
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
        sequences: Sequence[tuple[list[int], Sequence[Position]]],
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
        new = [] if images_held else prefixes
        features = [of_image for prefix in new for of_image in prefix.features]
        deepstack = [of_image for prefix in new for of_image in prefix.deepstack]
        inputs = {"input_ids": batch.ids, "attention_mask": batch.mask, "position_ids": batch.positions}
        if self.token_type_key:
            inputs[self.token_type_key] = (batch.ids == self.image_token_id).long()
        # `generate` prepares masks, settings and processors as for the unmodified model; the loop is ours, and so is
        # the cache, one that rows can leave, whatever kind the checkpoint asks for.
        found = self.model.generate(
            **{key: value.to(self.device, non_blocking=True) for key, value in inputs.items()},
            **({"mm_encoder_outputs": self._pack(features, deepstack)} if features else {}),
            past_key_values=cache,
            max_new_tokens=max_new_tokens,
            custom_generate=loop,
        )
        if self._kv_cache is None:
            self._kv_cache = KVCache.of(cache)
        return batch, found

    def _batch(self, sequences: Sequence[tuple[list[int], Sequence[Position]]]) -> Batch:
        width = max(len(ids) for ids, _ in sequences)
        nowhere: Position = (0, 0, 0) if self.mrope else 0
        positions = torch.tensor([[nowhere] * (width - len(places)) + [*places] for _, places in sequences])
        return Batch(
            torch.tensor([[self.pad_id] * (width - len(ids)) + ids for ids, _ in sequences]),
            torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in sequences]),
            positions.permute(2, 0, 1) if self.mrope else positions,
        )

    @torch.inference_mode()
    def generate_stock(
        self, prompt_ids: list[int], images: Sequence[Image.Image], max_new_tokens: int, with_logits: bool = False
    ) -> Output:
        """The unmodified model on one prompt: pixels in, as its users call it. What keep-all must be equal to."""
        beside = self.shown_beside(len(images))
        tiles = iter([tile for image in images for tile in self.tiles(image, beside)])
        ids: list[int] = []
        for token in prompt_ids:
            ids += [token] * (next(tiles).n_rows if token == self.image_token_id else 1)
        input_ids = torch.tensor([ids])
        inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
        if self.token_type_key:
            inputs[self.token_type_key] = (input_ids == self.image_token_id).long()
        pixels = self._pixels(self._preprocess(images, beside)) if images else {}
        generated = self.model.generate(
            **{key: value.to(self.device) for key, value in inputs.items()},
            **pixels,
            max_new_tokens=max_new_tokens,
            return_dict_in_generate=True,
            output_logits=with_logits,
        )
        new_ids: list[int] = generated.sequences[0, len(ids) :].tolist()
        end = next((i for i, token in enumerate(new_ids) if token in self.stop_ids), None)
        logits = torch.stack(generated.logits, dim=1)[0].float().cpu() if with_logits else None
        return Output(new_ids if end is None else new_ids[:end], end is None, logits)

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
