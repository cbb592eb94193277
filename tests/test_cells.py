"""Measurements on the way between processes, and what they weigh."""

from __future__ import annotations

import pickle
import sys

from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.cells import Cell, Generation, Measurement

GENERATIONS = st.builds(
    Generation,
    answer=st.text(),
    n_tokens=st.integers(0),
    n_asked=st.integers(0),
    n_kept=st.integers(0),
    kv_bytes=st.integers(0),
    n_generated=st.integers(0),
    positions=st.sampled_from(["original", "compact"]),
    truncated=st.booleans(),
    beyond_window=st.booleans(),
    seconds=st.floats(0, allow_nan=False),
)
CELLS = st.builds(Cell, st.text(), st.text(), st.none() | st.text(), st.none() | st.floats(0.01, 1))
MEASUREMENTS = st.builds(
    Measurement,
    cell=CELLS,
    sample=st.text(),
    category=st.text(),
    group=st.text(),
    expected=st.lists(st.text()).map(tuple),
    generation=GENERATIONS,
    score=st.none() | st.floats(0, 1),
    parsed=st.none() | st.text(),
    unparsed=st.booleans(),
    cached=st.booleans(),
    order=st.integers(0),
)


@given(MEASUREMENTS)
def test_a_measurement_survives_the_way_from_a_worker(measurement: Measurement) -> None:
    assert Measurement.from_row(measurement.to_row(), {}) == measurement


@given(MEASUREMENTS)
def test_measurements_from_a_worker_share_cell_and_sample(measurement: Measurement) -> None:
    shared: dict[object, object] = {}
    first, second = (Measurement.from_row(pickle.loads(pickle.dumps(measurement.to_row())), shared) for _ in range(2))
    assert first.cell is second.cell
    assert first.expected is second.expected


@given(GENERATIONS)
def test_a_generation_survives_the_store(generation: Generation) -> None:
    assert Generation.from_dict(generation.to_dict()) == generation


def test_a_measurement_says_what_was_answered() -> None:
    generation = Generation("yes", 64, 32, 31, 4096, 2, "compact", False, False, 0.25)
    measurement = Measurement(Cell("m", "d"), "s", "", "s", ("yes",), generation, 1.0, "yes", False, False, 7)
    assert (measurement.answer, measurement.n_tokens, measurement.n_kept) == ("yes", 64, 31)


def test_a_measurement_without_what_it_shares_weighs_less_than_300_bytes() -> None:
    generation = Generation("yes", 64, 32, 32, 4096, 2, "compact", False, False, 0.25)
    measurement = Measurement(Cell("m", "d"), "s", "", "s", ("yes",), generation, 1.0, "yes", False, False, 7)
    assert sys.getsizeof(measurement) + sys.getsizeof(generation) < 300
