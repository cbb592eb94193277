"""A Hub of its own on this machine: as much of its interface as the client uses, and a count of what is transferred."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

COMMIT = "c" * 40


class FakeHub:
    """Serves the folders `root / owner / name` as dataset repositories.

    moved: old ids and the new ones they lead to. gated: repositories whose files nobody gets. broken_after: once so
    many bytes are sent, connections break off.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.moved: dict[str, str] = {}
        self.gated: set[str] = set()
        self.broken_after: int | None = None
        self.n_bytes = 0
        self.requests: list[str] = []
        self._lock = threading.Lock()

    def folder(self, repository: str) -> Path:
        return self.root / repository

    def note(self, line: str, n_bytes: int) -> bool:
        """Count a reply; whether it may be sent."""
        with self._lock:
            self.requests.append(line)
            self.n_bytes += n_bytes
            return self.broken_after is None or self.n_bytes <= self.broken_after

    def forget(self) -> None:
        self.n_bytes, self.requests, self.broken_after = 0, [], None


def _handler(hub: FakeHub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Nothing is printed."""

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if match := re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?", path):
                self.about(match[1], match[2], match[4] or "")
            elif match := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                self.content(match[1], match[2])
            else:
                self.reply(404, b"{}")

        def about(self, repository: str, what: str | None, below: str) -> None:
            if repository in hub.moved:
                moved = self.path.replace(repository, hub.moved[repository])
                self.reply(307, b"", {"Location": moved})
                return
            folder = hub.folder(repository)
            if not folder.is_dir():
                self.reply(401, b"{}", {"X-Error-Code": "RepoNotFound"})
                return
            files = sorted(path for path in folder.rglob("*") if path.is_file())
            if what == "tree":
                recursive = "recursive=true" in self.path.lower()
                entries = [_entry(path, folder) for path in files if path.is_relative_to(folder / below)]
                shown = [e for e in entries if recursive or str(Path(e["path"]).parent) in (below, below or ".")]
                self.reply(200, json.dumps(shown).encode())
                return
            siblings = [{"rfilename": e["path"], "size": e["size"]} for e in (_entry(p, folder) for p in files)]
            about = {"_id": "1", "id": repository, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0,
                     "private": False, "disabled": False, "gated": False, "likes": 0}  # fmt: skip
            self.reply(200, json.dumps(about).encode())

        def content(self, repository: str, file: str) -> None:
            if repository in hub.moved:
                self.reply(307, b"", {"Location": self.path.replace(repository, hub.moved[repository])})
                return
            path = hub.folder(repository) / file
            if repository in hub.gated:
                self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
                return
            if not path.is_file():
                self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
            data = path.read_bytes()
            headers = {
                "ETag": f'"{hashlib.sha256(data).hexdigest()}"',
                "X-Repo-Commit": COMMIT,
                "Accept-Ranges": "bytes",
            }
            if asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
                first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
                self.reply(206, data[first : last + 1], headers)
            else:
                self.reply(200, data, headers)

        def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            of_a_file = "/resolve/" in self.path and self.command == "GET"
            if not hub.note(f"{self.command} {self.path}", len(body) if of_a_file else 0):
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    return Handler


def _entry(path: Path, folder: Path) -> dict[str, Any]:
    return {"type": "file", "oid": "0" * 40, "size": path.stat().st_size, "path": path.relative_to(folder).as_posix()}


@contextmanager
def served(root: Path, monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[FakeHub]:
    """A Hub that the client in this process takes for the real one. cache: where the client keeps what it fetches."""
    hub = FakeHub(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
