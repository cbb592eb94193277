"""Reads rows of tables that lie in files, whole or in part, here or on the Hub, without decoding any image.

Of parquet files only the columns and the row groups that are needed are read.
"""

from __future__ import annotations

import bisect
import itertools
import json
import tempfile
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.text_rows import CSV_SUFFIXES, csv_rows, jsonl_rows

Row = dict[str, Any]

_BATCH = 64
"""Rows that are in memory at once, with their images."""

_LOOKAHEAD = 2
"""Row groups that are fetched ahead, for each worker."""

_Out = TypeVar("_Out")


class Table(ABC):
    """Rows of one or several files, numbered from 0 across them; an image is {"bytes", "path"} as it was published."""

    label: str
    """How to name it in a message: its first file."""
    columns: Sequence[str]

    cells_are_text: bool = False
    """Whether a cell is what a person has typed, numbers and several values included."""

    @abstractmethod
    def rows(self, columns: Sequence[str], places: Sequence[int] | None = None) -> Iterator[tuple[int, Row]]:
        """Rows with their numbers, in order, with `columns` alone. places: those that are wanted, ascending; None: all.

        Raises DatasetError if a file cannot be read.
        """

    def cost(self, columns: Sequence[str], places: Sequence[int]) -> tuple[int, int] | None:  # noqa: ARG002
        """Bytes that reading these rows takes, and bytes of everything; None where it is read from the start."""
        return None

    def class_names(self, column: str) -> Sequence[str]:  # noqa: ARG002
        """What the numbers in a column stand for, if they are classes; empty otherwise."""
        return ()

    def where(self, place: int) -> str:
        """How a message names a row that `rows` has given: its file, and its line or number in it."""
        return f"{self.label}, row {place + 1}"

    def check(self, columns: Iterable[str]) -> None:
        """Raise DatasetError for a column that is not there."""
        if missing := [column for column in columns if column not in self.columns]:
            has = ", ".join(self.columns)
            raise DatasetError(f"{self.label}: no column {', '.join(missing)} (it has {has}); is it another dataset?")


@dataclass(frozen=True)
class Part:
    """One file of a table. open: gives its path, or a file that can seek. blame: what to say if reading it fails."""

    name: str
    open: Callable[[], Any]
    blame: Callable[[Exception], DatasetError]


@dataclass(frozen=True)
class _Group:
    """A row group of a file, and its wanted rows by their number within it; None: all."""

    part: int
    group: int
    first: int
    wanted: Sequence[int] | None


class ParquetTable(Table):
    """workers: how many row groups are read at once; 1 for files that lie here, which are read in small batches."""

    def __init__(self, parts: Sequence[Part], workers: int = 1) -> None:
        self._parts, self._workers = parts, workers
        self.label = parts[0].name
        footers = list(_ahead(self._footer, range(len(parts)), workers))
        self._metadata = [metadata for metadata, _ in footers]
        schemas = [schema for _, schema in footers]
        # Of those that all files have: of one that a file lacks nothing could be read, and pyarrow would not say so.
        self.columns = [str(name) for name in schemas[0].names if all(name in schema.names for schema in schemas)]
        self._schema_metadata: Mapping[bytes, bytes] = schemas[0].metadata or {}
        self._places = [(part, group) for part, of in enumerate(self._metadata) for group in range(of.num_row_groups)]
        sizes = (self._metadata[part].row_group(group).num_rows for part, group in self._places)
        self._starts = list(itertools.accumulate(sizes, initial=0))

    @property
    def n_rows(self) -> int:
        return self._starts[-1]

    def rows(self, columns: Sequence[str], places: Sequence[int] | None = None) -> Iterator[tuple[int, Row]]:
        self.check(columns)
        groups = self._groups(places)
        if self._workers == 1:
            for group in groups:
                yield from self._read(group, columns)
            return
        for rows in _ahead(lambda group: list(self._read(group, columns)), groups, self._workers):
            yield from rows

    def cost(self, columns: Sequence[str], places: Sequence[int]) -> tuple[int, int]:
        needed = {(group.part, group.group) for group in self._groups(places)}
        total = read = 0
        for part, metadata in enumerate(self._metadata):
            for group in range(metadata.num_row_groups):
                for column in range(metadata.num_columns):
                    chunk = metadata.row_group(group).column(column)
                    total += chunk.total_compressed_size
                    if (part, group) in needed and chunk.path_in_schema.split(".")[0] in columns:
                        read += chunk.total_compressed_size
        return read, total

    def where(self, place: int) -> str:
        number = bisect.bisect_right(self._starts, place) - 1
        part, _ = self._places[number]
        return f"{self._parts[part].name}, row {place - self._first_of_part[part] + 1}"

    def class_names(self, column: str) -> Sequence[str]:
        return self._classes.get(column, ())

    @cached_property
    def _classes(self) -> dict[str, list[str]]:
        """The features that the `datasets` library notes in the files it writes."""
        try:
            features = json.loads(self._schema_metadata.get(b"huggingface", b"{}"))["info"]["features"]
            classes = {name: of for name, of in features.items() if of.get("_type") == "ClassLabel"}
            return {name: list(of["names"]) for name, of in classes.items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}  # by another writer: no column is known to hold classes

    @cached_property
    def _first_of_part(self) -> dict[int, int]:
        """The number of the first row of each file that has any."""
        starts = zip(reversed(self._places), reversed(self._starts[:-1]), strict=True)
        return {part: start for (part, _), start in starts}

    def _groups(self, places: Sequence[int] | None) -> list[_Group]:
        if places is None:
            return [_Group(*place, start, None) for place, start in zip(self._places, self._starts, strict=False)]
        by_group: dict[int, list[int]] = {}
        for place in places:
            number = bisect.bisect_right(self._starts, place) - 1
            by_group.setdefault(number, []).append(place - self._starts[number])
        return [_Group(*self._places[number], self._starts[number], wanted) for number, wanted in by_group.items()]

    def _footer(self, number: int) -> tuple[Any, Any]:
        import pyarrow.parquet as pq  # slow to import: only when something is fetched

        part = self._parts[number]
        try:
            with pq.ParquetFile(part.open()) as file:
                return file.metadata, file.schema_arrow
        except Exception as error:
            # Behind it may be a file, a parquet file that is none, or a network.
            raise part.blame(error) from error

    def _read(self, group: _Group, columns: Sequence[str]) -> Iterator[tuple[int, Row]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        part, wanted, start = self._parts[group.part], group.wanted, 0
        try:
            # Buffered ahead, a row group takes one request over a network; a file here is read as its rows are used.
            handle = pq.ParquetFile(part.open(), metadata=self._metadata[group.part], pre_buffer=self._workers > 1)
            with handle as file:
                for batch in file.iter_batches(_BATCH, row_groups=[group.group], columns=list(columns)):
                    stop = start + batch.num_rows
                    inside: Sequence[int] = range(start, stop)
                    if wanted is not None:
                        inside = wanted[bisect.bisect_left(wanted, start) : bisect.bisect_left(wanted, stop)]
                        batch = batch.take(pa.array([place - start for place in inside], pa.int64()))
                    yield from zip((group.first + place for place in inside), batch.to_pylist(), strict=True)
                    start = stop
                    if wanted is not None and wanted[-1] < start:
                        return
        except Exception as error:
            # As for the footer.
            raise part.blame(error) from error


def _ahead(read: Callable[[Any], _Out], jobs: Iterable[Any], workers: int) -> Iterator[_Out]:
    """The results of jobs in order, some of them read ahead in threads."""
    if workers == 1:
        yield from map(read, jobs)
        return
    pending: deque[Future[_Out]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for job in jobs:
                pending.append(pool.submit(read, job))
                if len(pending) >= workers * _LOOKAHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _at(places: Sequence[int] | None, rows: Iterable[_Out]) -> Iterator[tuple[int, _Out]]:
    """Rows that are read from the start, with their numbers: those at `places`, which ascend; None: all."""
    if places is None:
        yield from enumerate(rows)
        return
    wanted = deque(places)
    for place, row in enumerate(rows):
        if not wanted:
            return
        if place == wanted[0]:
            wanted.popleft()
            yield place, row


class TextTable(Table):
    """CSV, TSV or JSONL files. Their rows are read from the start; an image is the path that stands in a cell."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self.label = str(files[0])
        self.cells_are_text = files[0].suffix.lower() in CSV_SUFFIXES
        self._lines: dict[int, tuple[Path, int]] = {}
        for file in files:
            if _is_pointer(file):
                raise _pointer(file)
        if self.cells_are_text:
            headers = [csv_rows(file)[1] for file in files]
            self.columns = [name for name in headers[0] if all(name in header for header in headers)]
        else:
            # Objects leave out what they do not have.
            self.columns = list(dict.fromkeys(name for file in files for _, row in jsonl_rows(file) for name in row))
        if not self.columns:
            raise DatasetError(f"{self.label}: there are no rows, or no column that all files have")

    def rows(self, columns: Sequence[str], places: Sequence[int] | None = None) -> Iterator[tuple[int, Row]]:
        self.check(columns)
        for place, (file, line, row) in _at(places, self._read()):
            self._lines[place] = file, line
            yield place, {column: row.get(column) for column in columns}

    def where(self, place: int) -> str:
        file, line = self._lines[place]
        return f"{file}:{line}"

    def _read(self) -> Iterator[tuple[Path, int, Mapping[str, Any]]]:
        for file in self._files:
            rows: Iterable[tuple[int, Mapping[str, Any]]] = (
                csv_rows(file)[2] if self.cells_are_text else jsonl_rows(file)
            )
            for line, row in rows:
                yield file, line, row


class ArrowTable(Table):
    """Arrow files, read from their start by the `datasets` library."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self.label = str(files[0])
        self.columns = self._guarded(lambda: list(next(iter(self._stream()), {})))

    def rows(self, columns: Sequence[str], places: Sequence[int] | None = None) -> Iterator[tuple[int, Row]]:
        self.check(columns)
        for place, row in _at(places, self._guarded_rows()):
            yield place, {column: row.get(column) for column in columns}

    def where(self, place: int) -> str:
        more = f" and the {len(self._files) - 1} after it" if len(self._files) > 1 else ""
        return f"{self.label}{more}, row {place + 1}"

    def _stream(self) -> Iterator[Row]:
        import datasets  # slow to import: only when something is fetched

        paths = {"all": [str(file) for file in self._files]}
        # Without a folder of its own the library would leave lock files in the user's cache.
        with tempfile.TemporaryDirectory() as cache:
            data = datasets.load_dataset("arrow", data_files=paths, split="all", streaming=True, cache_dir=cache)
            yield from (data.decode(False) if data.features else data)

    def _guarded_rows(self) -> Iterator[Row]:
        rows = self._guarded(self._stream)
        while (row := self._guarded(lambda: next(rows, None))) is not None:
            yield row

    def _guarded(self, read: Callable[[], _Out]) -> _Out:
        try:
            return read()
        except Exception as error:
            # Which exceptions its parsers raise differs between formats and versions; none names what to do.
            raise unreadable(self._files[0], error) from error


def unreadable(file: Path, error: Exception) -> DatasetError:
    """What to say of a local file that cannot be read as a table."""
    return _pointer(file) if _is_pointer(file) else DatasetError(f"cannot read {file.name} in {file.parent}: {error}")


def _is_pointer(file: Path) -> bool:
    if not file.is_file() or file.stat().st_size >= 1024:
        return False
    return file.read_bytes().startswith(b"version https://git-lfs")


def _pointer(file: Path) -> DatasetError:
    return DatasetError(
        f"{file}: only the pointer to a file that Git LFS keeps; run `git lfs pull` in the clone, and try again"
    )


def local_table(files: Sequence[Path]) -> Table:
    """The table in local files of one kind."""
    kind = files[0].suffix.lower()
    if kind in (*CSV_SUFFIXES, ".jsonl"):
        return TextTable(files)
    if kind == ".arrow":
        return ArrowTable(files)
    return ParquetTable([Part(str(file), partial(str, file), partial(unreadable, file)) for file in files])
