"""The live line: how far a run is, how fast, how long it still takes, and how it goes so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

_REWRITE_SECONDS = 0.1
_LINE_SECONDS = 10.0
_LINE_SHARE = 0.1


class Stream(Protocol):
    """Where the line goes; text files and pytest's terminal writer are such streams."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


class Progress:
    """Counts finished cases and shows them on one line, in ASCII. Make it when the first case starts.

    On a terminal the line is rewritten in place, at most 10 times a second. Elsewhere a new line is written after every
    10 % of the cases, and in between when there was none for 10 seconds or a twentieth of the time spent so far, so
    that a log of hours has some hundred lines.

    width: columns of the terminal; a longer line is cut, as a wrapped one cannot be rewritten. started: when the first
    case began, by `now`, if that was earlier.
    """

    def __init__(
        self,
        total: int,
        stream: Stream,
        is_tty: bool,
        now: Callable[[], float] = time.monotonic,
        width: int = 80,
        started: float | None = None,
    ) -> None:
        self.total = total
        self._stream = stream
        self._is_tty = is_tty
        self._now = now
        self._width = width
        self._start = now() if started is None else started
        self._correct = self._wrong = 0.0
        self._unscored = self._errors = self._cached = 0
        self._shown_at = self._start if not is_tty else -float("inf")
        self._shown_done = 0
        self._shown_line = ""
        self._counted_at = self._pause_from = self._pause_until = self._start
        self._computed_before = 0

    @property
    def done(self) -> int:
        """Finished cases, errors included."""
        return round(self._correct + self._wrong) + self._unscored + self._errors

    def update(
        self, correct: float = 0, wrong: float = 0, *, unscored: int = 0, errors: int = 0, cached: int = 0
    ) -> None:
        """Count cases that have finished since the last call, and show the line if it is time to.

        correct, wrong: scored cases; one with a score of 0.3 is 0.3 correct and 0.7 wrong. unscored: cases without an
        answer to score by. errors: cases that failed. cached: how many of all these came from the store: they count,
        but not for the speed.
        """
        now = self._now()
        if correct + wrong + unscored + errors <= 1 and now - self._counted_at >= _REWRITE_SECONDS:
            self._pause_from, self._pause_until = self._counted_at, now
            self._computed_before = self.done - self._cached
        self._counted_at = now
        self._correct += correct
        self._wrong += wrong
        self._unscored += unscored
        self._errors += errors
        self._cached += cached
        if self._is_due(now):
            self._show(now)

    def close(self) -> None:
        """Show where it ended, and leave the line."""
        if not self._is_tty:
            if self.done != self._shown_done:
                self._show(self._now())
        elif self._shown_line:
            self._show(self._now())
            self._stream.write("\n")
            self._stream.flush()

    def line(self) -> str:
        """The line as of now: `4,512/8,800  51 %  812 cases/s  6 s left  accuracy 83.1 %  2 errors`."""
        done = self.done
        parts = [f"{done:,}/{self.total:,}", f"{100 * done // self.total if self.total else 100} %"]
        if rate := self._rate():
            parts.append(f"{_figure(rate)} cases/s")
            if done < self.total:
                parts.append(f"{_duration((self.total - done) / rate)} left")
        if scored := self._correct + self._wrong:
            parts.append(f"accuracy {100 * self._correct / scored:.1f} %")
        if self._errors:
            parts.append(f"{self._errors:,} error{'s' if self._errors > 1 else ''}")
        return "  ".join(parts)

    def _rate(self) -> float | None:
        """Cases a second; None if that cannot be told yet."""
        now, done = self._now(), self.done
        # What came from the store took no time worth counting, and the rest of the run will not come from there.
        computed = done - self._cached if done > self._cached else done
        elapsed = now - self._start
        # Many cases are computed together and then come in one by one, the first of them after the time of all. Until
        # the others have had time to come in, the speed is that of those before.
        if done < self.total and now - self._pause_until < self._pause_until - self._pause_from:
            computed, elapsed = self._computed_before, self._pause_from - self._start
        return computed / elapsed if computed and elapsed > 0 else None

    def _is_due(self, now: float) -> bool:
        passed = now - self._shown_at
        if self._is_tty:
            return passed >= _REWRITE_SECONDS
        if self.done - self._shown_done >= _LINE_SHARE * self.total:
            return True
        return passed >= max(_LINE_SECONDS, (now - self._start) / 20)

    def _show(self, now: float) -> None:
        line = self.line()
        if self._is_tty:
            line = line[: self._width - 1]
            # Blanks wipe what a longer line before this one left standing.
            self._stream.write("\r" + line.ljust(len(self._shown_line)))
        else:
            self._stream.write(line + "\n")
        self._stream.flush()
        self._shown_at, self._shown_done, self._shown_line = now, self.done, line


def _figure(rate: float) -> str:
    if rate >= 9.95:
        return f"{rate:,.0f}"
    return f"{rate:.1f}" if rate >= 0.95 else f"{rate:.2g}"


def _duration(seconds: float) -> str:
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
