"""Random decisions that are the same on every platform and in every version of Python."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Draws:
    """A stream of draws that depends on its key alone."""

    def __init__(self, key: str) -> None:
        # Of the standard generator only an int seed and random() are promised never to change; all else is built on it.
        self._random = random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")).random

    def below(self, n: int) -> int:
        """One of 0 .. n - 1."""
        return int(self._random() * n)

    def between(self, low: int, high: int) -> int:
        """One of low .. high, both included."""
        return low + self.below(high - low + 1)

    def one(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def some(self, items: Sequence[T], n: int) -> list[T]:
        """`n` different ones, in random order."""
        left = list(items)
        for place in range(n):
            other = self.between(place, len(left) - 1)
            left[place], left[other] = left[other], left[place]
        return left[:n]
