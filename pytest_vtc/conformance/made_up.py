"""Made-up images: vision tokens with everything a compressor can ask for beside them, no model needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.compression import ClassToken, Compressor, EncoderAttention, EncoderReducer, Kept, Tower
from pytest_vtc.conformance.made_up_tower import run_made_up_tower
from pytest_vtc.models.inside import as_kept

_HEADS, _HEAD_WIDTH, _JOINT_WIDTH, _WORDS = 4, 8, 16, 5
_HIDDEN = _HEADS * _HEAD_WIDTH


@dataclass(frozen=True, eq=False)
class MadeUpImage:
    """One image of rows x columns vision tokens.

    features: [N, D] float32. has_cls: the encoder it pretends to come from has a class token. seed: of all the rest.
    """

    features: Tensor
    grid: tuple[int, int]
    has_cls: bool = True
    n_layers: int = 24
    seed: int = 0

    @classmethod
    def drawn(cls, rows: int, columns: int, width: int, seed: int = 0, has_cls: bool = True) -> MadeUpImage:
        """Normally distributed features."""
        return cls(_drawn(seed, rows * columns, width), (rows, columns), has_cls, seed=seed)

    @property
    def tower(self) -> Tower:
        return Tower(self.n_layers, self.has_cls)

    def context(self, compressor: Compressor) -> dict[str, Any]:
        """What `compressor` is given with the features on a model that has everything; without a class token nothing
        of one is there. Fresh objects at every call, equal ones."""
        named = compressor.needs | compressor.substitutes.keys()
        layers = compressor.encoder_layers(self.tower)
        context: dict[str, Any] = {
            "grid": self.grid,
            "tiles": (self.grid,),
            "positions": torch.cartesian_prod(*(torch.arange(side) for side in self.grid)),
            "generator": torch.Generator().manual_seed(self.seed),
            "layers": layers,
        }
        made: dict[str, Callable[[], Any]] = {
            "hidden": lambda: self._hidden.clone(),
            "attention": lambda: {layer: self._attention(layer) for layer in layers},
            "keys": lambda: {layer: self._keys(layer)[:, 1:].clone() for layer in layers},
            "project": lambda: self._project,
            "text": lambda: _drawn(self.seed + 1, _WORDS, self.features.shape[1]),
            "inside": lambda: self._inside,
            "joint": lambda: self._joint,
            "image": lambda: self._image,
            "encode": lambda: self._encode,
        }
        if self.has_cls:
            made["class_token"] = lambda: self._class_token(layers)
        return context | {name: make() for name, make in made.items() if name in named}

    @cached_property
    def _hidden(self) -> Tensor:
        """[N, C]: the features again, in another width, so that what repeats there repeats here."""
        return self.features @ _drawn(self.seed + 2, self.features.shape[1], _HIDDEN) / self.features.shape[1] ** 0.5

    def _keys(self, layer: int) -> Tensor:
        """[H, 1 + N, d], the class row first."""
        rows = torch.cat([_drawn(self.seed + 3, 1, _HIDDEN), self._hidden])
        mixed = torch.nn.functional.normalize(rows) @ _drawn(self.seed + 100 + layer % self.n_layers, _HIDDEN, _HIDDEN)
        return mixed.reshape(len(rows), _HEADS, _HEAD_WIDTH).transpose(0, 1)

    def _queries(self, layer: int) -> Tensor:
        return self._keys(layer).roll(1, dims=0)

    def _attention(self, layer: int) -> EncoderAttention:
        first = 0 if self.has_cls else 1
        queries, keys = self._queries(layer)[:, first:], self._keys(layer)[:, first:]
        weights = (queries @ keys.transpose(1, 2) / _HEAD_WIDTH**0.5).softmax(dim=-1)
        patches = slice(1 - first, None)
        return EncoderAttention(weights.mean(dim=1)[:, patches], weights[:, 0, patches] if self.has_cls else None)

    def _class_token(self, layers: Sequence[int]) -> ClassToken:
        return ClassToken(
            _drawn(self.seed + 3, 1, _HIDDEN),
            {layer: self._queries(layer)[:, :1].clone() for layer in layers},
            {layer: self._keys(layer)[:, :1].clone() for layer in layers},
        )

    def _project(self, rows: Tensor) -> Tensor:
        return rows @ _drawn(self.seed + 4, _HIDDEN, self.features.shape[1]) / _HIDDEN**0.5

    def _inside(self, reducer: EncoderReducer) -> Kept:
        """Rows of length 1 go in, so that no scale of the features is too much for the layers."""
        rows = torch.nn.functional.normalize(self._hidden)
        if self.has_cls:
            rows = torch.cat([torch.nn.functional.normalize(_drawn(self.seed + 3, 1, _HIDDEN)), rows])
        left = run_made_up_tower(
            rows,
            reducer,
            self.grid,
            has_cls=self.has_cls,
            n_layers=self.n_layers - int(self.has_cls),
            n_heads=_HEADS,
            seed=self.seed,
        )
        return as_kept(left, self._project(left.rows[int(self.has_cls) :]))

    def _joint(self, _checkpoint: str) -> tuple[Tensor, Tensor]:
        embeddings = self._hidden @ _drawn(self.seed + 5, _HIDDEN, _JOINT_WIDTH)
        return embeddings, _drawn(self.seed + 6, 2, _JOINT_WIDTH)

    @cached_property
    def _image(self) -> Image.Image:
        noise = _drawn(self.seed + 7, 3, *(8 * side for side in self.grid)).sigmoid()
        return Image.fromarray((noise * 255).byte().permute(1, 2, 0).contiguous().numpy())

    def _encode(self, rows: int, columns: int) -> Kept:
        return Kept(_drawn(self.seed + 8, rows * columns, self.features.shape[1]))


def _drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
