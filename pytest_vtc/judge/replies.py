"""Replies of judges, kept on disk: a run that is repeated, or scored anew, asks nothing twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_vtc.store import StoreError
from pytest_vtc.whole_file import write_whole

REPLIES_NAME = "judge-replies"
"""Their folder in a run's output folder."""


class Replies:
    """One small file a reply, with the request beside it, written whole: any number of processes may share the folder.

    fresh: replies of earlier runs are not used.
    """

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self._fresh = fresh
        self._own: set[str] = set()

    def get(self, key: str) -> str | None:
        """The reply under a key; None if there is none, or none that can be read: it is asked for again."""
        if self._fresh and key not in self._own:
            return None
        try:
            reply = json.loads(self._path(key).read_text(encoding="utf-8"))["reply"]
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return reply if isinstance(reply, str) else None

    def put(self, key: str, request: Mapping[str, Any], reply: str) -> None:
        """Keep a reply. Raises StoreError: a reply that cannot be kept would be paid for again."""
        path = self._path(key)
        try:
            write_whole(path, [json.dumps({"request": request, "reply": reply}, indent=1), "\n"])
        except OSError as error:
            raise StoreError(
                f"cannot keep the judge's reply in {path} ({error.strerror}); make room or make the folder writable, "
                "then run the same command again"
            ) from error
        self._own.add(key)

    def copy_from(self, other: Replies) -> None:
        """Take over what another folder holds and this one does not. Raises StoreError."""
        try:
            for path in other.folder.glob("??/*.json"):
                mine = self.folder / path.parent.name / path.name
                if not mine.exists():
                    mine.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, mine)
        except OSError as error:
            raise StoreError(f"cannot copy the judge's replies to {self.folder} ({error.strerror})") from error

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
