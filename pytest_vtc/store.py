"""The durable store: every generation that was ever finished, by a key of everything that can change it (SQLite)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from pytest_vtc.cells import Generation

STORE_NAME = "measurements.sqlite"
"""Its file in a run's output folder."""

SCHEMA_VERSION = 3
"""Written to the file. To be raised whenever the table or the fields of `Generation` change."""

_APPLICATION_ID = 0x56544331  # "VTC1": tells our files from other SQLite files
_KEYS_PER_QUERY = 500  # SQLite before 3.32 takes at most 999 parameters
_LOCK_SECONDS = 30.0


class StoreError(RuntimeError):
    """The store cannot be read or written; the message names the file, what is wrong and what to do."""


def case_key(parts: Mapping[str, Any]) -> str:
    """Key of a case, 64 hexadecimal digits: the SHA-256 of `parts` as canonical JSON.

    parts: plain data (names to strings, numbers, booleans, None, lists, dictionaries with string keys); the order of
    names does not matter, and 1 and 1.0 are different values.

    Raises:
        TypeError: a value is no plain data.
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(dict(parts), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Store:
    """Generations by key, in one SQLite file.

    What `put_many` has returned from survives a killed process and a power cut: write-ahead log, synced to disk at
    every commit (2.4 ms a window on an SSD; without the sync a power cut could take the last windows back).

    One process writes; any number may read beside it with `readonly=True`, for which a file that is not there yet, or
    in which nothing has been written yet, reads as empty. A store belongs to the thread that made it.

    Raises:
        StoreError: the folder or the file cannot be written, or the file is damaged, no store, or of another version.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        self.readonly = readonly
        self._connection: sqlite3.Connection | None = None
        if not readonly:
            self._connection = self._open_for_writing()

    def get_many(self, keys: Iterable[str]) -> dict[str, Generation]:
        """The stored generations among `keys`; keys that are not stored are left out. Raises StoreError."""
        wanted = list(keys)
        found: dict[str, Generation] = {}
        try:
            connection = self._reader()
            if connection is None:
                return found
            for start in range(0, len(wanted), _KEYS_PER_QUERY):
                chunk = wanted[start : start + _KEYS_PER_QUERY]
                marks = ",".join("?" * len(chunk))
                # As bytes: of an overwritten page SQLite cannot make text, and would not say that the file is damaged.
                query = f"SELECT key, CAST(payload AS BLOB) FROM generation WHERE key IN ({marks})"
                for key, payload in connection.execute(query, chunk):
                    found[key] = self._decoded(key, payload)
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        return found

    def put_many(self, items: Iterable[tuple[str, Generation]]) -> None:
        """Store one window: all of it, or, if StoreError is raised, none of it; a key that is there is replaced."""
        created = time.time()
        rows = [(key, json.dumps(generation.to_dict(), allow_nan=False), created) for key, generation in items]
        if not rows:
            return
        if self._connection is None:
            raise StoreError(f"{self.path}: the store was opened for reading only, or is closed")
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO generation VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unwritable(error) from error
        finally:
            self._roll_back()

    def copy_from(self, other: Store) -> None:
        """Take over what another store holds and this one does not: all of it, or, if StoreError is raised, nothing."""
        if self._connection is None:
            raise StoreError(f"{self.path}: the store was opened for reading only, or is closed")
        try:
            source = other._reader()
            rows = () if source is None else source.execute("SELECT key, payload, created FROM generation")
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR IGNORE INTO generation VALUES (?, ?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._unwritable(error) from error
        finally:
            self._roll_back()

    def __len__(self) -> int:
        try:
            connection = self._reader()
            return 0 if connection is None else int(connection.execute("SELECT count(*) FROM generation").fetchone()[0])
        except sqlite3.Error as error:
            raise self._unreadable(error) from error

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it. Not needed for durability."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_for_writing(self) -> sqlite3.Connection:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"cannot make the output folder {self.path.parent} ({error.strerror}); "
                "choose another one with --vtc-output"
            ) from error
        connection: sqlite3.Connection | None = None
        try:
            connection = sqlite3.connect(self.path, timeout=_LOCK_SECONDS, isolation_level=None)
            # Reading first: another program's file must not be switched to a write-ahead log by us.
            is_new = self._check_version(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if is_new:
                self._create(connection)
            complaint = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if complaint != "ok":
                raise self._damaged(str(complaint).splitlines()[-1])
        except sqlite3.Error as error:
            if connection is not None:
                connection.close()
            raise self._unopened(error) from error
        except StoreError:
            if connection is not None:
                connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        # A run that started beside this one may have made the table while this one waited for the lock.
        if self._check_version(connection):
            connection.execute(
                "CREATE TABLE generation (key TEXT PRIMARY KEY, payload TEXT NOT NULL, created REAL NOT NULL) "
                "WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")

    def _check_version(self, connection: sqlite3.Connection) -> bool:
        """Whether the file is new and empty. Raises StoreError for a file of another program or version."""
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        application = int(connection.execute("PRAGMA application_id").fetchone()[0])
        tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
        if not version and not application and not tables:
            return True
        if application != _APPLICATION_ID:
            raise StoreError(
                f"{self.path} is an SQLite file of another program; choose another folder with --vtc-output"
            )
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} was written by another version of pytest-vtc (store version {version}, this one reads "
                f"{SCHEMA_VERSION}); {_WAY_OUT}"
            )
        return False

    def _reader(self) -> sqlite3.Connection | None:
        """The connection to read from, or None while there is nothing to read."""
        if self._connection is not None:
            return self._connection
        if not self.readonly:
            raise StoreError(f"{self.path}: the store is closed")
        if not self.path.exists():
            return None
        address = f"{self.path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(address, uri=True, timeout=_LOCK_SECONDS, isolation_level=None)
        try:
            is_new = self._check_version(connection)
        except (sqlite3.Error, StoreError):
            connection.close()
            raise
        if is_new:
            connection.close()
            return None
        self._connection = connection
        return connection

    def _decoded(self, key: str, payload: bytes) -> Generation:
        try:
            return Generation.from_dict(json.loads(payload))
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"the entry {key} cannot be read: {type(error).__name__}: {error}") from error

    def _roll_back(self) -> None:
        """End a transaction that an error or Ctrl-C has left open; after a commit there is none."""
        if self._connection is not None and self._connection.in_transaction:
            # On a broken disk the rollback may fail like the write did; the write's error is the one to tell.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _damaged(self, what: str) -> StoreError:
        return StoreError(f"{self.path} is no store or a damaged one ({what}); {_WAY_OUT}")

    def _unopened(self, error: sqlite3.Error) -> StoreError:
        if isinstance(error, sqlite3.OperationalError) and "locked" not in str(error):
            return StoreError(
                f"cannot open {self.path} for writing ({error}); make it and its folder writable, "
                "or choose another folder with --vtc-output"
            )
        return self._unreadable(error)

    def _unreadable(self, error: sqlite3.Error) -> StoreError:
        # Plain DatabaseError is what a file that is no SQLite file, or a torn one, raises; subclasses mean the system.
        if type(error) is sqlite3.DatabaseError:
            return self._damaged(str(error))
        if "locked" in str(error):
            return self._locked(error)
        return StoreError(f"cannot read {self.path} ({error}); check the disk, or choose another --vtc-output")

    def _unwritable(self, error: sqlite3.Error) -> StoreError:
        if type(error) is sqlite3.DatabaseError:
            return self._damaged(str(error))
        if "locked" in str(error):
            return self._locked(error)
        return StoreError(
            f"cannot store in {self.path} ({error}); what was stored before is safe: make room or make the file "
            "writable, then run the same command again"
        )

    def _locked(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"{self.path} is held by another process ({error}); is another run using this folder? wait for it, "
            "or choose another one with --vtc-output"
        )


_WAY_OUT = "delete it (its measurements are then made again) or choose another folder with --vtc-output"
