"""Class tokens: the rows of an encoder that stand for a whole image or crop, and that most models then leave out."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from pytest_vtc.compression import ClassToken
from pytest_vtc.models.probe import Probe


@contextmanager
def class_states(layers: nn.ModuleList, n_run: int) -> Generator[list[Tensor]]:
    """[T, C] of each call of the encoder inside the context: row 0 of its inputs as `n_run` layers leave them.

    The first layer's input is what none of them leave.
    """
    found: list[Tensor] = []

    def keep(rows: Tensor) -> None:
        found.append(rows[:, 0].clone())  # a view would hold all rows

    def given(_layer: Any, args: tuple[Any, ...]) -> None:
        keep(args[0])

    def gave(_layer: Any, _args: Any, output: Any) -> None:
        keep(output[0] if isinstance(output, tuple) else output)

    if n_run < len(layers):
        handle = layers[n_run].register_forward_pre_hook(given)
    else:
        handle = layers[-1].register_forward_hook(gave)
    try:
        yield found
    finally:
        handle.remove()


def class_tokens(
    states: Tensor, seen: Probe, layers: Collection[int], tiles_of_inputs: Sequence[Sequence[int]]
) -> list[tuple[ClassToken, ...]]:
    """Of each image those of its tiles.

    Args:
        states: [T, C], of all inputs of the encoder, image after image.
        seen: a probe that has watched the class rows of `layers`.
        tiles_of_inputs: of each image, for each of its inputs the tile it is in, -1 for none.
    """
    rows = {layer: seen.class_rows(layer) for layer in layers}
    found: list[tuple[ClassToken, ...]] = []
    start = 0
    for tiles in tiles_of_inputs:
        of_tiles: list[ClassToken] = []
        for tile in range(max(tiles) + 1):
            inputs = torch.tensor([start + i for i, of_input in enumerate(tiles) if of_input == tile])
            of_tiles.append(
                ClassToken(
                    states[inputs.to(states.device)].float(),
                    {layer: queries[:, inputs.to(queries.device)] for layer, (queries, _) in rows.items()},
                    {layer: keys[:, inputs.to(keys.device)] for layer, (_, keys) in rows.items()},
                )
            )
        found.append(tuple(of_tiles))
        start += len(tiles)
    return found


def joined(tokens: Sequence[ClassToken]) -> ClassToken:
    """Those of several tiles, one after another."""
    return ClassToken(
        torch.cat([of_tile.hidden for of_tile in tokens]),
        {layer: torch.cat([of_tile.queries[layer] for of_tile in tokens], dim=1) for layer in tokens[0].queries},
        {layer: torch.cat([of_tile.keys[layer] for of_tile in tokens], dim=1) for layer in tokens[0].keys},
    )
