"""The images of one fetch: written once each, and not read again where an earlier fetch of the revision has them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from pytest_vtc.datasets.base import DatasetError
from pytest_vtc.datasets.manifest import read_rows
from pytest_vtc.datasets.originals import write_original

JOURNAL = "fetching.jsonl"
"""What a fetch that was cut off has done, in the folder of its dataset: a line for every row whose images are there."""

MANIFEST = "manifest.jsonl"
_IDENTITY = ("source", "revision", "config", "split")


class KeptImages:
    """root: the dataset's folder. facts: where the images come from; without a revision nothing is taken over.

    key: the field of a manifest's row under which its images are known again.
    """

    def __init__(self, root: Path, facts: Mapping[str, Any], key: str = "id") -> None:
        self._root, self._journal = root, root / JOURNAL
        self._identity = {name: facts.get(name) for name in _IDENTITY}
        self._sizes: dict[str, int] = {}
        self._known: dict[str, list[str]] = {}
        self._file: Any = None
        if facts.get("revision") is not None:
            self._known = {**dict(self._of_manifest(key)), **dict(self._of_journal())}

    @property
    def any_known(self) -> bool:
        """Whether an earlier fetch has left anything."""
        return bool(self._known)

    @property
    def n_bytes(self) -> int:
        """Of all images that were written or found."""
        return sum(self._sizes.values())

    def names(self, key: str) -> list[str] | None:
        """Paths of the images of a row, relative to the manifest, if all of them are here already."""
        names = self._known.get(key)
        if names is None:
            return None
        try:
            sizes = {name: (self._root / name).stat().st_size for name in names}
        except OSError:
            return None
        self._sizes |= sizes
        return names

    def write(self, stem: str | None, data: bytes, where: str) -> str:
        """Keep an image; its path relative to the manifest. stem: name of its file, None for one of its content."""
        stem = stem or hashlib.sha256(data).hexdigest()[:24]
        name = f"images/{write_original(self._root / 'images', stem, data, where).name}"
        self._sizes[name] = len(data)
        return name

    def done(self, key: str, names: Sequence[str]) -> None:
        """Note that the images of a row are written."""
        if self._file is not None:
            self._file.write(json.dumps([key, list(names)]) + "\n")

    def __enter__(self) -> KeptImages:
        if self._identity["revision"] is not None:
            try:
                self._journal.parent.mkdir(parents=True, exist_ok=True)
                # Line by line: a process that is killed has noted all that it wrote.
                self._file = self._journal.open("w", encoding="utf-8", buffering=1)
                self._file.write(json.dumps(self._identity) + "\n")
                for key, names in self._known.items():
                    self.done(key, names)
            except OSError as error:
                raise DatasetError(f"{self._journal}: cannot write the journal ({error.strerror})") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def finished(self) -> None:
        """Forget the journal: the manifest has it all."""
        self._journal.unlink(missing_ok=True)

    def _of_manifest(self, key: str) -> Iterator[tuple[str, list[str]]]:
        try:
            rows = iter(read_rows(self._root / MANIFEST))
            _, header = next(rows, (0, {}))
            if {name: header.get(name) for name in _IDENTITY} != self._identity:
                return
            for _, row in rows:
                if isinstance(row.get(key), str):
                    yield row[key], [str(name) for name in row.get("images") or [row.get("image")]]
        except DatasetError:
            return  # none there, or a damaged one: what it may have had is fetched again

    def _of_journal(self) -> Iterator[tuple[str, list[str]]]:
        try:
            first, *lines = self._journal.read_text(encoding="utf-8").splitlines()
            if json.loads(first) != self._identity:
                return
        except (OSError, ValueError):
            return
        for line in lines:
            try:
                key, names = cast("tuple[str, list[str]]", json.loads(line))
            except ValueError:
                return  # the line that was being written when the fetch was cut off
            yield key, names
