"""What a judge is asked: messages with named gaps, which each case fills with its own texts."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_GAP = re.compile(r"\{\{([A-Za-z_]\w*)\}\}|\{([A-Za-z_]\w*)\}")

Message = dict[str, str]
"""`role` and `content`, as chat endpoints take them."""


@dataclass(frozen=True)
class Prompt:
    """messages: (role, text) pairs. In a text `{name}` is a gap, and `{{name}}` stands for `{name}` itself.

    Other braces are plain text.
    """

    messages: tuple[tuple[str, str], ...]

    @property
    def gaps(self) -> set[str]:
        """Names of what is to be filled in."""
        return {found[2] for _, text in self.messages for found in _GAP.finditer(text) if found[2]}

    def filled(self, values: Mapping[str, str]) -> list[Message]:
        """The messages of one case. values: by the gap's name; a gap in a value stays as it is."""

        def fill(found: re.Match[str]) -> str:
            return f"{{{found[1]}}}" if found[1] else values[found[2]]

        return [{"role": role, "content": _GAP.sub(fill, text)} for role, text in self.messages]

    def fingerprint(self) -> str:
        """Changes with every change of the wording."""
        return hashlib.sha256(json.dumps(self.messages).encode()).hexdigest()[:16]
