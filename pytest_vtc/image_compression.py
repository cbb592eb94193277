"""Runs compressors on the encoded images of a window, with what each of them needs; tile by tile where that is due."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar, cast

import torch
from PIL import Image
from torch import Tensor

from pytest_vtc.cells import CaseFailed
from pytest_vtc.compressed import Compressed, run_compressor, run_selection
from pytest_vtc.compression import (
    CONTEXT_NAMES,
    SUBSTITUTED_NAMES,
    ClassToken,
    CompressionError,
    Compressor,
    EncoderAttention,
    EncoderReducer,
    Kept,
    Ranking,
    Selection,
)
from pytest_vtc.datasets.base import DatasetError, ImageSource
from pytest_vtc.models.backend import Backend, PromptError
from pytest_vtc.models.class_tokens import joined
from pytest_vtc.models.probe import ProbeError
from pytest_vtc.models.sequences import Tile, VisionTokens
from pytest_vtc.models.vision_side import Wants

Made = TypeVar("Made")


OF_LAYERS = frozenset({"attention", "keys", "class_token"})
"""What of a context is of the layers that the compressor names."""


@dataclass(frozen=True)
class EncodedImage:
    """One image in a window. image: None if no compressor of the window looks at pixels."""

    source: ImageSource
    image: Image.Image | None
    tokens: VisionTokens


@dataclass(frozen=True)
class _Part:
    """What a compressor is given at once: all tokens of an image, or those of one tile. budgets: how many to keep."""

    compressor: Compressor
    encoded: EncodedImage
    prompt: str
    tile: int | None
    budgets: set[int] = field(default_factory=set[int])
    found: dict[int, Compressed | CaseFailed] = field(default_factory=dict[int, Any])

    @property
    def tiles(self) -> Sequence[Tile]:
        tiles = self.encoded.tokens.tiles
        return tiles if self.tile is None else tiles[self.tile : self.tile + 1]

    def of(self, rows: Tensor, dim: int = 0) -> Tensor:
        """The part of what there is of every token of the image, along `dim`."""
        if self.tile is None:
            return rows
        start = sum(tile.n_tokens for tile in self.encoded.tokens.tiles[: self.tile])
        return rows.narrow(dim, start, self.tiles[0].n_tokens)

    @property
    def features(self) -> Tensor:
        return self.of(self.encoded.tokens.features)

    @property
    def class_token(self) -> ClassToken:
        of_tiles = self.encoded.tokens.class_tokens
        return joined(of_tiles) if self.tile is None else of_tiles[self.tile]


class ImageCompression:
    """The compressed images of one window: `want` all that is needed, `run`, then ask for what was `found`."""

    def __init__(self, backend: Backend, seed: int) -> None:
        self._backend, self._seed = backend, seed
        self._parts: dict[Any, list[_Part]] = {}
        self._whole: dict[tuple[Any, int], Compressed | CaseFailed] = {}

    def want(self, key: Any, compressor: Compressor, encoded: EncodedImage, prompt: str, n_target: int) -> None:
        """key: equal for equal image, compressor and, if it reads the text, question."""
        if key not in self._parts:
            apart = compressor.tiles == "apart" and len(encoded.tokens.tiles) > 1
            tiles = range(len(encoded.tokens.tiles)) if apart else (None,)
            self._parts[key] = [_Part(compressor, encoded, prompt, tile) for tile in tiles]
        for part, n in zip(self._parts[key], self._shares(key, n_target), strict=True):
            if n:
                part.budgets.add(n)

    def found(self, key: Any, n_target: int) -> Compressed | CaseFailed:
        """The image with `n_target` tokens, or why it cannot be had. The same object at every call."""
        if (key, n_target) not in self._whole:
            parts = self._parts[key]
            compressed = [
                (part, part.found[n]) for part, n in zip(parts, self._shares(key, n_target), strict=True) if n
            ]
            self._whole[key, n_target] = compressed[0][1] if len(parts) == 1 else _joined(compressed)
        return self._whole[key, n_target]

    def _shares(self, key: Any, n_target: int) -> list[int]:
        parts = self._parts[key]
        if len(parts) == 1:
            return [n_target]
        return shares(n_target, [part.tiles[0].n_tokens for part in parts])

    def run(self) -> None:
        together: dict[tuple[str, int, int | None], list[_Part]] = {}
        for part in (part for parts in self._parts.values() for part in parts if part.budgets):
            if not isinstance(part.compressor, Selection):
                self._compress(part)
                continue
            # A ranking is read for all budgets at once.
            budgets = (None,) if isinstance(part.compressor, Ranking) else sorted(part.budgets)
            for n_target in budgets:
                together.setdefault((part.compressor.spec, len(part.features), n_target), []).append(part)
        for (_, _, n_target), parts in together.items():
            self._select(parts, n_target)

    def _select(self, parts: Sequence[_Part], n_target: int | None) -> None:
        """One selection from many images of one size: of `n_target` tokens, or, by a ranking, for all their budgets."""
        compressor = parts[0].compressor
        assert isinstance(compressor, Selection)
        try:
            found = run_selection(
                compressor,
                [part.features for part in parts],
                [part.budgets if n_target is None else {n_target} for part in parts],
                [_own(self._context(part), part.features.device) for part in parts],
            )
        except Exception:  # noqa: BLE001  One by one it shows which image is at fault, and why.
            found = None
        if found is None:
            for part in parts:
                self._compress(part)
            return
        for part, by_budget in zip(parts, found, strict=True):
            part.found.update(by_budget)

    def _compress(self, part: _Part) -> None:
        context = or_failed(lambda: self._context(part), f"{part.compressor.spec} cannot be given what it needs")
        for n_target in sorted(part.budgets):
            if isinstance(context, CaseFailed):
                part.found[n_target] = context
                continue
            part.found[n_target] = or_failed(
                lambda n_target=n_target, context=context: run_compressor(
                    part.compressor,
                    part.features,
                    n_target,
                    # A generator from which no other budget has drawn.
                    _own(context, part.features.device) | {"generator": self._generator(part)},
                ),
                f"{part.compressor.spec} failed",
            )

    def _context(self, part: _Part) -> dict[str, Any]:
        _check(part.compressor, self._backend)
        encoded, tokens, tiles = part.encoded, part.encoded.tokens, part.tiles
        context: dict[str, Any] = {
            "grid": (sum(tile.rows for tile in tiles), max(tile.columns for tile in tiles)),
            "positions": _raster(tuple((tile.rows, tile.columns) for tile in tiles)),
            "tiles": tuple((tile.rows, tile.columns) for tile in tiles),
            "generator": self._generator(part),
        }
        costly: dict[str, Callable[[], Any]] = {
            "hidden": lambda: _there(part.of, tokens.hidden).float(),
            "text": lambda: self._backend.text_embeddings(part.prompt),
            "image": lambda: encoded.image,
            "encode": lambda: self._encoder(encoded.image),
            "attention": lambda: {layer: _attention(part, of) for layer, of in tokens.attention.items()},
            "keys": lambda: {layer: part.of(keys, dim=1) for layer, keys in tokens.keys.items()},
            "class_token": lambda: part.class_token,
            "project": lambda: self._backend.project,
            "inside": lambda: self._within(encoded.image),
            "joint": lambda: self._joint(part),
        }
        used = uses(part.compressor, self._backend)
        if used & OF_LAYERS:
            context["layers"] = part.compressor.encoder_layers(self._backend.tower)
        return context | {name: costly[name]() for name in used}

    def _generator(self, part: _Part) -> torch.Generator:
        of_tile = "" if part.tile is None else f":{part.tile}"
        digest = hashlib.sha256(f"{self._seed}:{part.encoded.source.fingerprint()}{of_tile}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))

    def _encoder(self, image: Image.Image | None) -> Callable[[int, int], Kept]:
        assert image is not None
        return lambda rows, columns: self._backend.encode_resized(image, rows, columns)

    def _within(self, image: Image.Image | None) -> Callable[[EncoderReducer], Kept]:
        assert image is not None
        return lambda reducer: self._backend.encode_inside(image, reducer)

    def _joint(self, part: _Part) -> Callable[[str], tuple[Tensor, Tensor]]:
        hidden = _there(part.of, part.encoded.tokens.hidden)
        return lambda checkpoint: self._backend.joint(checkpoint, hidden, part.prompt)


def _check(compressor: Compressor, backend: Backend) -> None:
    """Raise if the loaded model cannot give a compressor what it needs, down to the layers it names."""
    check_supported(compressor, backend)
    if uses(compressor, backend) & OF_LAYERS:
        try:
            backend.check_layers(compressor.encoder_layers(backend.tower))
        except ProbeError as error:
            raise CompressionError(f"{compressor.spec}: {error}") from error


def _there(of: Callable[[Tensor], Tensor], rows: Tensor | None) -> Tensor:
    assert rows is not None  # asked for with the image, see `wants`
    return of(rows)


def _own(value: Any, device: torch.device) -> Any:
    """A context, or what is in one, with copies of its tensors: a compressor may write into what it is given.

    device: of its features. A tower and its projector may be on different ones.
    """
    if isinstance(value, Tensor):
        return value.to(device, copy=True)
    if isinstance(value, EncoderAttention):
        return EncoderAttention(_own(value.received, device), _own(value.cls, device))
    if isinstance(value, ClassToken):
        return ClassToken(*(_own(part, device) for part in (value.hidden, value.queries, value.keys)))
    if isinstance(value, dict):
        return {name: _own(of_name, device) for name, of_name in cast(dict[Any, Any], value).items()}
    return value


def _attention(part: _Part, attention: EncoderAttention) -> EncoderAttention:
    return EncoderAttention(
        part.of(attention.received, dim=1), None if attention.cls is None else part.of(attention.cls, dim=1)
    )


def shares(n_target: int, sizes: Sequence[int]) -> list[int]:
    """`n_target` split in proportion to `sizes`: rounded down, what is left goes to the largest remainders."""
    exact = [n_target * size / sum(sizes) for size in sizes]
    found = [int(share + 1e-9) for share in exact]
    order = sorted(range(len(sizes)), key=lambda i: (found[i] - exact[i], i))
    for i in order[: n_target - sum(found)]:
        found[i] += 1
    return found


def _joined(parts: Sequence[tuple[_Part, Compressed | CaseFailed]]) -> Compressed | CaseFailed:
    """One image of what was found for its tiles; tiles that have no share of the budget are not among them."""
    found: list[Compressed] = []
    starts: list[int] = []
    for part, compressed in parts:
        if isinstance(compressed, CaseFailed):
            return compressed
        assert part.tile is not None
        found.append(compressed)
        starts.append(sum(tile.n_tokens for tile in part.encoded.tokens.tiles[: part.tile]))
    if all(of_tile.indices is not None for of_tile in found):
        indices = torch.cat([_shifted(tile.indices, start) for tile, start in zip(found, starts, strict=True)])
        return Compressed(indices, None, indices)
    if any(of_tile.rows is None or of_tile.positions is None for of_tile in found):
        compressor = parts[0][0].compressor
        return CaseFailed(
            f"{compressor.spec} works tile by tile (tiles = 'apart') and returned rows without positions, or indices "
            "for one tile and rows for another; return Kept(features, positions)"
        )
    n_tokens = [part.tiles[0].n_tokens for part, _ in parts]

    def merge(rows: Tensor) -> Tensor:
        return torch.cat(
            [
                rows[start : start + n][of_tile.positions]
                if of_tile.merge is None
                else of_tile.merge(rows[start : start + n])
                for of_tile, start, n in zip(found, starts, n_tokens, strict=True)
            ]
        )

    return Compressed(
        None,
        torch.cat([of_tile.rows for of_tile in found if of_tile.rows is not None]),
        torch.cat([_shifted(of_tile.positions, start) for of_tile, start in zip(found, starts, strict=True)]),
        merge,
    )


def _shifted(indices: Tensor | None, start: int) -> Tensor:
    assert indices is not None
    return indices + start


def or_failed(make: Callable[[], Made], what: str) -> Made | CaseFailed:
    """What `make` gives, or why it cannot: an error of one image or prompt is not to take a window with it."""
    try:
        return make()
    except (CompressionError, PromptError, DatasetError) as error:
        return CaseFailed.because(error)
    except Exception as error:  # noqa: BLE001  Tokenizers, models and memory fail in many ways.
        return CaseFailed.because(error, what)


def wants(compressors: Iterable[Compressor], backend: Backend) -> Wants:
    """What has to be looked at while an image is encoded, for those of these compressors that the model can serve.

    The others fail their own cases: looked for here, what is not there would fail every case on the image.
    """
    layers: dict[str, set[int]] = {name: set() for name in OF_LAYERS}
    hidden = class_token = False
    for compressor in compressors:
        if isinstance(or_failed(lambda compressor=compressor: _check(compressor, backend), "its needs"), CaseFailed):
            continue
        used = uses(compressor, backend)
        hidden = hidden or bool(used & {"hidden", "joint"})
        class_token = class_token or "class_token" in used
        for name in layers.keys() & used:
            layers[name] |= {*compressor.encoder_layers(backend.tower)}
    of_class = frozenset(layers["class_token"]) if class_token else None
    return Wants(hidden, frozenset(layers["attention"]), frozenset(layers["keys"]), of_class)


def uses(compressor: Compressor, backend: Backend) -> frozenset[str]:
    """The costly parts of its context that a compressor is given on a loaded model."""
    can_do_without = compressor.substitutes.keys() & CONTEXT_NAMES
    return compressor.needs | (can_do_without - backend.lacking.keys())


def reads_text(compressor: Compressor) -> bool:
    """Whether what it keeps of an image may depend on the question."""
    return bool((compressor.needs | compressor.substitutes.keys()) & {"text", "joint"})


def substituted(compressor: Compressor, backend: Backend) -> dict[str, str]:
    """What a compressor does instead of what its paper does, for want of parts that a loaded model lacks: by part."""
    return substitutes_for(compressor, backend.lacking)


def substitutes_for(compressor: Compressor, lacking: Mapping[str, str]) -> dict[str, str]:
    """The same without a loaded model. lacking: `Backend.lacked_by` of its configuration."""
    return {name: instead for name, instead in compressor.substitutes.items() if name in lacking}


def unsupported(compressor: Compressor, lacks: Mapping[str, str]) -> str | None:
    """Why a family cannot give a compressor what it needs; None if it can. lacks: by part."""
    return "; ".join(dict.fromkeys(lacks[name] for name in sorted(compressor.needs & lacks.keys()))) or None


def check_supported(compressor: Compressor, model: Backend | type[Backend] | None = None) -> None:
    """Raise CompressionError if a compressor cannot be run, or cannot by this model or family, by what it declares."""
    if compressor.stage == "llm":
        raise CompressionError(f"{compressor.spec} acts at stage 'llm'; only 'encoder' and 'pre_llm' can be run")
    if unknown := compressor.needs - CONTEXT_NAMES:
        raise CompressionError(f"{compressor.spec} needs {sorted(unknown)}; there is {sorted(CONTEXT_NAMES)}")
    if unknown := compressor.substitutes.keys() - SUBSTITUTED_NAMES:
        raise CompressionError(
            f"{compressor.spec} has substitutes for {sorted(unknown)}; there is {sorted(SUBSTITUTED_NAMES)}"
        )
    if model is None:
        return
    lacks = model.lacked_by_all() if isinstance(model, type) else model.lacking
    if (reason := unsupported(compressor, lacks)) is not None:
        raise CompressionError(f"{compressor.spec} cannot be run on this model: {reason}")


@lru_cache(maxsize=64)
def _raster(grids: tuple[tuple[int, int], ...]) -> Tensor:
    """Row and column of every token, the grids one below the other: [N, 2] long."""
    placed: list[Tensor] = []
    below = 0
    for rows, columns in grids:
        placed.append(torch.cartesian_prod(torch.arange(below, below + rows), torch.arange(columns)))
        below += rows
    return torch.cat(placed)
