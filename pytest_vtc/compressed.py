"""Calls compressors and checks what comes back: count, shape, range, repeats, NaN."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pytest_vtc.compression import CompressionError, Compressor, Kept, Ranking, Selection

# What the images of one call of `select` may take; see `run_selection`. On the CPU, larger blocks come fresh from the
# system each time, and that costs more than sharing a loop saves.
_CPU_BYTES, _DEVICE_BYTES = 32 * 2**20, 256 * 2**20


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
    """Call `compressor` on features [N, D] (any float dtype) and check what comes back. It is not called to keep all N.

    Raises:
        CompressionError: the compressor raised, or broke its contract.
    """
    n_tokens, width = features.shape
    if n_target == n_tokens:
        return _everything(n_tokens)
    if isinstance(compressor, Selection):
        return run_selection(compressor, [features], [[n_target]], [ctx])[0][n_target]
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
        indices = _ascending(rows[None], n_tokens, broken)[0]
        return Compressed(indices, None, indices)
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


def run_selection(
    compressor: Selection,
    features: Sequence[Tensor],
    n_targets: Sequence[Collection[int]],
    contexts: Sequence[Mapping[str, Any]],
) -> list[dict[int, Compressed]]:
    """Call `compressor` for many images of one token count together, and check what comes back.

    Of a `Ranking`, all images are ranked to the largest budget of any, and smaller ones are the beginnings of that; any
    other is called for each budget. The images go together as long as their tokens and distances, N * (D + N) float32
    numbers an image, fit into 256 MiB (on the CPU 32), at least one at a time, and in several calls beyond; the
    indices come to the CPU in one transfer. To keep all N tokens, nothing is called.

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
    n_tokens = len(features[0])
    found = [{n: _everything(n) for n in budgets if n == n_tokens} for budgets in n_targets]
    wanted = sorted({n for budgets in n_targets for n in budgets if n < n_tokens}, reverse=True)
    nested = isinstance(compressor, Ranking)
    for n_target in wanted[:1] if nested else wanted:
        read_off = wanted if nested else [n_target]
        images = [i for i, budgets in enumerate(n_targets) if not {*read_off}.isdisjoint(budgets)]
        orders = _select(compressor, [features[i] for i in images], n_target, [contexts[i] for i in images])
        for n in read_off:
            ascending = orders[:, :n].sort(dim=1).values
            for i, indices in zip(images, ascending, strict=True):
                if n in n_targets[i]:
                    found[i][n] = Compressed(indices, None, indices)
    return found


def _select(
    compressor: Selection, features: Sequence[Tensor], n_target: int, contexts: Sequence[Mapping[str, Any]]
) -> Tensor:
    """What `compressor` chooses of each image, [B, n_target] on the CPU in its order, checked."""
    n_tokens, width = features[0].shape
    n_bytes = _CPU_BYTES if features[0].device.type == "cpu" else _DEVICE_BYTES
    per_call = max(1, n_bytes // (4 * n_tokens * (n_tokens + width)))
    calls = [slice(start, start + per_call) for start in range(0, len(features), per_call)]
    asked = f"exactly {n_target} of {n_tokens} tokens of width {width}"
    broken = _refusal(compressor, asked if len(features) == 1 else f"{asked} in each of {len(features)} images")
    orders = torch.cat([_call(compressor, features[call], n_target, contexts[call], broken) for call in calls]).cpu()
    _ascending(orders, n_tokens, broken)
    return orders


def _call(
    compressor: Selection,
    features: Sequence[Tensor],
    n_target: int,
    contexts: Sequence[Mapping[str, Any]],
    broken: Callable[[str], CompressionError],
) -> Tensor:
    """One call of `select` for B images: what it returned, of the right shape, as long, still where it was."""
    context = {name: [of_image[name] for of_image in contexts] for name in contexts[0]}
    # Stacking copies: the compressor may write into what it is given.
    batch = torch.stack(list(features)).to(torch.float32)
    try:
        with torch.no_grad():
            order = compressor.select(batch, n_target, **context)
    except Exception as error:
        raise _raised(compressor, error, f"features {list(batch.shape)}, n_target {n_target}") from error
    if not isinstance(order, Tensor):
        raise broken(f"returned {type(order).__name__}, not a tensor of indices")
    if order.ndim != 2 or len(order) != len(batch):
        raise broken(f"returned indices of shape {list(order.shape)}, not {[len(batch), n_target]}")
    if order.is_floating_point() or order.dtype == torch.bool:
        raise broken(f"returned indices of dtype {order.dtype}")
    if order.shape[1] != n_target:
        raise broken(f"returned {order.shape[1]} tokens")
    return order.long()


def _refusal(compressor: Compressor, asked: str) -> Callable[[str], CompressionError]:
    return lambda what: CompressionError(f"compressor {compressor.spec} {what}; asked for {asked}")


def _raised(compressor: Compressor, error: Exception, given: str) -> CompressionError:
    return CompressionError(
        f"compressor {compressor.spec} raised {type(error).__name__}: {error} ({place_of(error)}; {given})"
    )


def place_of(error: BaseException) -> str:
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


def _everything(n_tokens: int) -> Compressed:
    every = torch.arange(n_tokens)
    return Compressed(every, None, every)
