"""Finds the case that kills its process: markers on disk of what is being computed, and what is left of them.

Before a process computes, it writes which cases; afterwards it takes the marker away. A marker whose process has died
makes its cases suspects. They are computed in ever smaller company: with their own image only, if that dies too, alone,
and alone once more. So a `kill -9` of a healthy run costs some smaller windows, several in a row still blame no case,
and a case that kills is found by its fourth death, as a worker that is seen to die alone by its third.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from pytest_vtc.store import Store, StoreError
from pytest_vtc.whole_file import write_whole

FOLDER = "in-flight"


class Company(IntEnum):
    """With whom a case may be computed; AGAIN: alone, where it has died once; NONE: twice, so it is an error."""

    WINDOW = 0
    IMAGE = 1
    ALONE = 2
    AGAIN = 3
    NONE = 4


class InFlightError(StoreError):
    """A marker cannot be written or read; the message names it and says what to do."""


@dataclass(frozen=True)
class Marker:
    """What a process is, or was, computing. keys: of the store. how: in which way it died, if that is known."""

    host: str
    pid: int
    birth: str
    company: Company
    keys: tuple[str, ...]
    how: str = ""

    def write(self, path: Path) -> None:
        data = {name: getattr(self, name) for name in ("host", "pid", "birth", "company", "keys", "how")}
        try:
            write_whole(path, [json.dumps(data), "\n"])
        except OSError as error:
            raise InFlightError(
                f"cannot write {path} ({error.strerror}); make room or choose another folder with --vtc-output"
            ) from error

    @classmethod
    def read(cls, path: Path) -> Marker | None:
        """None if it has gone: its process has finished, or another reader was faster."""
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                str(data["host"]), int(data["pid"]), str(data["birth"]), Company(data["company"]),
                tuple(map(str, data["keys"])), str(data["how"]),
            )  # fmt: skip
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InFlightError(f"cannot read {path} ({type(error).__name__}: {error}); delete it") from error

    def is_gone(self) -> bool:
        """Whether its process has died. If that cannot be told it counts as dead: all that costs is smaller windows."""
        if self.host != platform.node() or self.pid == os.getpid() or sys.platform == "win32":
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass
        return birth(self.pid) != self.birth


def birth(pid: int) -> str:
    """When a process started, as the system counts it; empty if it has ended or the system does not say."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]


class InFlight:
    """The markers of one process, and what it should make of those of dead ones.

    folder: the run's output folder. name: no other living process writes under it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder / FOLDER
        self.path = self.folder / f"{name}.json"
        self._dead: dict[Path, tuple[int, Marker]] = {}
        self._suspects: dict[str, tuple[Company, Path]] = {}
        self._reported: dict[str, Path] = {}

    @contextmanager
    def computing(self, keys: Sequence[str], company: Company) -> Generator[None]:
        """Around the computation of the cases with these keys. Raises InFlightError if no marker can be written."""
        pid = os.getpid()
        Marker(platform.node(), pid, birth(pid), company, tuple(keys)).write(self.path)
        try:
            yield
        finally:
            # An exception, or Ctrl-C, is no death: the process can say itself what went wrong.
            self.path.unlink(missing_ok=True)

    def refresh(self) -> None:
        """Look again at what dead processes have left. Raises InFlightError."""
        found: dict[Path, tuple[int, Marker]] = {}
        for path in _dead_markers(self.folder):
            try:
                changed = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            known = self._dead.get(path)
            marker = known[1] if known is not None and known[0] == changed else Marker.read(path)
            if marker is not None:
                found[path] = changed, marker
        if found == self._dead:
            return
        self._dead, self._suspects = found, {}
        for path, (_, marker) in found.items():
            company = Company(min(marker.company + 1, Company.NONE))
            for key in marker.keys:
                if key not in self._suspects or self._suspects[key][0] < company:
                    self._suspects[key] = company, path

    def company(self, key: str) -> Company:
        """With whom the case of this key may be computed."""
        return self._suspects[key][0] if key in self._suspects else Company.WINDOW

    def report(self, key: str) -> str:
        """How the process died that computed this case alone, for its error; empty if that is not known."""
        path = self._suspects[key][1]
        self._reported[key] = path
        return self._dead[path][1].how

    def settle(self) -> None:
        """At the end of a session: let a later run try again what was reported. Raises InFlightError.

        Not before: of two cases that kill, a run that is killed by the second must not try the first one again.
        """
        for path in {*self._reported.values()}:
            _acquit(path)


def marker_name(worker: str = "") -> str:
    """For this process. worker: what tells a worker of pytest-xdist from every other, by which its controller knows."""
    return worker or f"{os.getpid()}-{time.time_ns()}"


def bury_dead(folder: Path) -> None:
    """Turn the markers in a run's output folder whose processes have died into suspects. Raises InFlightError."""
    for path in (folder / FOLDER).glob("*.json"):
        marker = None if _is_dead(path) else Marker.read(path)
        if marker is not None and marker.is_gone():
            _bury(path, marker, "")


def bury_worker(folder: Path, name: str, how: str) -> bool:
    """The same for one process that is known to have died; whether it was computing."""
    path = folder / FOLDER / f"{name}.json"
    marker = Marker.read(path)
    if marker is None:
        return False
    # A worker that dies while one case is computed alone was hardly killed by chance: it has no second try.
    seen = Company.AGAIN if marker.company == Company.ALONE else marker.company
    _bury(path, replace(marker, company=seen), how)
    return True


def describe_suspects(folder: Path) -> list[str]:
    """A line for the header of a run on what an earlier one has died of. Raises InFlightError."""
    markers = map(Marker.read, _dead_markers(folder / FOLDER))
    n = len({key for marker in markers if marker is not None for key in marker.keys})
    if not n:
        return []
    cases, they = ("one case", "it is") if n == 1 else (f"{n:,} cases", "they are")
    return [f"vtc: an earlier run died while it computed {cases}; {they} computed in smaller company than others"]


def settle_all(folder: Path) -> None:
    """`InFlight.settle` for whatever was reported by workers, some of which have died since. Raises InFlightError."""
    for path in _dead_markers(folder / FOLDER):
        _acquit(path)


def prune(folder: Path, store: Store) -> None:
    """At the end of a run: what has been measured after all is no suspect. Raises InFlightError or StoreError."""
    for path in _dead_markers(folder / FOLDER):
        marker = Marker.read(path)
        if marker is None:
            continue
        stored = store.get_many(marker.keys)
        left = tuple(key for key in marker.keys if key not in stored)
        if not left:
            path.unlink(missing_ok=True)
        elif left != marker.keys:
            replace(marker, keys=left).write(path)
    if (folder / FOLDER).is_dir() and not any((folder / FOLDER).iterdir()):
        (folder / FOLDER).rmdir()


def _bury(path: Path, marker: Marker, how: str) -> None:
    replace(marker, how=how).write(path.with_name(f"{path.stem}.dead.json"))
    path.unlink(missing_ok=True)


def _acquit(path: Path) -> None:
    """A case that was reported is to be computed alone once more, before it is reported again."""
    marker = Marker.read(path)
    if marker is not None and marker.company == Company.AGAIN:
        replace(marker, company=Company.ALONE).write(path)


def _is_dead(path: Path) -> bool:
    return path.name.endswith(".dead.json")


def _dead_markers(folder: Path) -> Iterable[Path]:
    return sorted(folder.glob("*.dead.json"))
