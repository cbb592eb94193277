"""Made-up images: vision tokens with everything a compressor can ask for beside them, no model needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, cast

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

    features: [N, D]. has_cls: the encoder it pretends to come from has a class token. seed: of all the rest.
    tiles: the grid of each tile that the encoder has seen by itself; none: the image is one. With several, `grid` is
        the smallest that holds them one below the other.
    without: parts that the model it pretends to come from lacks.
    """

    features: Tensor
    grid: tuple[int, int]
    has_cls: bool = True
    n_layers: int = 24
    seed: int = 0
    tiles: tuple[tuple[int, int], ...] = ()
    without: frozenset[str] = frozenset()

    @classmethod
    def drawn(cls, rows: int, columns: int, width: int, seed: int = 0, has_cls: bool = True) -> MadeUpImage:
        """Normally distributed features."""
        return cls(_drawn(seed, rows * columns, width), (rows, columns), has_cls, seed=seed)

    @classmethod
    def tiled(cls, tiles: Sequence[tuple[int, int]], width: int, seed: int = 0) -> MadeUpImage:
        """An image of several tiles with normally distributed features."""
        n_tokens = sum(rows * columns for rows, columns in tiles)
        grid = sum(rows for rows, _ in tiles), max(columns for _, columns in tiles)
        return cls(_drawn(seed, n_tokens, width), grid, seed=seed, tiles=tuple(tiles))

    def apart(self) -> list[MadeUpImage]:
        """Each tile as an image of its own, as compressors with `tiles = "apart"` are given it."""
        return [
            replace(self, features=self.features[tokens], grid=tile, tiles=(), seed=self.seed + i)
            for i, (tile, tokens) in enumerate(zip(self._tiles, self._tokens, strict=True))
        ]

    def to(self, device: torch.device) -> MadeUpImage:
        """The same image with its features, and so with all its context, on another device."""
        return replace(self, features=self.features.to(device))

    @property
    def _tiles(self) -> tuple[tuple[int, int], ...]:
        return self.tiles or (self.grid,)

    @property
    def _tokens(self) -> list[slice]:
        """Which tokens are those of each tile."""
        ends = [*accumulate(rows * columns for rows, columns in self._tiles)]
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    @property
    def tower(self) -> Tower:
        return Tower(self.n_layers, self.has_cls)

    def context(self, compressor: Compressor) -> dict[str, Any]:
        """What `compressor` is given with the features on a model that has everything but what it is `without`.

        Without a class token nothing of one is there. Fresh objects at every call, equal ones.
        """
        named = (compressor.needs | compressor.substitutes.keys()) - self.without
        context: dict[str, Any] = {
            "grid": self.grid,
            "tiles": self._tiles,
            "positions": self._positions(),
            "generator": torch.Generator().manual_seed(self.seed),
        }
        layers: tuple[int, ...] = ()
        if named & {"attention", "keys", "class_token"}:
            context["layers"] = layers = compressor.encoder_layers(self.tower)
        made: dict[str, Callable[[], Any]] = {
            "hidden": lambda: self._hidden.clone(),
            "attention": lambda: {layer: self._attention(layer) for layer in layers},
            "keys": lambda: {layer: self._keys(layer)[:, len(self._tiles) :].clone() for layer in layers},
            "project": lambda: self._project,
            "text": lambda: _drawn(self.seed + 1, _WORDS, self.features.shape[1]),
            "inside": lambda: self._inside,
            "joint": lambda: self._joint,
            "image": lambda: self._image.copy(),
            "encode": lambda: self._encode,
        }
        if self.has_cls:
            made["class_token"] = lambda: self._class_token(layers)
        context |= {name: make() for name, make in made.items() if name in named}
        return {name: _on(self.features.device, value) for name, value in context.items()}

    def _positions(self) -> Tensor:
        """[N, 2]: row and column of every token, the tiles one below the other."""
        tops = accumulate((rows for rows, _ in self._tiles), initial=0)
        return torch.cat(
            [
                torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).reshape(-1, 2) + torch.tensor([top, 0])
                for top, (rows, columns) in zip(tops, self._tiles, strict=False)
            ]
        )

    @cached_property
    def _hidden(self) -> Tensor:
        """[N, C]: the features again, in another width, so that what repeats there repeats here."""
        features = self.features.float().cpu()
        return features @ _drawn(self.seed + 2, features.shape[1], _HIDDEN) / features.shape[1] ** 0.5

    @property
    def _class_rows(self) -> Tensor:
        """[T, C], one for each tile."""
        return _drawn(self.seed + 3, len(self._tiles), _HIDDEN)

    def _keys(self, layer: int) -> Tensor:
        """[H, T + N, d], the class rows first."""
        rows = torch.cat([self._class_rows, self._hidden])
        mixed = torch.nn.functional.normalize(rows) @ _drawn(self.seed + 100 + layer % self.n_layers, _HIDDEN, _HIDDEN)
        return mixed.reshape(len(rows), _HEADS, _HEAD_WIDTH).transpose(0, 1)

    def _queries(self, layer: int) -> Tensor:
        return self._keys(layer).roll(1, dims=0)

    def _attention(self, layer: int) -> EncoderAttention:
        queries, keys = self._queries(layer), self._keys(layer)
        received: list[Tensor] = []
        of_cls: list[Tensor] = []
        for tile, tokens in enumerate(self._tokens):
            own = [tile] if self.has_cls else []
            rows = [*own, *range(len(self._tiles) + tokens.start, len(self._tiles) + tokens.stop)]
            weights = (queries[:, rows] @ keys[:, rows].transpose(1, 2) / _HEAD_WIDTH**0.5).softmax(dim=-1)
            received.append(weights.mean(dim=1)[:, len(own) :])
            of_cls.append(weights[:, 0, len(own) :])
        return EncoderAttention(torch.cat(received, dim=1), torch.cat(of_cls, dim=1) if self.has_cls else None)

    def _class_token(self, layers: Sequence[int]) -> ClassToken:
        first = slice(len(self._tiles))
        return ClassToken(
            self._class_rows,
            {layer: self._queries(layer)[:, first].clone() for layer in layers},
            {layer: self._keys(layer)[:, first].clone() for layer in layers},
        )

    def _project(self, rows: Tensor) -> Tensor:
        return rows @ _drawn(self.seed + 4, _HIDDEN, self.features.shape[1]).to(rows.device) / _HIDDEN**0.5

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
        return as_kept(left, _on(self.features.device, self._project(left.rows[int(self.has_cls) :])))

    def _joint(self, _checkpoint: str) -> tuple[Tensor, Tensor]:
        embeddings = self._hidden @ _drawn(self.seed + 5, _HIDDEN, _JOINT_WIDTH)
        return _on(self.features.device, embeddings), _on(self.features.device, _drawn(self.seed + 6, 2, _JOINT_WIDTH))

    @cached_property
    def _image(self) -> Image.Image:
        noise = _drawn(self.seed + 7, 3, *(8 * side for side in self.grid)).sigmoid()
        return Image.fromarray((noise * 255).byte().permute(1, 2, 0).contiguous().numpy())

    def _encode(self, rows: int, columns: int) -> Kept:
        return Kept(_on(self.features.device, _drawn(self.seed + 8, rows * columns, self.features.shape[1])))


def _on(device: torch.device, value: Any) -> Any:
    """A part of a context with its tensors on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, EncoderAttention):
        return EncoderAttention(_on(device, value.received), _on(device, value.cls))
    if isinstance(value, ClassToken):
        return ClassToken(_on(device, value.hidden), _on(device, value.queries), _on(device, value.keys))
    if isinstance(value, dict):
        return {name: _on(device, of_name) for name, of_name in cast(dict[Any, Any], value).items()}
    return value


def _drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
