"""Tables of a person's own, on the Hub or in a folder: `hf:owner/name`, fetched once and kept like shipped datasets."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from pytest_vtc.datasets.base import DatasetError, Draw, Progress
from pytest_vtc.datasets.hub import Folder, Repository, locate, within
from pytest_vtc.datasets.hub_dataset import HubDataset, Opened, Question, Row
from pytest_vtc.datasets.kept_images import MANIFEST
from pytest_vtc.datasets.manifest import DEFAULT_MAX_NEW_TOKENS, DEFAULT_SCORING, read_header
from pytest_vtc.datasets.originals import image_bytes
from pytest_vtc.datasets.own_columns import SEPARATOR, Reader, choose, parse
from pytest_vtc.datasets.table_files import DEFAULT, SUFFIXES, Found

PREFIX = "hf:"
_KEPT_IN = "hf"
_SHOWN = 5
"""Files that a line names; of more it says how many."""


@dataclass(frozen=True)
class Place:
    """Where a table is: `hf:PLACE[:CONFIG[:SPLIT]]`. folder: PLACE, if it is a path and no repository."""

    spec: str
    name: str
    config: str
    split: str | None
    folder: Path | None

    @property
    def identity(self) -> str:
        """The same for the same table, from wherever it is asked for."""
        where = self.name if self.folder is None else str(self.folder.resolve())
        return f"{where}:{self.config}:{self.split or ''}"


def parse_place(spec: str) -> Place:
    """Read `hf:owner/name:config:split` or `hf:./folder`. Raises DatasetError."""
    name, config, split, *more = [*_parts(spec.removeprefix(PREFIX)), "", ""]
    folder = Path(name).expanduser() if name.startswith((".", "~", "/")) or Path(name).is_absolute() else None
    if any(more) or not name or (folder is None and not re.fullmatch(r"[\w.-]+/[\w.-]+", name)):
        raise DatasetError(
            f"{spec!r} names no table: write hf:owner/name, hf:owner/name:config:split, hf:owner/name::split, or a "
            "folder as hf:./folder"
        )
    return Place(spec, name, config or DEFAULT, split or None, folder)


def _parts(text: str) -> list[str]:
    drive = re.match(r"[A-Za-z]:[\\/]", text)
    head = drive[0] if drive else ""
    first, *others = text[len(head) :].split(":")
    return [head + first, *others]


class OwnTable(HubDataset):
    """The table of one spec; `own_table` makes a class for each."""

    description: ClassVar[str] = "a table of your own"
    licence: ClassVar[str] = "as where it comes from"
    scoring: ClassVar[str] = DEFAULT_SCORING
    max_new_tokens: ClassVar[int] = DEFAULT_MAX_NEW_TOKENS
    about_mb: ClassVar[int] = 0
    place: ClassVar[Place]
    asked: ClassVar[Mapping[str, str]]
    """Columns by role, as far as a person said."""

    def __init__(self) -> None:
        self._reader: Reader | None = None
        self._opened: Opened | None = None

    @property
    def command(self) -> str:
        columns = ",".join(f"{role}={names}" for role, names in self.asked.items())
        return f"python -m pytest_vtc fetch {self.place.spec}" + (f" --columns {columns}" if columns else "")

    def folder(self, home: Path) -> Path:
        columns = ",".join(f"{role}={names}" for role, names in sorted(self.asked.items()))
        key = hashlib.sha256(f"{self.place.identity}|{columns}".encode()).hexdigest()[:8]
        return home / _KEPT_IN / f"{self.name}-{key}"

    def ready(self, home: Path) -> bool:
        """Whether it is fetched and, if it is a folder, has not changed since."""
        return self.held(home) is not None and self.is_fresh(self.manifest_path(home))

    def is_fresh(self, manifest: Path) -> bool:
        """Whether a manifest of this table is of the files as they are."""
        return read_header(manifest).extra.get("files") == _fingerprint(self.place.folder)

    def announce(self, progress: Progress, source: Path | None, draw: Draw | None = None) -> None:
        part = "" if draw is None else f", of which {draw.n:,} samples are drawn by seed {draw.seed}"
        origin = source or self.place.folder or f"https://huggingface.co/datasets/{self.place.name}"
        progress(f"{self.place.spec}: from {origin}{part}")

    def reads(self, opened: Opened, progress: Progress) -> tuple[Sequence[str], Sequence[str]]:
        table = opened.table
        scored = not self.asked or "answer" in self.asked
        chosen = choose(self.asked, list(table.columns), f"{self.place.spec} ({table.label})", scored)
        if not self.asked:
            progress(f"{self.place.spec}: taking the columns {chosen} (to name others: {self.command} --columns ...)")
        separator = SEPARATOR if table.cells_are_text else None
        self._opened, self._reader = opened, Reader(chosen, table.class_names, separator)
        return chosen.text, chosen.image

    def facts(self) -> dict[str, Any]:
        assert self._opened is not None, "the table is opened first"
        place = self.place
        return {
            "table": place.identity,
            "spec": place.spec if place.folder is None else f"{PREFIX}{place.folder.resolve()}",
            **({} if self._read_by.columns.answer else {"scoring": "none"}),
            "licence": _licence(self._opened.repository.card()),
            "columns": str(self._read_by.columns),
            "files": _fingerprint(place.folder),
        }

    def question(self, row: Row, where: str) -> Question:
        return self._read_by.question(row, where)

    def pictures(self, row: Row, question: Question, where: str) -> Iterator[tuple[None, bytes]]:  # noqa: ARG002
        for column in self._read_by.columns.image:
            for cell in self._read_by.values(row[column]):
                if cell == "":
                    continue
                data = cell if isinstance(cell, bytes) else None
                path = cell if isinstance(cell, str) else None
                if isinstance(cell, dict):
                    fields = cast("dict[str, Any]", cell)
                    data, path = image_bytes(fields), fields.get("path")
                if data is None and path:
                    data = self._beside(path, where)
                if data is None:
                    raise DatasetError(f"{where}: column {column} holds no image: {str(cell)[:60]!r}")
                yield None, data

    def _where(self, place: int) -> str:
        assert self._opened is not None, "the table is opened first"
        return self._opened.table.where(place)

    def _check(
        self, ids: Mapping[int, str], groups: Sequence[str | None], source: Path | None, progress: Progress
    ) -> None:
        if not ids:
            raise DatasetError(f"{self.place.spec}: there are columns and no rows")
        first: dict[str, int] = {}
        for place, name in ids.items():
            if (earlier := first.setdefault(name, place)) != place:
                raise DatasetError(f"{self._where(place)}: the id {name!r} was used in {self._where(earlier)} already")
        super()._check(ids, groups, source, progress)

    @property
    def _read_by(self) -> Reader:
        assert self._reader is not None, "the table is opened first"
        return self._reader

    def _beside(self, path: str, where: str) -> bytes:
        """An image that the table only names: relative to the table's file, or to the repository."""
        assert self._opened is not None, "the table is opened first"
        repository, (table, *_) = self._opened.repository, self._opened.found.files
        for name in dict.fromkeys([posixpath.normpath(posixpath.join(posixpath.dirname(table), path)), path]):
            if name in repository.known:
                (file,) = repository.local([name])
                return file.read_bytes()
        raise DatasetError(f"{where}: no image at {path} beside {table} of {repository.place}")

    def _find(self, source: Path | None, progress: Progress) -> tuple[Repository, Found]:
        place = self.place
        if (folder := source or place.folder) is not None:
            inside = within(folder, place.spec, [place.config], place.split, "tables such as *.parquet")
            self._say_files(*inside, progress)
            return inside
        repository, found = locate(place.spec, [place.name], [place.config], place.split, progress)
        size = sum(repository.size(file) for file in found.files) / 1e6
        licence = _licence(repository.card())
        progress(f"{place.spec}: split {found.split}, {size:,.0f} MB; licence: {licence}")
        self._say_files(repository, found, progress)
        return repository, found

    def _say_files(self, repository: Repository, found: Found, progress: Progress) -> None:
        """Which files make the table, and which do not, unless there is only one."""
        left = [file for file in repository.files if file.lower().endswith(SUFFIXES) and file not in found.files]
        if left or len(found.files) > 1:
            read = _shown(found.files) + (", joined to one table" if len(found.files) > 1 else "")
            progress(f"{self.place.spec}: reading {read}" + (f"; not read: {_shown(left)}" if left else ""))


def _shown(files: Sequence[str]) -> str:
    more = f" and {len(files) - _SHOWN:,} more" if len(files) > _SHOWN else ""
    return ", ".join(files[:_SHOWN]) + more


def _licence(card: Mapping[str, Any]) -> str:
    said = card.get("license")
    return (
        ", ".join(map(str, cast("list[Any]", said))) if isinstance(said, list) else str(said or "its card names none")
    )


def own_table(spec: str, columns: str | None) -> OwnTable:
    """The table that `spec` names. columns: as --vtc-columns has them, None to go by names. Raises DatasetError."""
    where, by_role = parse_place(spec), parse(columns or "")
    said = where.name if where.folder is None else where.folder.resolve().name
    parts = [said, *(part for part in (where.config if where.config != DEFAULT else "", where.split) if part)]

    class Own(OwnTable):
        name: ClassVar[str] = re.sub(r"[^\w.+-]+", "_", "-".join(parts))
        place: ClassVar[Place] = where
        asked: ClassVar[Mapping[str, str]] = by_role
        repositories: ClassVar[tuple[str, ...]] = (where.name,)
        configs: ClassVar[tuple[str, ...]] = (where.config,)

    return Own()


def make_ready(spec: str, columns: str | None, home: Path, progress: Progress) -> None:
    """Fetch the table that `spec` names, unless it is there already. Raises DatasetError."""
    table = own_table(spec, columns)
    if not (table.ready(home) or (not columns and any(table.is_fresh(path) for path in _kept(table, home)))):
        table.fetch(home, None, progress)


def manifest_of(spec: str, columns: str | None, home: Path) -> Path:
    """The manifest of a fetched table; without columns, that of any, if there is only one.

    Raises DatasetError, naming the command that fetches it.
    """
    table = own_table(spec, columns)
    if table.held(home) is not None:
        return table.manifest_path(home)
    kept = [] if columns else _kept(table, home)
    if len(kept) > 1:
        taken = "; ".join(str(read_header(path).extra.get("columns")) for path in kept)
        raise DatasetError(f"{spec} is fetched with different columns; say which by --vtc-columns: {taken}")
    if not kept:
        raise DatasetError(f"{spec} is not fetched; run: {table.command}")
    return kept[0]


def fetched_tables(home: Path) -> list[tuple[str, Path]]:
    """The own tables that are fetched: what each was asked for as, and its manifest."""
    found: list[tuple[str, Path]] = []
    for path in sorted((home / _KEPT_IN).glob(f"*/{MANIFEST}")):
        try:
            found.append((str(read_header(path).extra.get("spec")), path))
        except DatasetError:
            found.append((path.parent.name, path))
    return found


def _kept(table: OwnTable, home: Path) -> list[Path]:
    """Manifests of the same table, with whatever columns."""
    found: list[Path] = []
    for _, path in fetched_tables(home):
        try:
            if read_header(path).extra.get("table") == table.place.identity:
                found.append(path)
        except DatasetError:
            continue  # damaged: it is fetched again when it is asked for with its columns
    return found


def _fingerprint(folder: Path | None) -> str | None:
    """Changes when a file of the folder does."""
    if folder is None:
        return None
    digest = hashlib.sha256()
    for name in Folder(folder).files:
        about = (folder / name).stat()
        digest.update(f"{name}\x00{about.st_size}\x00{about.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
