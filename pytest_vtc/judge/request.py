"""One request to a judge: what is sent, and the key under which its reply is kept."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import dataclass
from typing import Any

from pytest_vtc.datasets.base import ImageSource
from pytest_vtc.datasets.images import ImageFile
from pytest_vtc.scoring.judges import Message

_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif"}
"""Formats that judges take as they are, by how their files begin."""


@dataclass(frozen=True)
class Request:
    """model: the judge's. images: shown behind the last message. attempt: 0, or how often an unreadable reply came.

    The first attempt is made at temperature 0, each that follows at half a degree more, as MM-Vet's evaluator and
    VLMEvalKit do: the same request would bring the same reply.
    """

    model: str
    messages: tuple[Message, ...]
    images: tuple[ImageSource, ...]
    max_tokens: int
    attempt: int

    def facts(self) -> dict[str, Any]:
        """Everything that the reply depends on, as plain data; images by their fingerprints. Raises DatasetError."""
        return {
            "model": self.model,
            "messages": list(self.messages),
            "images": [image.fingerprint() for image in self.images],
            "temperature": 0.5 * self.attempt,
            "max_tokens": self.max_tokens,
            "attempt": self.attempt,
        }

    def key(self) -> str:
        """Of the reply: the same for the same judge, whichever endpoint serves it. Raises DatasetError."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode("ascii")).hexdigest()

    def body(self) -> dict[str, Any]:
        """What is sent: the images within the last message. Raises DatasetError."""
        messages: list[dict[str, Any]] = [dict(message) for message in self.messages]
        if self.images:
            shown = [{"type": "image_url", "image_url": {"url": _data_url(image)}} for image in self.images]
            messages[-1]["content"] = [{"type": "text", "text": messages[-1]["content"]}, *shown]
        facts = self.facts()
        sent = {name: facts[name] for name in ("model", "temperature", "max_tokens")}
        return {**sent, "messages": messages}


def _data_url(image: ImageSource) -> str:
    """The image as it lies on disk where judges can read that, otherwise as PNG."""
    if isinstance(image, ImageFile) and image.path.is_file():
        data = image.path.read_bytes()
        for beginning, kind in _KINDS.items():
            if data.startswith(beginning):
                return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
    buffer = io.BytesIO()
    image.open().save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
