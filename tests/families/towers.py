"""What tells of a backend are checked against: the inputs of the stock model, and the tower looked at directly."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.models.backend import Backend


def given_to_stock(backend: Backend, text: str, images: Sequence[Image.Image]) -> dict[str, Any]:
    """What `generate_stock` gives `model.generate` for a prompt of these images."""
    prompt = backend.prompt_ids(text, [backend.tiles(image) for image in images])
    nothing = SimpleNamespace(sequences=torch.zeros(1, 0), logits=())
    with mock.patch.object(backend.model, "generate", return_value=nothing) as generate:
        backend.generate_stock(prompt, images, 1)
    return generate.call_args.kwargs


def tower(backend: Backend) -> Any:
    assert backend.encoder is not None
    return backend.model.model.get_submodule(backend.encoder.tower)


@torch.inference_mode()
def tokens_moved_by(backend: Backend, image: Image.Image, row: int) -> list[int]:
    """Vision tokens that change if row `row` of the tower's output does, class rows not counted."""
    assert backend.encoder is not None
    n_classes = int(backend.encoder.has_cls)

    def change(_module: Any, _inputs: Any, output: Any) -> None:
        n_rows = output.last_hidden_state.shape[1] - n_classes
        output.last_hidden_state[row // n_rows, n_classes + row % n_rows] += 1

    before = backend.encode(image).features
    handle = tower(backend).register_forward_hook(change)
    try:
        after = backend.encode(image).features
    finally:
        handle.remove()
    return (before != after).any(dim=-1).nonzero()[:, 0].tolist()


@torch.inference_mode()
def eager_layer(backend: Backend, pixels: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """Attention [tiles, H, P, P] of a layer that is computed eagerly, and what goes into it [tiles, P, C]."""
    of_tower = tower(backend)
    before = of_tower.config._attn_implementation
    of_tower.set_attn_implementation("eager")
    try:
        output = of_tower(pixel_values=pixels, output_attentions=True, output_hidden_states=True)
    finally:
        of_tower.set_attn_implementation(before)
    n_layers = len(output.attentions)
    return output.attentions[layer], output.hidden_states[layer % n_layers]


def by_token(rows: Tensor, n_tokens_per_side: int, side: int) -> Tensor:
    """Mean over the side x side patches of each token: [H, tiles, P] or [H, tiles, P, d] to [H, N] or [H, N, d]."""
    n, rest = n_tokens_per_side, rows.shape[3:]
    blocks = rows.reshape(*rows.shape[:2], n, side, n, side, *rest)
    return blocks.mean(dim=(3, 5)).reshape(rows.shape[0], -1, *rest)


def heads(rows: Tensor, n_heads: int) -> Tensor:
    """[tiles, P, C] to [H, tiles, P, d]."""
    return rows.unflatten(-1, (n_heads, -1)).permute(2, 0, 1, 3)
