"""Windows: whole images, in the sweep's order, of what still has to run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pytest_vtc.cells import Cell
from pytest_vtc.datasets.base import Sample, SampleSet
from pytest_vtc.models.catalogue import ModelLocation
from pytest_vtc.options import Settings
from pytest_vtc.schedule import Schedule, cautious_window, image_numbers
from pytest_vtc.sweep import Block, Sweep

SETTINGS = Settings(
    models=(),
    random_weights=(),
    data=(),
    compressors=(),
    ratios=(0.5,),
    n=None,
    seed=42,
    batch_size=None,
    dtype="auto",
    quantization=None,
    positions=None,
    max_new_tokens=None,
    answers="generate",
    output=Path("unused"),
    fresh=False,
    gates=(),
)


def sweep_of(*blocks: Sequence[str], n_cells: int = 3) -> Sweep:
    """blocks: for each the image of each of its samples; an empty name is a sample without a group."""
    built: list[Block] = []
    for i, groups in enumerate(blocks):
        name = f"data{i}"
        samples = tuple(Sample(f"s{k}", (), "?", group=group) for k, group in enumerate(groups))
        cells = (Cell("m", name), *(Cell("m", name, f"c{k}", 0.5) for k in range(1, n_cells)))
        data = SampleSet(name, samples, "exact", 8, len(samples))
        built.append(Block(ModelLocation("m", "m", None), data, cells, 8, built[-1].stop if built else 0))
    return Sweep(SETTINGS, tuple(built), {}, ())


def run_all(schedule: Schedule, orders: Sequence[int], max_cases: int, max_images: int) -> list[list[int]]:
    """The windows of a session whose items run in this order."""
    windows: list[list[int]] = []
    ready: set[int] = set()
    for order in orders:
        schedule.asked(order)
        if order not in ready:
            windows.append(schedule.window(order, max_cases, max_images))
            ready |= {*windows[-1]}
            schedule.ready(windows[-1])
        ready.remove(order)
        schedule.delivered(order)
    return windows


def test_a_window_takes_as_many_whole_images_as_it_may() -> None:
    schedule = Schedule(sweep_of("aabbcc"), range(18))
    assert schedule.window(0, 100, 2) == list(range(12))
    assert schedule.window(0, 17, 5) == list(range(12))
    assert schedule.window(0, 18, 5) == list(range(18))


def test_an_image_with_more_cases_than_a_window_is_split() -> None:
    assert Schedule(sweep_of("aaab"), range(12)).window(0, 4, 2) == [0, 1, 2, 3]


def test_a_window_stays_with_its_model_and_dataset() -> None:
    schedule = Schedule(sweep_of("ab", "cd"), range(12))
    assert schedule.window(0, 100, 100) == list(range(6))
    assert schedule.window(6, 100, 100) == list(range(6, 12))


def test_a_window_goes_round_to_what_was_left_before_its_first_case() -> None:
    assert Schedule(sweep_of("aabb"), range(12)).window(7, 100, 100) == [7, 8, 9, 10, 11, *range(7)]


def test_what_comes_after_a_window_is_known_before_it_is_computed() -> None:
    schedule = Schedule(sweep_of("aabbcc"), [0, 3, 7, 9, 13])
    window = schedule.window(7, 100, 1)
    assert window == [7, 9]
    assert list(schedule.upcoming(window)) == [13, 0, 3]


def test_only_selected_cases_are_taken() -> None:
    assert Schedule(sweep_of("aabb"), [1, 4, 10]).window(1, 100, 100) == [1, 4, 10]


def test_samples_without_a_group_are_images_of_their_own() -> None:
    assert image_numbers(sweep_of(["", "", "a", "a"]).blocks[0].data.samples).tolist() == [0, 1, 2, 2]
    assert Schedule(sweep_of(["", "", ""]), range(9)).window(0, 100, 2) == list(range(6))


def test_a_case_of_two_test_functions_waits_again_once_the_first_was_answered() -> None:
    schedule = Schedule(sweep_of("a"), [0, 1, 2, 0, 1, 2])
    windows = run_all(schedule, [0, 1, 2, 0, 1, 2], 100, 100)
    assert windows == [[0, 1, 2], [0, 1, 2]]
    assert not schedule.remaining.any()


def test_a_worker_plans_with_what_it_was_given() -> None:
    schedule = Schedule(sweep_of("aabbcc"), range(18))
    schedule.assign(range(6, 12), ready=[7])
    assert schedule.window(6, 100, 100) == [6, 8, 9, 10, 11]
    assert schedule.of_image(8).tolist() == list(range(6, 12))


def test_cases_that_are_left_out_are_in_no_window_and_still_expected() -> None:
    sweep = sweep_of("aabb")
    schedule = Schedule(sweep, range(12))
    schedule.asked(0)
    schedule.drop([1, 4, 10])
    assert schedule.window(0, 100, 100) == [0, 2, 3, 5, 6, 7, 8, 9, 11]
    assert not schedule.remaining[[1, 4, 10]].any()
    assert schedule.expected()["m/data0/c1@0.5"] == 4
    assert schedule.n_done(sweep.blocks[0]) == 1


def test_windows_of_a_run_that_may_end_any_time_grow_with_what_is_done() -> None:
    assert [cautious_window(n) for n in (0, 511, 800, 8000)] == [64, 64, 100, 1000]
    sweep = sweep_of("aaab")
    assert Schedule(sweep, range(12)).largest_image(sweep.blocks[0]) == 9


def test_a_partner_is_needed_until_the_last_case_of_its_sample_has_been_asked_for() -> None:
    schedule = Schedule(sweep_of("aa"), [1, 2])
    assert schedule.n_partners() == 1
    schedule.asked(1)
    assert schedule.needs_partner(0)
    schedule.asked(2)
    assert not schedule.needs_partner(0)


def test_selected_samples_are_listed_all_or_one_of_each_image() -> None:
    sweep = sweep_of("aabc")
    schedule = Schedule(sweep, [1, 3, 4, 11])
    assert [sample.id for sample in schedule.samples(sweep.blocks[0])] == ["s0", "s1", "s3"]
    assert [sample.id for sample in schedule.one_of_each_image(sweep.blocks[0])] == ["s0", "s3"]


def test_a_stock_cell_expects_its_partners() -> None:
    assert Schedule(sweep_of("ab", n_cells=2), [1, 2, 3]).expected() == {"m/data0/stock": 2, "m/data0/c1@0.5": 2}
    assert Schedule(sweep_of("ab", n_cells=2), [0]).expected() == {"m/data0/stock": 1}


@given(
    st.lists(st.lists(st.sampled_from("aabcdé"), min_size=1, max_size=12).map(sorted), min_size=1, max_size=3),
    st.data(),
    st.integers(1, 9),
    st.integers(1, 4),
)
def test_every_selected_case_is_in_exactly_one_window_whatever_the_order(
    blocks: list[list[str]], data: st.DataObject, max_cases: int, max_images: int
) -> None:
    sweep = sweep_of(*blocks)
    orders = data.draw(st.lists(st.integers(0, sweep.n_cases - 1), unique=True, min_size=1).flatmap(st.permutations))
    windows = run_all(Schedule(sweep, orders), orders, max_cases, max_images)
    assert sorted(order for window in windows for order in window) == sorted(orders)
    for window in windows:
        assert len(window) <= max_cases
        assert len({sweep.case(order).sample.group for order in window}) <= max_images
        assert len({sweep.case(order).block.start for order in window}) == 1


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=30).map(sorted), st.integers(1, 40), st.integers(1, 4))
def test_in_order_only_images_larger_than_a_window_are_split(
    groups: list[str], max_cases: int, max_images: int
) -> None:
    sweep = sweep_of(groups)
    windows = run_all(Schedule(sweep, range(sweep.n_cases)), range(sweep.n_cases), max_cases, max_images)
    for group in set(groups):
        n_cases = 3 * groups.count(group)
        home = [w for w in windows if any(sweep.case(order).sample.group == group for order in w)]
        assert len(home) == 1 or n_cases > max_cases


def test_images_count_the_selected_samples_that_a_compressor_is_run_on() -> None:
    sweep = sweep_of("aabc", n_cells=3)  # of each sample stock, c1, c2
    (block,) = sweep.blocks
    assert Schedule(sweep, range(12)).images(block) == [2, 1, 1]
    assert Schedule(sweep, [1, 4, 7]).images(block) == [2, 1]
    assert Schedule(sweep, [1, 5, 8]).images(block) == [1, 1]  # c1 on one sample, c2 on two others
    assert Schedule(sweep, [0, 3, 6, 9]).images(block) == []
