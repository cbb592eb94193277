"""Greedy decoding of a batch whose rows leave it as they finish, from scratch or from keys and values already computed.

The loops are handed to `generate` as its `custom_generate`: so masks, generation settings and logits processors are
prepared exactly as for the unmodified model.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from pytest_vtc.models.sequences import Prefix

_GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": None,
    "top_k": None,
    "top_p": None,
    "min_new_tokens": None,
}


@dataclass(frozen=True)
class Output:
    """What the model generated for one row. token_ids: without end token. logits: [steps, V] if asked for."""

    token_ids: list[int]
    truncated: bool
    logits: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Left-padded rows. ids, mask: [B, L] long; mask is 1 where there is a token. positions: [B, L] or [3, B, L]."""

    ids: Tensor
    mask: Tensor
    positions: Tensor

    @property
    def width(self) -> int:
        return self.ids.shape[1]

    def rows(self, chosen: Tensor) -> Batch:
        return Batch(self.ids[chosen], self.mask[chosen], self.positions[..., chosen, :])

    def followed_by(self, other: Batch) -> Batch:
        return Batch(
            torch.cat([self.ids, other.ids], dim=1),
            torch.cat([self.mask, other.mask], dim=1),
            torch.cat([self.positions, other.positions], dim=-1),
        )


@dataclass(frozen=True)
class Prefilled:
    """Keys and values of what sequences begin with.

    places: id of the prefix -> the row that holds it. None: there is one row, and all of it begins every prefix.
    """

    cache: DynamicCache
    batch: Batch
    places: dict[int, int] | None

    def beginning_of(self, prefix: Prefix) -> tuple[int, int]:
        """The row that a prefix goes on from, and how many of its tokens are there."""
        return (0, self.batch.width) if self.places is None else (self.places[id(prefix)], len(prefix))


def select_rows(cache: DynamicCache, chosen: Tensor) -> DynamicCache:
    """A cache of its own with the rows `chosen` [B], any number of times each; `cache` is left as it is."""
    selected = copy.copy(cache)
    selected.layers = [copy.copy(layer) for layer in cache.layers]
    _keep_rows(selected, chosen)
    return selected


def _keep_rows(cache: DynamicCache, chosen: Tensor) -> None:
    layers: list[Any] = cache.layers
    for layer in layers:
        # A model may be spread over several devices; a layer that uses the keys of another has none of its own.
        layer.batch_select_indices(chosen if layer.keys is None else chosen.to(layer.keys.device))


def prefill_only(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,  # noqa: ARG001  what `generate` hands to any loop
    stopping_criteria: Any,  # noqa: ARG001
    generation_config: Any,  # noqa: ARG001
    **kwargs: Any,
) -> DynamicCache:
    """A decoding loop of no step: the cache after the prompt."""
    cache = kwargs.pop("past_key_values")
    _forward(model, input_ids, cache, kwargs)
    return cache


class GreedyLoop:
    """The decoding loop: the likeliest token until a row's end token or its limit; finished rows leave the batch."""

    def __init__(self, stop_ids: tuple[int, ...], max_new_tokens: int, with_logits: bool) -> None:
        self.stop_ids, self.max_new_tokens, self.with_logits = frozenset(stop_ids), max_new_tokens, with_logits

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,  # noqa: ARG002  ours: a row's own end and limit
        generation_config: Any,  # noqa: ARG002
        **kwargs: Any,
    ) -> list[Output]:
        # Not an argument of its own: `generate` takes such for the loop's private ones.
        cache: DynamicCache = kwargs.pop("past_key_values")
        n_rows = input_ids.shape[0]
        produced: list[list[int]] = [[] for _ in range(n_rows)]
        logits_of: list[list[Tensor]] = [[] for _ in range(n_rows)]
        present = list(range(n_rows))  # the row at each place of the batch
        logits = _forward(model, input_ids, cache, kwargs)
        while True:
            mask = kwargs.get("attention_mask")
            processed = (
                _process(logits_processor, input_ids, mask, logits, present, n_rows) if logits_processor else logits
            )
            tokens = processed.argmax(dim=-1)
            staying: list[int] = []
            for place, token in enumerate(tokens.tolist()):
                row = present[place]
                produced[row].append(token)
                if self.with_logits:
                    logits_of[row].append(logits[place].cpu())
                if token not in self.stop_ids and len(produced[row]) < self.max_new_tokens:
                    staying.append(place)
            if not staying:
                break
            input_ids = torch.cat([input_ids, tokens[:, None]], dim=1)
            kwargs["position_ids"] = kwargs["position_ids"][..., -1:] + 1
            if mask is not None:
                kwargs["attention_mask"] = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            if len(staying) < len(present):
                chosen = torch.tensor(staying, device=input_ids.device)
                _keep_rows(cache, chosen)
                input_ids = input_ids[chosen]
                kwargs["position_ids"] = kwargs["position_ids"][..., chosen, :]
                if kwargs.get("attention_mask") is not None:
                    kwargs["attention_mask"] = kwargs["attention_mask"][chosen]
                present = [present[place] for place in staying]
            logits = _forward(model, input_ids, cache, kwargs, first=False)
        return [self._output(*row) for row in zip(produced, logits_of, strict=True)]

    def _output(self, token_ids: list[int], logits: list[Tensor]) -> Output:
        ended = token_ids[-1] in self.stop_ids
        steps = torch.stack(logits) if self.with_logits else None
        return Output(token_ids[:-1] if ended else token_ids, not ended, steps)


class LetterLoop:
    """A decoding loop of no step: which of a row's option letters the model would most likely say next.

    letters: token ids [ways to write it] of each letter, A first; n_options: letters that each row offers. A letter's
    probability is the sum over its ways to be written, before any logits processor.
    """

    def __init__(self, letters: Sequence[Sequence[int]], n_options: Sequence[int]) -> None:
        self.letters, self.n_options = letters, n_options

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: Any,  # noqa: ARG002  what `generate` hands to any loop
        stopping_criteria: Any,  # noqa: ARG002
        generation_config: Any,  # noqa: ARG002
        **kwargs: Any,
    ) -> list[Output]:
        logits = _forward(model, input_ids, kwargs.pop("past_key_values"), kwargs).log_softmax(dim=-1)
        of_letter = torch.stack([logits[:, list(ways)].logsumexp(dim=-1) for ways in self.letters], dim=1).cpu()
        best = [int(row[:n].argmax()) for row, n in zip(of_letter, self.n_options, strict=True)]
        return [Output([self.letters[letter][0]], False) for letter in best]


def _forward(model: Any, input_ids: Tensor, cache: DynamicCache, kwargs: dict[str, Any], first: bool = True) -> Tensor:
    """Logits [B, V] float32 of each row's next token. Computes the ids that the cache does not hold yet."""
    inputs = model.prepare_inputs_for_generation(
        input_ids,
        next_sequence_length=input_ids.shape[1] - cache.get_seq_length(),
        past_key_values=cache,
        is_first_iteration=first,
        **kwargs,
    )
    # A copy: a view would keep the logits of the whole prompt alive where the model gives them all.
    return model(**inputs, return_dict=True).logits[:, -1].to(torch.float32, copy=True)


def _process(
    logits_processor: Any, input_ids: Tensor, mask: Tensor | None, logits: Tensor, present: list[int], n_rows: int
) -> Tensor:
    """What the checkpoint's logits processors make of the logits of the rows that are `present`, of `n_rows` at first.

    They keep things about each row of the batch they were made for, so they are shown as many: others in the places of
    those that have left. Padding between a prefix and what follows would pass for text that an answer must not repeat:
    the first token of the row stands there instead.
    """
    if mask is not None:
        first = input_ids.gather(1, mask.argmax(dim=1, keepdim=True))
        input_ids = torch.where(mask.bool(), input_ids, first)
    if len(present) == n_rows:
        return logits_processor(input_ids, logits)
    place_of = torch.zeros(n_rows, dtype=torch.long)
    place_of[present] = torch.arange(len(present))
    place_of = place_of.to(input_ids.device)
    return logits_processor(input_ids[place_of], logits[place_of])[present]


def make_greedy(config: Any, pad_id: int) -> dict[str, Any]:
    """Take out of a checkpoint's generation settings what would sample, search or hide an empty answer.

    generate() fills whatever a call leaves out from there. The rest stays: stock and compressed share it. Returns what
    was replaced.
    """
    replaced = {key: old for key in _GREEDY if (old := getattr(config, key, None)) not in (None, _GREEDY[key])}
    for key, value in _GREEDY.items():
        setattr(config, key, value)
    config.pad_token_id = pad_id
    return replaced
