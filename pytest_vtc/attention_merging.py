"""PruMerge's way to merge: tokens that the class token attends to take in those of similar keys, by attention.

Re-exported by `pytest_vtc.compression`, where compressor files take it from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pytest_vtc.token_merging import all_but
from pytest_vtc.token_similarity import unit_rows

if TYPE_CHECKING:
    from pytest_vtc.compression import ClassToken, EncoderAttention


@dataclass(frozen=True, eq=False)
class WeightedSums:
    """Rows made of N tokens. weights: [M, N] float32. positions: [M] long, the token each row stands in place of."""

    weights: Tensor
    positions: Tensor

    def rows(self, features: Tensor, hidden: Tensor, project: Callable[[Tensor], Tensor] | None) -> Tensor:
        """[M, D], of `hidden` [N, C] and then projected, or, where rows cannot be, of `features` [N, D]."""
        return self.weights @ features if project is None else project(self.weights @ hidden)


def beside_each_other(heads: Tensor) -> Tensor:
    """Queries or keys of H heads, [H, N, d], as the projection made them, before it was split: [N, H * d]."""
    return heads.transpose(0, 1).flatten(1)


def attention_of_class_token(query: Tensor, own_key: Tensor, keys: Tensor) -> Tensor:
    """What the class token gives to each token if all heads are one: [N] float32; with its own share they sum to 1.

    query, own_key: [H, 1, d], those of the class token. keys: [H, N, d]. No rotation is in them.
    """
    # In float64 no product of keys is out of range.
    every = beside_each_other(torch.cat([own_key, keys], dim=1)).double()
    logits = every @ beside_each_other(query).double()[0]
    return (logits / every.shape[1] ** 0.5).softmax(dim=0)[1:].float()


def attention_given(attention: EncoderAttention, keys: Tensor, class_token: ClassToken | None, layer: int) -> Tensor:
    """What each token is given by the one class token of its grid, all heads as one, in a layer: [N] float32.

    Without a class token, or where a grid has several, the saliency that the encoder computed, mean over heads.
    """
    if class_token is None or len(class_token.hidden) > 1:
        return attention.saliency.mean(dim=0)
    return attention_of_class_token(class_token.queries[layer], class_token.keys[layer], keys)


def n_outliers(values: Tensor) -> int:
    """How many of `values` [N] lie more than 1.5 interquartile ranges above the third quartile.

    Quartiles are interpolated linearly. Reads one number back from the device.
    """
    exact = values.double()
    first, third = exact.quantile(0.25), exact.quantile(0.75)
    return int((exact > third + 1.5 * (third - first)).sum())


def absorb_nearest(keys: Tensor, chosen: Tensor, attention: Tensor, n_nearest: int) -> WeightedSums:
    """One row for each chosen token, and one for all the others.

    The row of a chosen token is itself plus the sum of its `n_nearest` most similar tokens (of all others, chosen ones
    too; fewer if there are fewer), each times its attention; the last row is the sum of all tokens that are not chosen,
    each times its attention. It stands in place of the one among them with the most attention.

    Args:
        keys: [H, N, d]; similar are tokens whose keys have a large cosine, all heads beside each other. The lowest
            index wins a tie.
        chosen: [M] long, distinct, M < N.
        attention: [N], finite, not negative.
        n_nearest: at least 1.

    Returns:
        M + 1 rows, those of `chosen` in its order.

    Source: Shang et al., LLaVA-PruMerge, section 3.3; 42Shawn/LLaVA-PruMerge, multimodal_encoder/clip_encoder.py.
    """
    unit = unit_rows(beside_each_other(keys))
    n_tokens, n_chosen = len(unit), len(chosen)
    others = all_but(chosen, n_tokens)
    weights = torch.zeros(n_chosen + 1, n_tokens, device=keys.device)
    weights[-1, others] = attention[others]
    if n_chosen:
        similarity = unit[chosen] @ unit.T
        similarity.scatter_(1, chosen[:, None], -torch.inf)
        weights[:-1] = nearest(similarity, min(n_nearest, n_tokens - 1)) * attention
        weights[:-1].scatter_(1, chosen[:, None], 1.0)
    foremost = others[attention[others].argmax()]
    return WeightedSums(weights, torch.cat([chosen, foremost[None]]))


def nearest(similarity: Tensor, k: int) -> Tensor:
    """The k largest of each row of `similarity` [M, N], 1 <= k <= N, the lowest index first on ties: [M, N] bool."""
    least = similarity.topk(k, dim=1).values[:, -1:]
    above, at = similarity > least, similarity == least
    return above | (at & (at.cumsum(dim=1) <= k - above.sum(dim=1, keepdim=True)))
