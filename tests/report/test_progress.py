"""The live line, on a terminal and off it, with a clock that stands still until it is told."""

from __future__ import annotations

import io

import pytest

from pytest_vtc.report.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_line_tells_share_speed_time_left_accuracy_and_errors(clock: Clock) -> None:
    progress = Progress(8800, io.StringIO(), False, clock)
    clock.seconds += 5.55
    progress.update(3748, 762, errors=2)
    assert progress.line() == "4,512/8,800  51 %  813 cases/s  5 s left  accuracy 83.1 %  2 errors"


def test_one_error_is_an_error(clock: Clock) -> None:
    progress = Progress(10, io.StringIO(), False, clock)
    progress.update(errors=1)
    assert progress.line() == "1/10  10 %  1 error"


def test_fractions_of_right_answers_add_up(clock: Clock) -> None:
    progress = Progress(10, io.StringIO(), False, clock)
    for _ in range(7):
        progress.update(0.3, 0.7)
    assert progress.done == 7
    assert progress.line() == "7/10  70 %  accuracy 30.0 %"


def test_cases_without_answers_have_no_accuracy(clock: Clock) -> None:
    progress = Progress(4, io.StringIO(), False, clock)
    progress.update(unscored=1)
    assert progress.line() == "1/4  25 %"


def test_what_came_from_the_store_does_not_count_for_the_speed(clock: Clock) -> None:
    progress = Progress(1100, io.StringIO(), False, clock)
    progress.update(1000, cached=1000)
    clock.seconds += 10
    progress.update(20)
    assert progress.line() == "1,020/1,100  92 %  2.0 cases/s  40 s left  accuracy 100.0 %"


def test_a_run_answered_from_the_store_alone_has_a_speed_all_the_same(clock: Clock) -> None:
    progress = Progress(1000, io.StringIO(), False, clock)
    clock.seconds += 0.5
    progress.update(1000, cached=1000)
    assert progress.line() == "1,000/1,000  100 %  2,000 cases/s  accuracy 100.0 %"


@pytest.mark.parametrize(
    ("seconds", "done", "told"),
    [
        (10, 5, "0.5 cases/s  10 s left"),
        (300, 5, "0.017 cases/s  5 min left"),
        (7200, 2, "0.00028 cases/s  8 h 0 min left"),
        (1, 9, "9.0 cases/s  1 s left"),
    ],
)
def test_slow_runs_are_told_in_fitting_units(clock: Clock, seconds: float, done: int, told: str) -> None:
    progress = Progress(10, io.StringIO(), False, clock)
    clock.seconds += seconds
    progress.update(unscored=done)
    assert told in progress.line()


def test_the_first_case_of_a_slow_window_is_not_taken_for_all_that_was_done_in_its_time(clock: Clock) -> None:
    progress = Progress(1000, io.StringIO(), False, clock)
    clock.seconds += 60
    progress.update(1)
    assert progress.line() == "1/1,000  0 %  accuracy 100.0 %"


def test_until_a_window_is_all_in_the_speed_is_that_of_the_windows_before(clock: Clock) -> None:
    progress = Progress(1000, io.StringIO(), False, clock)
    for _ in range(3):
        clock.seconds += 60
        progress.update(1)
        speed = progress.line()
        for _ in range(59):
            clock.seconds += 0.001
            progress.update(1)
    assert "1.0 cases/s  15 min left" in speed


def test_cases_that_keep_coming_after_a_long_start_have_a_speed(clock: Clock) -> None:
    progress = Progress(1000, io.StringIO(), False, clock)
    clock.seconds += 10
    for _ in range(400):
        progress.update(1)
        clock.seconds += 0.05
    assert "13 cases/s" in progress.line()


def test_nothing_to_do_is_all_done(clock: Clock) -> None:
    assert Progress(0, io.StringIO(), False, clock).line() == "0/0  100 %"


def test_on_a_terminal_the_line_is_rewritten_in_place_at_most_ten_times_a_second(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(1000, stream, True, clock)
    for _ in range(1000):
        clock.seconds += 0.002
        progress.update(1)
    shown = stream.getvalue().split("\r")[1:]
    assert 18 <= len(shown) <= 21
    assert "\n" not in stream.getvalue()


def test_on_a_terminal_a_shorter_line_wipes_the_longer_one_before_it(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(10, stream, True, clock)
    clock.seconds += 1
    progress.update(5)
    clock.seconds += 1
    progress.update(5)
    first, second = stream.getvalue().split("\r")[1:]
    assert len(second.rstrip()) < len(first)
    assert len(second) == len(first)


def test_on_a_narrow_terminal_the_line_is_cut_rather_than_wrapped(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(10, stream, True, clock, width=30)
    clock.seconds += 1
    progress.update(5)
    assert len(stream.getvalue().lstrip("\r")) == 29


def test_on_a_terminal_closing_shows_the_end_and_leaves_the_line(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(3, stream, True, clock)
    for _ in range(3):
        progress.update(1)
    progress.close()
    assert stream.getvalue().split("\r")[-1] == "3/3  100 %  accuracy 100.0 %\n"


def test_off_a_terminal_a_quick_run_writes_a_line_every_ten_percent(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(1000, stream, False, clock)
    for _ in range(1000):
        clock.seconds += 0.005
        progress.update(1)
    progress.close()
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[1] for line in lines] == [f"{p} %" for p in range(10, 101, 10)]
    assert "\r" not in stream.getvalue()


def test_off_a_terminal_a_slow_run_writes_a_line_every_ten_seconds(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(10_000, stream, False, clock)
    for _ in range(100):
        clock.seconds += 1
        progress.update(1)
    assert len(stream.getvalue().splitlines()) == 10


def test_off_a_terminal_a_run_of_ten_hours_writes_some_hundred_lines(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(36_000, stream, False, clock)
    for _ in range(36_000):
        clock.seconds += 1
        progress.update(1)
    assert 80 <= len(stream.getvalue().splitlines()) <= 200


def test_off_a_terminal_closing_tells_how_far_a_run_came(clock: Clock) -> None:
    stream = io.StringIO()
    progress = Progress(1000, stream, False, clock)
    progress.update(7)
    progress.close()
    assert stream.getvalue() == "7/1,000  0 %  accuracy 100.0 %\n"


def test_the_line_is_ascii(clock: Clock) -> None:
    progress = Progress(10**6, io.StringIO(), False, clock)
    clock.seconds += 3
    progress.update(10**5, 10**5, unscored=5, errors=3)
    assert progress.line().isascii()
    assert len(progress.line()) < 80
