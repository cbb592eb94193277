"""What a compressor is, how its result is checked, and the budget it gets. The one module a compressor file imports.

A compressor turns the vision tokens of one image, [N, D], into at most `n_target` of them: a subset (selection) or new
rows (merging). Everything else (batching, prompts, positions, dtype) is the engine's business.
"""

from __future__ import annotations

import dataclasses
import math
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor

from pytest_vtc.greedy_selection import cosine_distances as cosine_distances
from pytest_vtc.greedy_selection import farthest_first as farthest_first
from pytest_vtc.greedy_selection import nearest_neighbour_distances as nearest_neighbour_distances
from pytest_vtc.greedy_selection import norms as norms

Stage = Literal["encoder", "pre_llm", "llm"]

CONTEXT_NAMES = frozenset({"hidden", "attention", "keys", "text", "image", "encode"})
"""What a compressor may name in `needs`; see `Compressor.compress` for shapes."""

# What the images of one call of `rank` may take; see `run_ranking`. On the CPU, larger blocks come fresh from the
# system each time, and that costs more than sharing a loop saves.
_CPU_BYTES, _DEVICE_BYTES = 32 * 2**20, 256 * 2**20


Tiles = Literal["together", "apart"]


class CompressionError(ValueError):
    """A compressor broke its contract; the message names the compressor and what it returned."""


@dataclass(frozen=True)
class Kept:
    """The rows a compressor hands back, with where they come from.

    features: [M, D], the rows for the language model, in the order they are to be read.
    positions: [M] long, the raster index of the source token of each row (of a cluster: its centre), or None where a
        row has no place of its own; such rows can only be given renumbered (compact) positions.
    merge: does to any other rows [N, E] of the same tokens what was done to the features, giving [M, E]. A model that
        adds rows to its vision tokens in deeper layers (Qwen3-VL) needs it; without it, it gets those of `positions`.
    """

    features: Tensor
    positions: Tensor | None = None
    merge: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True, eq=False)
class EncoderAttention:
    """Attention in one layer of the vision encoder, per head and vision token; of several patches in a token the mean.

    An image that the encoder sees in crops is as many images to it: no row of one looks at a row of another.

    received: [H, N] float32, what a token gets, mean over all rows of its image or crop (a class row included).
    cls: [H, N] float32, what the class row of its image or crop gives it; None where there is none.
    """

    received: Tensor
    cls: Tensor | None = None


class Compressor(ABC):
    """Base class of all algorithms. Subclass it in a file of its own, as a dataclass if it has parameters.

    name: how it is asked for; lower case letters, digits and underscores.
    description: one line for `list`.
    reference: paper (venue, arXiv id) or source.
    stage: where it acts; `pre_llm` sees the projected tokens.
    needs: the costly parts of the context it reads; only what is named here is computed.
    exact: True if it always keeps exactly `n_target` tokens, False if at most that many (grids, say).
    tiles: `together` is given all tokens of an image at once; `apart` works on one grid, and where a model cuts images
        into tiles it is given tile by tile, each with its share of the budget.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    reference: ClassVar[str] = ""
    stage: ClassVar[Stage] = "pre_llm"
    needs: ClassVar[frozenset[str]] = frozenset()
    exact: ClassVar[bool] = True
    tiles: ClassVar[Tiles] = "together"

    @property
    def encoder_layers(self) -> tuple[int, ...]:
        """Layers of the vision encoder whose `attention` and `keys` it needs; negative ones count from the last."""
        return (-2,)

    @abstractmethod
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor | Kept:
        """Keep or merge the vision tokens of one image.

        Args:
            features: [N, D] float32, the image's vision tokens in raster order (left to right, top to bottom), tile
                after tile. Rows that only end a line (LLaVA-NeXT's newlines) are not among them: such a row stays if
                every token of its line does, and if no larger share of these rows is left than of the tokens.
            n_target: how many to keep, 1 <= n_target <= N.
            **ctx: always `grid` (rows, columns), `positions` [N, 2] long (row, column), `tiles` (the grid of each
                tile; with several, `grid` is the smallest that holds them one below the other, and `positions` lie in
                it) and `generator` (torch.Generator on the CPU, seeded by run seed and image: the only allowed source
                of randomness). If named in `needs`: `hidden` [N, C] before the projector (of several patches in a
                token the mean, or side by side where the projector takes them so); `text` [T, D] embeddings of the
                question; `image` (PIL, RGB); `encode` (callable: (rows, columns) -> Kept without positions, features
                [rows * columns, D] float32: the image resized so that it yields that grid of tokens, and encoded
                afresh); `attention` and `keys`, mappings from each of `encoder_layers` to EncoderAttention, and to
                [H, N, d] float32, the keys of its heads before any rotation. Tensors are copies: they may be written
                into.

        Returns:
            A long tensor [n_target] of distinct indices into `features` (selection; any order, the engine sorts it),
            a `Kept` (merging), or the rows themselves, [n_target, D], used in the order given. Rows that say no
            positions cannot be run at original positions, the default of models with three axes of them (Qwen-VL), nor
            tile by tile.
        """

    @cached_property
    def spec(self) -> str:
        """Name and every parameter that differs from its default, as one writes it: `divprune_hybrid(alpha=0.3)`."""
        changed = {
            field.name: getattr(self, field.name)
            for field in _fields(self)
            if getattr(self, field.name) != field.default
        }
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in changed.items())})" if changed else self.name

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value, defaults included."""
        return {field.name: getattr(self, field.name) for field in _fields(self)}


class Ranking(Compressor):
    """A compressor that chooses the first n tokens of one order, whatever n is: greedy, by score, a random permutation.

    The engine ranks many images at once and takes every smaller budget from the beginning of the largest one. A method
    whose choice among n tokens is not the beginning of its choice among more is a plain `Compressor`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.compress is not Ranking.compress:
            raise TypeError(f"{cls.__name__} is a Ranking: define `rank`, not `compress`, or derive from Compressor")

    @abstractmethod
    def rank(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        """Order the vision tokens of several images, the best first.

        What one image gets must not depend on the images beside it, nor the beginning of an order on `n_target`, not
        even where rounding decides: `rank(features, n)[:, :m]` is `rank(features, m)` for m <= n, and
        `rank(features, n)[i : i + 1]` is `rank(features[i : i + 1], n)`. Matrix products and sums over channels of a
        whole batch round differently from those of one image; compute them image by image.

        Args:
            features: [B, N, D] float32, the tokens of B images of N tokens each, in raster order.
            n_target: how many tokens to order, 1 <= n_target <= N.
            **ctx: the names of `Compressor.compress`, each a list of B values, one per image.

        Returns:
            [B, n_target] long, on any device: for each image distinct indices, in the order of choice.
        """

    @final
    def compress(self, features: Tensor, n_target: int, **ctx: Any) -> Tensor:
        """The batch of one image: [n_target] long, in the order of choice."""
        return self.rank(features[None], n_target, **{name: [value] for name, value in ctx.items()})[0]


def _fields(compressor: Compressor) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(compressor) if dataclasses.is_dataclass(compressor) else ()


def budget(n_tokens: int, ratio: float) -> int:
    """Tokens a ratio leaves of `n_tokens`: rounded down, so that never more is kept than asked, and at least one."""
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio {ratio} is outside (0, 1]")
    # The small term undoes binary rounding: 0.29 * 100 is 28.999999999999996.
    return max(1, math.floor(n_tokens * ratio + 1e-9))


def largest_grid(rows: int, columns: int, n_target: int) -> tuple[int, int]:
    """The largest grid of at most `n_target` tokens that keeps the shape of `rows` x `columns`.

    Each side is the ideal side (both scaled by sqrt(n_target / tokens)) rounded up or down; of the grids that fit, the
    one with the most tokens wins, then the least distorted, then the wider.
    """
    if n_target < 1:
        raise ValueError(f"a grid of at most {n_target} tokens is empty")
    scale = min(1.0, math.sqrt(n_target / (rows * columns)))
    if rows * scale < 1:
        return 1, min(columns, n_target)
    if columns * scale < 1:
        return min(rows, n_target), 1
    # Guard against 8 * sqrt(16 / 64) coming out as 3.9999999.
    tall, wide = rows * scale + 1e-9, columns * scale + 1e-9
    candidates = [
        (r, c)
        for r in (math.floor(tall), min(rows, math.ceil(tall - 2e-9)))
        for c in (math.floor(wide), min(columns, math.ceil(wide - 2e-9)))
        if r * c <= n_target
    ]

    def preference(grid: tuple[int, int]) -> tuple[int, float, int]:
        r, c = grid
        sides = (r * columns, c * rows)  # equal where the shape is kept exactly
        return r * c, -max(sides) / min(sides), c

    return max(candidates, key=preference)


@dataclass(frozen=True)
class Compressed:
    """A checked result. Exactly one of `indices` (selection) and `rows` (merging) is set.

    indices: [M] long, ascending, distinct.
    rows: [M, D] float32.
    positions: [M] long raster positions of the rows, or None where unknown; for a selection the indices themselves.
    merge: as in `Kept`.
    """

    indices: Tensor | None
    rows: Tensor | None
    positions: Tensor | None
    merge: Callable[[Tensor], Tensor] | None = None

    @property
    def n_kept(self) -> int:
        kept = self.indices if self.indices is not None else self.rows
        assert kept is not None
        return kept.shape[0]

    def gather(self, features: Tensor) -> Tensor:
        """The kept rows [M, D] in the dtype and on the device of `features` [N, D], the original tokens."""
        if self.indices is not None:
            return features[self.indices.to(features.device)]
        assert self.rows is not None
        return self.rows.to(device=features.device, dtype=features.dtype)


def run_compressor(compressor: Compressor, features: Tensor, n_target: int, ctx: Mapping[str, Any]) -> Compressed:
    """Call `compressor` on features [N, D] (any float dtype) and check what comes back.

    Raises:
        CompressionError: the compressor raised, or broke its contract.
    """
    if isinstance(compressor, Ranking):
        return run_ranking(compressor, [features], [[n_target]], [ctx])[0][n_target]
    n_tokens, width = features.shape
    try:
        with torch.no_grad():
            result = compressor.compress(features.to(torch.float32, copy=True), n_target, **ctx)
    except Exception as error:
        raise _raised(compressor, error, f"features [{n_tokens}, {width}], n_target {n_target}") from error

    rule = "exactly" if compressor.exact else "at most"
    broken = _refusal(compressor, f"{rule} {n_target} of {n_tokens} tokens of width {width}")
    rows, positions = (result.features, result.positions) if isinstance(result, Kept) else (result, None)
    if not isinstance(rows, Tensor):
        raise broken(f"returned {type(rows).__name__}, not a tensor of indices, a Kept or a tensor of rows")
    if rows.ndim == 0:
        raise broken("returned a single number")
    selects = rows.ndim == 1 and not isinstance(result, Kept)
    if selects and (rows.is_floating_point() or rows.dtype == torch.bool):
        # Before the count: a mask of all tokens has a wrong count too, but that is not what is wrong with it.
        raise broken(f"returned indices of dtype {rows.dtype}")
    if (count := rows.shape[0]) != n_target and (compressor.exact or not 0 < count <= n_target):
        raise broken(f"returned {count} tokens")
    if selects:
        return _selection(_ascending(rows[None], n_tokens, broken)[0])
    if rows.ndim != 2 or rows.shape[1] != width:
        raise broken(f"returned rows of shape {list(rows.shape)}")
    if not rows.is_floating_point():
        raise broken(f"returned rows of dtype {rows.dtype}")
    if not torch.isfinite(rows).all():
        raise broken("returned rows with NaN or infinity")
    if positions is not None:
        if not isinstance(positions, Tensor):
            raise broken(f"returned positions as {type(positions).__name__}, not as a tensor")
        if positions.shape != (count,) or positions.is_floating_point() or positions.dtype == torch.bool:
            raise broken(f"returned positions of shape {list(positions.shape)} and dtype {positions.dtype}")
        if not 0 <= int(positions.min()) <= int(positions.max()) < n_tokens:
            raise broken(f"returned a position outside 0..{n_tokens - 1}")
        positions = positions.long().cpu()
    merge = result.merge if isinstance(result, Kept) else None
    return Compressed(indices=None, rows=rows.float(), positions=positions, merge=merge)


def run_ranking(
    compressor: Ranking,
    features: Sequence[Tensor],
    n_targets: Sequence[Collection[int]],
    contexts: Sequence[Mapping[str, Any]],
) -> list[dict[int, Compressed]]:
    """Call `compressor` once for many images of one token count, and check what comes back.

    All images are ranked to the largest budget of any; smaller ones are the beginnings of that. The images go to
    `rank` together as long as their tokens and distances, N * (D + N) float32 numbers an image, fit into 256 MiB (on
    the CPU 32), at least one at a time, and in several calls beyond; the orders come to the CPU in one transfer.

    Args:
        features: of each image [N, D], any float dtype, on one device.
        n_targets: of each image the budgets wanted, each 1 <= n_target <= N; there may be none.
        contexts: of each image what `Compressor.compress` is given; all have the same names.

    Returns:
        For each image what `run_compressor` gives, by budget.

    Raises:
        CompressionError: the compressor raised, or broke its contract, on any of the images.
    """
    if not any(n_targets):
        return [{} for _ in n_targets]
    n_target = max(max(budgets) for budgets in n_targets if budgets)
    n_tokens, width = features[0].shape
    n_bytes = _CPU_BYTES if features[0].device.type == "cpu" else _DEVICE_BYTES
    per_call = max(1, n_bytes // (4 * n_tokens * (n_tokens + width)))
    calls = [slice(start, start + per_call) for start in range(0, len(features), per_call)]
    asked = f"exactly {n_target} of {n_tokens} tokens of width {width}"
    broken = _refusal(compressor, asked if len(features) == 1 else f"{asked} in each of {len(features)} images")
    ranked = [_rank(compressor, features[call], n_target, contexts[call], broken) for call in calls]
    orders = torch.cat(ranked).cpu()
    ascending = {n_target: _ascending(orders, n_tokens, broken)}
    for n in set().union(*n_targets) - {n_target}:
        ascending[n] = orders[:, :n].sort(dim=1).values
    return [{n: _selection(ascending[n][i]) for n in budgets} for i, budgets in enumerate(n_targets)]


def _rank(
    compressor: Ranking,
    features: Sequence[Tensor],
    n_target: int,
    contexts: Sequence[Mapping[str, Any]],
    broken: Callable[[str], CompressionError],
) -> Tensor:
    """One call of `rank` for B images: what it returned, of the right shape, as long, still where it was."""
    context = {name: [of_image[name] for of_image in contexts] for name in contexts[0]}
    # Stacking copies: the compressor may write into what it is given.
    batch = torch.stack(list(features)).to(torch.float32)
    try:
        with torch.no_grad():
            order = compressor.rank(batch, n_target, **context)
    except Exception as error:
        raise _raised(compressor, error, f"features {list(batch.shape)}, n_target {n_target}") from error
    if not isinstance(order, Tensor):
        raise broken(f"returned {type(order).__name__}, not a tensor of indices")
    if order.ndim != 2 or len(order) != len(batch):
        raise broken(f"returned a ranking of shape {list(order.shape)}, not {[len(batch), n_target]}")
    if order.is_floating_point() or order.dtype == torch.bool:
        raise broken(f"returned indices of dtype {order.dtype}")
    if order.shape[1] != n_target:
        raise broken(f"returned {order.shape[1]} tokens")
    return order.long()


def _refusal(compressor: Compressor, asked: str) -> Callable[[str], CompressionError]:
    return lambda what: CompressionError(f"compressor {compressor.spec} {what}; asked for {asked}")


def _raised(compressor: Compressor, error: Exception, given: str) -> CompressionError:
    return CompressionError(
        f"compressor {compressor.spec} raised {type(error).__name__}: {error} ({_place(error)}; {given})"
    )


def _place(error: BaseException) -> str:
    """file:line at which a compressor raised, or called what raised: the last frame that is not in torch or here."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    own = [frame for frame in frames if "torch" not in Path(frame.filename).parts] or list(frames)
    return f"{own[-1].filename}:{own[-1].lineno}" if own else "no line known"


def _ascending(indices: Tensor, n_tokens: int, broken: Callable[[str], CompressionError]) -> Tensor:
    """The indices [B, M] of each image as long, in raster order and on the CPU; refused if out of range or repeated."""
    ascending = indices.long().cpu().sort(dim=1).values
    low, high = (int(index) for index in ascending.aminmax())
    if low < 0 or high >= n_tokens:
        raise broken(f"returned index {low if low < 0 else high}, out of range")
    repeated = ascending[:, 1:] == ascending[:, :-1]
    if repeated.any():
        raise broken(f"returned index {int(ascending[:, 1:][repeated][0])} more than once")
    return ascending


def _selection(ascending: Tensor) -> Compressed:
    return Compressed(indices=ascending, rows=None, positions=ascending)
