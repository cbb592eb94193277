"""FlowCut: prune step by step inside the vision encoder, by what the class token attends to and resembles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from pytest_vtc.compression import Compressor, EncoderReducer, EncoderStep, Kept, Stage


@dataclass(frozen=True)
class FlowCut(Compressor):
    """FlowCut (Tong et al., NeurIPS 2025, arXiv 2505.19536): cuts tokens after every other layer of the encoder.

    A layer scores a token by what the class token pays it, plus what it pays it by likeness of their values (softmax of
    v_cls . v, not scaled), each summing to 1 over the tokens, times the L1 norm of the token's value. Half of the score
    is the running one of the layers before. The less evenly the class token looks around (entropy H of its attention),
    and the fewer layers are left (l), the more is cut: (m - n) / sqrt(l) * (1 - (H / ln m)^2) of m tokens, and in the
    last layer but one before the features all that are too many. Tokens stay in raster order.

    The sources differ:

    - Scaling. The authors' code (github.com/TungChintao/FlowCut) does not divide v_cls . v by sqrt(d); nor is it here.
    - Where it acts. The authors' code knows the 24 layers of CLIP ViT-L, of which the last is not used. Here layers are
      counted back from the one that the features are taken from, which is the same there.
    - Several images. The authors' code cuts all images of a batch by the largest cut among them; here each has its own.
    - Attention of exactly 0 makes the authors' entropy NaN; here it adds nothing to it. Scores that sum to 0 stay 0.
    - No class token. As in the authors' Qwen2-VL code the mean query takes its place and the likeness term falls away.
      That code prunes patches before they are merged by four, which scatters them; families whose tokens are made of
      several patches are not served here.
    - LLaVA-NeXT. The authors cut twice there, the second time within the language model; that is not done here.
    """

    name: ClassVar[str] = "flowcut"
    description: ClassVar[str] = (
        "cuts tokens inside the encoder, layer by layer, by information flow to the class token"
    )
    reference: ClassVar[str] = "FlowCut, NeurIPS 2025, arXiv 2505.19536"
    year: ClassVar[int] = 2025
    stage: ClassVar[Stage] = "encoder"
    needs: ClassVar[frozenset[str]] = frozenset({"inside"})
    substitutes: ClassVar[Mapping[str, str]] = {
        "cls": "a row whose query is the mean of all queries stands in for the class token, and the likeness of values "
        "to its own is left out"
    }

    def compress(self, features: Tensor, n_target: int, *, inside: Any, **_ctx: Any) -> Kept:  # noqa: ARG002
        return inside(Flow(n_target))


class Flow(EncoderReducer):
    """One image on its way through the encoder, down to `n_target` tokens."""

    def __init__(self, n_target: int) -> None:
        self._n_target = n_target
        self._running: Tensor | None = None

    def after_block(self, step: EncoderStep) -> Tensor | None:
        if step.n_tokens <= self._n_target:
            return None
        values = step.values.mean(dim=0)
        if step.has_cls:
            attention = step.cls_attention[:, 1:].mean(dim=0)
            likeness = (step.values @ step.values[:, 0, :, None])[..., 0].softmax(dim=-1).mean(dim=0)[1:]
            values = values[1:]
        else:
            attention = step.attention_of(step.queries.mean(dim=1)).mean(dim=0)
            likeness = None
        kept = self.cut(step.n_layers - 2 - step.layer, attention, likeness, values)
        if kept is None or not step.has_cls:
            return kept
        return torch.cat([kept.new_zeros(1), kept + 1])

    def cut(self, n_left: int, attention: Tensor, likeness: Tensor | None, values: Tensor) -> Tensor | None:
        """The tokens that stay after a layer, ascending indices; None: all.

        Args:
            n_left: layers before the one at which exactly the budget has to be left; 0 there.
            attention, likeness: [m], what the class token pays to the tokens, mean over heads, and by likeness.
            values: [m, d], mean over heads.
        """
        n_tokens = len(attention)
        if n_tokens <= self._n_target:
            return None
        paid = _shares(attention) if likeness is None else _shares(attention) + _shares(likeness)
        score = paid * values.abs().sum(dim=1)
        self._running = score if self._running is None else 0.5 * self._running + 0.5 * score
        if n_left % 2 and n_left > 0:
            return None
        n_cut = n_tokens if n_left <= 0 else adaptive_cut(attention, n_left, self._n_target)
        n_kept = max(n_tokens - n_cut, self._n_target)
        kept = self._running.argsort(descending=True, stable=True)[:n_kept].sort().values
        self._running = self._running[kept]
        return kept


def adaptive_cut(attention: Tensor, n_left: int, n_target: int) -> int:
    """How many of m tokens to cut; the authors' `adaptive_prune_ratio`, rounded half to even.

    attention: [m], m > 1, of the class token. n_left: layers that are left, at least 1. n_target: tokens to arrive at.
    """
    n_tokens = len(attention)
    entropy = torch.special.entr(_shares(attention)).sum()
    evenness = entropy / torch.tensor(float(n_tokens), device=attention.device).log()
    return int(((n_tokens - n_target) / n_left**0.5 * (1 - evenness**2)).round())


def _shares(weights: Tensor) -> Tensor:
    """Divided by their sum; zeros stay zeros."""
    total = weights.sum()
    return weights / torch.where(total == 0, 1.0, total)
