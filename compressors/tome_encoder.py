"""ToMe inside the vision encoder: a few of the most similar tokens are merged in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from pytest_vtc.compression import (
    Compressor,
    EncoderReducer,
    EncoderStep,
    Kept,
    Merge,
    Stage,
    bipartite_matching,
    merge_weighted,
)


@dataclass(frozen=True)
class ToMeEncoder(Compressor):
    """Token Merging (Bolya et al., ICLR 2023, arXiv 2210.09461), where it was published: between attention and MLP.

    In each layer, tokens of even index are paired with the most similar one of odd index (cosine of the layer's keys,
    mean over heads), and the r most similar pairs become one token, the mean weighted by how many patches each stands
    for (section 3). A token of s patches is attended to as s equal ones: log(s) is added to its attention scores.

    r: tokens that are merged away in each layer until the budget is reached; None: the smallest number that reaches it
        in the layer that the features are taken from. Either way the last steps merge as many as are left to merge.

    The sources differ:

    - The budget. Paper and authors' code (github.com/facebookresearch/ToMe) merge r tokens a layer and take what comes
      out. Here exactly n tokens come out: merging ends when n is reached, and what a given r leaves over is merged in
      the last layer, in several rounds if need be, as where an encoder has too few layers to halve its tokens often
      enough.
    - Zero rows. The authors' code divides by the norm, which makes them NaN; here their similarity is 0.
    - The order. The authors' code leaves even tokens before odd ones. So it is between the layers here, since it
      decides who is paired with whom; the language model gets the tokens in raster order of where they come from.
    - The encoder. The paper's are classifiers that are read at their end; here it is the tower of a vision-language
      model, up to the layer whose output is projected. Its class token is neither merged nor kept.
    """

    name: ClassVar[str] = "tome_encoder"
    description: ClassVar[str] = "merges the most similar tokens in every layer of the encoder"
    reference: ClassVar[str] = "ToMe, ICLR 2023, arXiv 2210.09461"
    year: ClassVar[int] = 2023
    stage: ClassVar[Stage] = "encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"inside"})

    r: int | None = None

    def __post_init__(self) -> None:
        if self.r is not None and self.r < 1:
            raise ValueError(f"r is {self.r}; at least 1 token has to be merged in a layer")

    def compress(self, features: Tensor, n_target: int, *, inside: Any, **_ctx: Any) -> Kept:  # noqa: ARG002
        kept: Kept = inside(_Merging(n_target, self.r))
        assert kept.positions is not None
        order = kept.positions.argsort()
        return Kept(kept.features[order], kept.positions[order])


class _Merging(EncoderReducer):
    proportional: ClassVar[bool] = True

    def __init__(self, n_target: int, r: int | None) -> None:
        self._n_target, self._r = n_target, r
        self._steps: list[int] = []

    def after_attention(self, step: EncoderStep) -> Merge | None:
        if step.layer == 0:
            self._steps = steps(step.n_tokens, self._n_target, step.n_layers, self._r)
        if (n := self._steps[step.layer]) == 0:
            return None
        return matched(step.keys.mean(dim=0), step.sizes, n, step.has_cls)


def steps(n_tokens: int, n_target: int, n_layers: int, r: int | None = None) -> list[int]:
    """How many tokens each layer merges away, so that `n_target` of `n_tokens` are left after `n_layers`.

    r in each, or as many as can be paired; None: the smallest r that is enough, or the largest if none is. What is left
    over is added to the last layer.
    """
    surplus = n_tokens - n_target
    if r is None:
        r = max(1, -(-surplus // n_layers))
        if sum(_constant(n_tokens, surplus, n_layers, surplus)) < surplus:
            r = max(1, surplus)
        while sum(_constant(n_tokens, surplus, n_layers, r)) < surplus and r < surplus:
            r += 1
    found = _constant(n_tokens, surplus, n_layers, r)
    found[-1] += surplus - sum(found)
    return found


def _constant(n_tokens: int, surplus: int, n_layers: int, r: int) -> list[int]:
    """r tokens in each layer until the surplus is gone, or half of them (a class token has no partner)."""
    found: list[int] = []
    for _ in range(n_layers):
        found.append(min(r, n_tokens // 2, surplus))
        n_tokens, surplus = n_tokens - found[-1], surplus - found[-1]
    return found


def matched(metric: Tensor, sizes: Tensor, n: int, has_cls: bool) -> Merge:
    """`n` rows fewer, in as many rounds of matching as that takes; between two, the metric is merged like the rows.

    metric: [P, d]. sizes: [P], the patches each row stands for.
    """
    merge = Merge.nothing(len(metric), metric.device)
    while (left := n - (len(merge.group) - merge.n_rows)) > 0:
        merge = merge.then(bipartite_matching(merge_weighted(metric, sizes, merge)[0], left, class_token=has_cls))
    return merge
