"""The few array operations of the greedy loops: by NumPy on the CPU, by torch on other devices.

A greedy loop makes hundreds of calls on small arrays. There a call of NumPy costs a fifth of one of torch, and its
argmax a tenth; arrays are views of the tensors' memory, nothing is copied. What is the same in both (`*=`, `[:, None]`)
is written as it is. Every call gives an image what it would get alone, bit for bit.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

Array: TypeAlias = Any
"""A NumPy array with `NumpyCalls`, a tensor with `TorchCalls`."""


class ArrayCalls(Protocol):
    def view(self, tensor: Tensor) -> Array:
        """The tensor's memory, contiguous; a copy only where it was not."""
        ...

    def argmax(self, scores: Array, out: Array) -> None:
        """The index of the largest of each row of `scores` [B, N] into `out` [B]; the lowest index wins a tie."""
        ...

    def row_max(self, scores: Array) -> Array:
        """The largest of each row of `scores` [B, N]: [B, 1]."""
        ...

    def add(self, a: Array, b: Array, out: Array) -> None: ...

    def multiply(self, a: Array, b: Array, out: Array) -> None: ...

    def minimum(self, a: Array, b: Array, out: Array) -> None: ...

    def maximum(self, a: Array, b: Array, out: Array) -> None: ...

    def rows(self, table: Array, places: Array, out: Array) -> None:
        """Rows `places` [M] of `table` [R, N] into `out` [M, N]."""
        ...

    def put(self, flat: Array, places: Array, value: float) -> None:
        """`value` at `places` [M] of `flat` [R]."""
        ...

    def square_root(self, numbers: Array) -> Array: ...

    def weighted_sums(self, weights: Array, table: Tensor, places: Array) -> Array:
        """For each image the sum over i of weights [B, I] times rows `places` [B, I] of `table` [R, N]: [B, N].

        Not a product of a library of linear algebra: that adds up in an order that follows the batch, and where in
        memory an image happens to lie.
        """
        ...


class NumpyCalls:
    def view(self, tensor: Tensor) -> Array:
        return tensor.detach().contiguous().numpy()

    def argmax(self, scores: Array, out: Array) -> None:
        scores.argmax(1, out)

    def row_max(self, scores: Array) -> Array:
        return scores.max(1, keepdims=True)

    def add(self, a: Array, b: Array, out: Array) -> None:
        np.add(a, b, out=out)

    def multiply(self, a: Array, b: Array, out: Array) -> None:
        np.multiply(a, b, out=out)

    def minimum(self, a: Array, b: Array, out: Array) -> None:
        np.minimum(a, b, out=out)

    def maximum(self, a: Array, b: Array, out: Array) -> None:
        np.maximum(a, b, out=out)

    def rows(self, table: Array, places: Array, out: Array) -> None:
        # "clip" writes into `out` at once; the other modes need a buffer. No place is out of range.
        table.take(places, 0, out, "clip")

    def put(self, flat: Array, places: Array, value: float) -> None:
        flat[places] = value

    def square_root(self, numbers: Array) -> Array:
        return np.sqrt(numbers)

    def weighted_sums(self, weights: Array, table: Tensor, places: Array) -> Array:
        return _weighted_sums(torch.from_numpy(weights), table, torch.from_numpy(places)).numpy()


class TorchCalls:
    def view(self, tensor: Tensor) -> Array:
        return tensor.detach().contiguous()

    def argmax(self, scores: Array, out: Array) -> None:
        torch.argmax(scores, dim=1, out=out)

    def row_max(self, scores: Array) -> Array:
        return scores.amax(dim=1, keepdim=True)

    def add(self, a: Array, b: Array, out: Array) -> None:
        torch.add(a, b, out=out)

    def multiply(self, a: Array, b: Array, out: Array) -> None:
        torch.multiply(a, b, out=out)

    def minimum(self, a: Array, b: Array, out: Array) -> None:
        torch.minimum(a, b, out=out)

    def maximum(self, a: Array, b: Array, out: Array) -> None:
        torch.maximum(a, b, out=out)

    def rows(self, table: Array, places: Array, out: Array) -> None:
        torch.index_select(table, 0, places, out=out)

    def put(self, flat: Array, places: Array, value: float) -> None:
        flat.index_fill_(0, places, value)

    def square_root(self, numbers: Array) -> Array:
        # Through float64, which makes it the nearest float32, as NumPy's is; torch's own may be a neighbour of that.
        return numbers.double().sqrt().to(numbers.dtype)

    def weighted_sums(self, weights: Array, table: Tensor, places: Array) -> Array:
        return _weighted_sums(weights, table, places)


def calls_for(device: torch.device) -> ArrayCalls:
    """What is fastest on `device`."""
    return NumpyCalls() if device.type == "cpu" else TorchCalls()


def _weighted_sums(weights: Tensor, table: Tensor, places: Tensor) -> Tensor:
    # Made for bags of word vectors: goes through a bag in order, every bag by itself, on all devices.
    return functional.embedding_bag(places, table, mode="sum", per_sample_weights=weights)
