"""Random weights under which every parameter of a model matters to its logits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


@torch.no_grad()
def randomize(model: Any, never_answered: Iterable[int], seed: int = 0) -> None:
    """Draw all weights anew, at a scale that neither fades nor grows through the layers.

    The usual initialisation leaves projectors, layer scales and norms at zero or one. never_answered: token ids that
    the output layer gives a logit of zero, so that greedy decoding neither stops at once nor writes placeholders.
    """
    generator = torch.Generator().manual_seed(seed)
    tables = {id(module.weight): module for module in model.modules() if isinstance(module, nn.Embedding)}
    for tensor in _learned(model):
        noise = torch.randn(tensor.shape, generator=generator)
        if (table := tables.get(id(tensor))) is not None:
            # Gemma multiplies embeddings by sqrt(hidden size), which would drown what its layers add.
            tensor.copy_(noise / getattr(table, "embed_scale", 1.0))
        elif tensor.ndim > 3:
            tensor.copy_(noise / tensor[0].numel() ** 0.5)
        elif tensor.ndim > 1:
            tensor.copy_(noise / tensor.shape[-1] ** 0.5)
        else:
            # Biases begin at zero; norms and layer scales at what they must stay near.
            tensor.add_(0.1 * noise)
    for name, parameter in model.get_decoder().named_parameters():
        if name.endswith("q_proj.weight"):
            # Even attention would average the tokens of an image, and all images would look alike.
            parameter.mul_(3)
    model.get_output_embeddings().weight[list(never_answered)] = 0


def _learned(model: Any) -> Iterator[Tensor]:
    """Parameters, and the buffers that a checkpoint holds."""
    yield from model.parameters()
    saved = model.state_dict()
    yield from (buffer for name, buffer in model.named_buffers() if name in saved and buffer.isfinite().all())
