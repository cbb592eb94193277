"""Draws of samples: by group, seeded, the smaller ones part of the larger ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_vtc.datasets.base import Sample, SampleSet
from pytest_vtc.datasets.draws import drawn_from, in_random_order
from pytest_vtc.datasets.registry import open_samples


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """30 questions on 10 images."""
    folder = tmp_path / "pets"
    folder.mkdir()
    for k in range(10):
        (folder / f"{k}.png").touch()
    rows = [{"id": i, "image": f"{i // 3}.png", "prompt": "?", "answer": "x"} for i in range(30)]
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def ids(samples: Sequence[Sample]) -> list[int]:
    return [int(sample.id) for sample in samples]


def drawn_of(samples: Sequence[Sample], n: int, seed: int, whole_groups: bool = False) -> list[Sample]:
    """What a draw of `n` takes of a data set of these samples."""
    data = SampleSet("d", samples, "exact", 8, len(samples), whole_groups=whole_groups)
    return list(drawn_from(data, n, seed).samples)


def test_draw_takes_whole_groups_and_cuts_only_the_last(manifest: Path) -> None:
    drawn = ids(open_samples(str(manifest), manifest, 10, seed=3).samples)
    per_group = sorted(len([i for i in drawn if i // 3 == group]) for group in range(10))
    assert len(drawn) == 10
    assert [n for n in per_group if n] == [1, 3, 3, 3]


def test_draw_is_not_the_head_and_keeps_the_order(manifest: Path) -> None:
    draws = [ids(open_samples(str(manifest), manifest, 9, seed=seed).samples) for seed in range(5)]
    assert all(draw == sorted(draw) for draw in draws)
    assert list(range(9)) not in draws
    assert len(set(map(tuple, draws))) == 5


def test_samples_without_a_group_are_drawn_one_by_one() -> None:
    drawn = drawn_of([Sample(f"s{i}", (), "?") for i in range(40)], 12, 42)
    assert [sample.id for sample in drawn] != [f"s{i}" for i in range(12)]


def test_same_seed_draws_the_same(manifest: Path) -> None:
    once, again = (open_samples(str(manifest), manifest, 7, seed=42).samples for _ in range(2))
    assert ids(once) == ids(again)


def test_draw_of_whole_groups_cuts_none() -> None:
    samples = [Sample(f"s{i}", (), "?", group=f"g{i // 4}") for i in range(80)]
    for n, expected in ((30, 28), (4, 4), (3, 4), (80, 80)):
        drawn = drawn_of(samples, n, 1, whole_groups=True)
        assert len(drawn) == expected
        assert set(Counter(sample.group for sample in drawn).values()) == {4}


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), seed=st.integers(0, 2**32), data=st.data())
def test_smaller_draw_is_part_of_a_larger_one(sizes: list[int], seed: int, data: st.DataObject) -> None:
    samples = [Sample(f"{g}-{i}", (), "?", group=str(g)) for g, size in enumerate(sizes) for i in range(size)]
    large = data.draw(st.integers(1, len(samples)))
    small = data.draw(st.integers(1, large))
    draws = [drawn_of(samples, n, seed) for n in (small, large)]
    assert [len(draw) for draw in draws] == [small, large]
    assert {s.id for s in draws[0]} <= {s.id for s in draws[1]}


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d"]), min_size=1, max_size=20).map(sorted), st.integers(0, 9))
def test_a_random_order_keeps_images_together_and_is_the_seeds(groups: list[str], seed: int) -> None:
    samples = [Sample(f"s{i}", (), "?", group=group) for i, group in enumerate(groups)]
    data = SampleSet("mine", samples, "exact", 8, len(samples))
    shuffled = in_random_order(data, seed)
    assert sorted(sample.id for sample in shuffled.samples) == sorted(sample.id for sample in samples)
    for group in {*groups} - {""}:
        places = [place for place, sample in enumerate(shuffled.samples) if sample.group == group]
        assert places == list(range(places[0], places[0] + len(places)))
        own = [sample.id for sample in samples if sample.group == group]
        assert [shuffled.samples[place].id for place in places] == own
    assert shuffled.fingerprint() == data.fingerprint()
    assert in_random_order(data, seed).samples == shuffled.samples


def test_random_orders_of_two_seeds_differ() -> None:
    data = SampleSet("mine", [Sample(f"s{i}", (), "?") for i in range(30)], "exact", 8, 30)
    orders = {tuple(sample.id for sample in in_random_order(data, seed).samples) for seed in range(5)}
    assert len(orders) == 5
