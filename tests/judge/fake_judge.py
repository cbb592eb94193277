"""A judge on this machine: an HTTP server that answers as it is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """One HTTP response. content: what the judge says, or None for `body` as it is. wait: seconds before it comes."""

    content: str | None = "0.5"
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    wait: float = 0.0
    cut: bool = False

    def encoded(self) -> bytes:
        if self.content is None:
            return self.body
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": self.content}}]}).encode()


class FakeJudge:
    """url: of its API. asked: bodies of the requests, in the order in which they came; headers likewise.

    reply: what is answered to a request.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.reply: Callable[[dict[str, Any]], Answer] = lambda _: Answer()
        self.at_once = 0
        """The most requests that were under way together."""
        self.url = ""
        self._under_way = 0
        self._lock = threading.Lock()

    def answers(self, *answers: Answer) -> None:
        """Answer so, one after another; the last one for good."""
        left = list(answers)

        def reply(body: dict[str, Any]) -> Answer:
            with self._lock:
                return left.pop(0) if len(left) > 1 else left[0]

        self.reply = reply

    @contextmanager
    def running(self, port: int = 0) -> Iterator[FakeJudge]:
        judge, stopped = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with judge._lock:
                    judge.asked.append(body)
                    judge.headers.append(dict(self.headers))
                    judge.paths.append(self.path)
                    judge._under_way += 1
                    judge.at_once = max(judge.at_once, judge._under_way)
                try:
                    self._answer(judge.reply(body))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # who asked has given up
                finally:
                    with judge._lock:
                        judge._under_way -= 1

            def _answer(self, answer: Answer) -> None:
                stopped.wait(answer.wait)
                data = answer.encoded()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data) + (10 if answer.cut else 0)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            stopped.set()
            server.shutdown()
            server.server_close()
            thread.join()
