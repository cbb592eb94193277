"""Where a judge is: its address, checked, and the key that may be sent there."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pytest_vtc.option_values import OptionError

KEY = "VTC_JUDGE_API_KEY"
"""Environment variable of the key, sent to whatever judge is named."""

OPENAI_KEY = "OPENAI_API_KEY"
"""The one that others use too, and which therefore must not go to any server that an ini file happens to name."""

_OPENAI_BASE = "OPENAI_BASE_URL"
_SECRETS = ("key", "token", "secret", "signature", "password")
_EXAMPLE = "write https://api.openai.com/v1, or http://localhost:8000/v1 for a server of your own"


@dataclass(frozen=True)
class Endpoint:
    """url: of chat completions. key: what it is called with, if anything. withheld: OPENAI_API_KEY is set, not sent."""

    url: str
    key: str | None = field(default=None, repr=False)
    withheld: bool = False

    @property
    def is_local(self) -> bool:
        return _is_local(urlsplit(self.url).hostname or "")

    def __str__(self) -> str:
        return self.url.partition("?")[0]


def check_url(text: str) -> str:
    """`text`, if it can be the address of a judge. Raises OptionError."""
    _split(text)
    return text


def endpoint(text: str, environ: Mapping[str, str] = os.environ) -> Endpoint:
    """The endpoint that `--vtc-judge` names: the address of the API, with or without `/chat/completions`.

    Without any path it is taken for `/v1`. Raises OptionError if the address or the key cannot be used.
    """
    parts = _split(text)
    path = parts.path.rstrip("/") or "/v1"
    if not path.endswith("/chat/completions"):
        path += "/chat/completions"
    url = parts._replace(path=path, fragment="").geturl()
    if key := environ.get(KEY, "").strip():
        return Endpoint(url, _checked(KEY, key))
    key = environ.get(OPENAI_KEY, "").strip()
    if key and _may_have_openai_key(parts, environ):
        return Endpoint(url, _checked(OPENAI_KEY, key))
    return Endpoint(url, withheld=bool(key))


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        raise OptionError(f"--vtc-judge: {text!r} is no address; {_EXAMPLE}") from None
    if parts.username is not None or parts.password is not None:
        # Not shown: the command line of a run is recorded, and messages end up in logs.
        raise OptionError(f"--vtc-judge: leave the key out of the address; it belongs in the environment, as {KEY}")
    if any(secret in name.lower() for name, _ in parse_qsl(parts.query) for secret in _SECRETS):
        raise OptionError(f"--vtc-judge: leave the key out of the address; it belongs in the environment, as {KEY}")
    if not known or not text.isascii() or any(character.isspace() for character in text):
        raise OptionError(f"--vtc-judge: {text!r} is no address of a server; {_EXAMPLE}")
    return parts


def _checked(name: str, key: str) -> str:
    if not (key.isascii() and key.isprintable()):
        raise OptionError(f"{name}: the key has characters that no key has; was it cut or pasted wrongly?")
    return key


def _may_have_openai_key(parts: SplitResult, environ: Mapping[str, str]) -> bool:
    host = (parts.hostname or "").lower()
    try:
        own = urlsplit(environ.get(_OPENAI_BASE, "")).hostname
    except ValueError:
        own = None
    return host == own or host == "openai.com" or host.endswith(".openai.com") or _is_local(host)


def _is_local(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
