"""Which samples a run, or a fetch, takes of a dataset, and in which order: seeded, by group, the same everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_vtc.datasets.base import SampleSet


def draw(groups: Sequence[str], n: int, seed: int, whole_groups: bool) -> list[int]:
    """The places of the samples that a draw of `n` takes, ascending. groups: of each sample.

    A draw takes whole groups in an order that depends on the seed and the groups' names alone. So a smaller draw is
    part of a larger one of the same seed, and a draw from that larger one is the draw from everything. It has exactly
    n samples, the last group being cut short if need be; with `whole_groups` at most n (at least one group).
    """
    places: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        places.setdefault(group, []).append(place)
    chosen: list[int] = []
    for group in _by_hash(places, str(seed)):
        if chosen and whole_groups and len(chosen) + len(places[group]) > n:
            break
        chosen += places[group]
        if len(chosen) >= n:
            break
    return sorted(chosen if whole_groups else chosen[:n])


def drawn_from(data: SampleSet, n: int, seed: int) -> SampleSet:
    """A draw of `n` samples, in the dataset's order; see `draw`. Samples without a group are one of their own each."""
    groups = [sample.group or sample.id for sample in data.samples]
    return replace(data, samples=[data.samples[place] for place in draw(groups, n, seed, data.whole_groups)])


def in_random_order(data: SampleSet, seed: int) -> SampleSet:
    """The same samples, their images in an order that depends on the seed and the images' names alone.

    Samples of an image stay side by side, in the dataset's order. The order has nothing to do with that of a draw.
    """
    groups: dict[str, list[int]] = {}
    for position, sample in enumerate(data.samples):
        groups.setdefault(f"group {sample.group}" if sample.group else f"sample {sample.id}", []).append(position)
    shuffled = [position for group in _by_hash(groups, f"order {seed}") for position in groups[group]]
    own_order = [0] * len(shuffled)
    for place, position in enumerate(shuffled):
        own_order[position] = place
    return replace(data, samples=[data.samples[position] for position in shuffled], own_order=own_order)


def _by_hash(names: Iterable[str], seed: str) -> list[str]:
    # By hash, not by shuffling: the order of two groups must not depend on which others there are.
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}\x00{name}".encode()).digest())
