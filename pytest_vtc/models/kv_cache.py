"""Bytes of keys and values that a language model keeps of a prompt: read off a real cache once, then multiplied out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import DynamicCache
from transformers.cache_utils import DYNAMIC_LAYER_TYPE_MAPPING, DynamicLayer, DynamicSlidingWindowLayer

# Not what is derived from them: such layers keep further states beside keys and values.
_COUNTED = {DynamicLayer, DynamicSlidingWindowLayer, DYNAMIC_LAYER_TYPE_MAPPING.get("dummy", DynamicLayer)}


@dataclass(frozen=True)
class KVCache:
    """What one token takes in the cache of a loaded model.

    token_bytes: tokens that a layer keeps at most (None: all) -> bytes of one token in all such layers together.
    Layers that use the keys and values of another hold none and are not in it.
    """

    token_bytes: Mapping[int | None, int]

    @classmethod
    def of(cls, cache: DynamicCache) -> KVCache:
        """Of a cache that a forward pass has filled, whatever the batch. Raises TypeError for layers of other kinds."""
        token_bytes: Counter[int | None] = Counter()
        layers: list[Any] = cache.layers
        for layer in layers:
            if type(layer) not in _COUNTED:
                raise TypeError(_uncounted(type(layer).__name__))
            if layer.keys is not None:
                states = (layer.keys, layer.values)  # [B, heads, tokens, width] each
                token_bytes[_most_tokens(layer)] += sum(s.shape[1] * s.shape[3] * s.element_size() for s in states)
        return cls(token_bytes)

    def n_bytes(self, n_tokens: int) -> int:
        """Of a prompt of so many tokens, alone and without padding, before the first token of its answer."""
        return sum(
            size * (n_tokens if most is None else min(n_tokens, most)) for most, size in self.token_bytes.items()
        )


def refuse_cache(config: Any) -> str | None:
    """Why the bytes that a model of this configuration keeps of a prompt cannot be counted, if so."""
    try:
        kinds = [type(layer) for layer in DynamicCache(config=config).layers]
    except KeyError as error:
        return _uncounted(f"layers of type {error}")
    return next((_uncounted(kind.__name__) for kind in kinds if kind not in _COUNTED), None)


def _most_tokens(layer: Any) -> int | None:
    """How many tokens a layer keeps at most; None if it keeps all."""
    if not layer.is_sliding:
        return None
    # Asked of transformers (it is one less than the window, as the next token is itself in sight), with states of no
    # width, which take no memory.
    empty = DynamicSlidingWindowLayer(sliding_window=layer.sliding_window)
    given = torch.empty(1, 1, layer.sliding_window + 1, 0)
    empty.update(given, given)
    assert empty.keys is not None
    kept = empty.keys.shape[-2]
    return kept if kept < given.shape[-2] else None


def _uncounted(what: str) -> str:
    return (
        f"its language model keeps states other than keys and values of tokens ({what}), so that the memory which a "
        "prompt takes is not known here"
    )
