"""Asks a chat-completions endpoint, again where that may help.

By urllib: what is needed is one POST, and httpx is there only as long as a dependency of ours happens to bring it.
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, cast

from pytest_vtc.judge.endpoint import KEY, OPENAI_KEY, Endpoint

TRIES = 5
"""How often a request is sent that fails for reasons that may pass."""

BACKOFF_SECONDS = 1.0
"""Before the second try; twice as long before each that follows. A server that says how long decides."""

LONGEST_WAIT_SECONDS = 120.0
"""A server that asks for more than this is not waited for."""

TIMEOUT_SECONDS = 120.0
"""Without a byte from the server; long answers of large judges take minutes."""

_PASSING = frozenset({408, 425, 429})


class JudgeError(RuntimeError):
    """A judge that cannot be asked or does not reply; the message says which, why and what to do."""


class _PassingError(Exception):
    """Trying again may help. wait: seconds that the server has asked for."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key is for the server that was named, not for where that points to."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class ChatClient:
    """Sends requests to one endpoint; may be used by several threads at once.

    Once a request has failed for good, those that follow are tried once each, until one succeeds: a judge that is down
    must not hold up a run for every single case.
    """

    def __init__(
        self, endpoint: Endpoint, *, timeout: float = TIMEOUT_SECONDS, backoff: float = BACKOFF_SECONDS
    ) -> None:
        self._endpoint, self._timeout, self._backoff = endpoint, timeout, backoff
        self._down = False
        self._stopped = threading.Event()
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if endpoint.is_local:
            handlers.append(urllib.request.ProxyHandler({}))  # a proxy could not reach it
        self._opener = urllib.request.build_opener(*handlers)

    def reply(self, body: Mapping[str, Any]) -> str:
        """What the judge says to a request in OpenAI's form; "" if it says nothing. Raises JudgeError."""
        data = json.dumps(body).encode("ascii")
        tries = 1 if self._down else TRIES
        for attempt in range(1, tries + 1):
            try:
                text = self._post(data)
            except _PassingError as error:
                if attempt == tries or error.wait > LONGEST_WAIT_SECONDS:
                    self._down = True
                    raise self._gave_up(error, attempt) from error
                if self._stopped.wait(max(error.wait, self._backoff * 2 ** (attempt - 1))):
                    raise JudgeError("the run was stopped") from error
            else:
                self._down = False
                return self._content(text)
        raise AssertionError("unreachable")

    def stop(self) -> None:
        """Wait no longer for another try."""
        self._stopped.set()

    def _post(self, data: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "User-Agent": "pytest-vtc"}
        if self._endpoint.key is not None:
            headers["Authorization"] = f"Bearer {self._endpoint.key}"
        request = urllib.request.Request(self._endpoint.url, data, headers, method="POST")
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from error
        except (OSError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            if isinstance(reason, TimeoutError):
                raise _PassingError(f"nothing came for {self._timeout:g} s") from error
            raise _PassingError(str(reason) or type(reason).__name__) from error

    def _refused(self, error: urllib.error.HTTPError) -> Exception:
        """What a status other than success means."""
        said = b""
        with contextlib.suppress(OSError, http.client.HTTPException):
            said = error.read(1 << 16)
        status = f"{error.code}: {self._shown(said) or error.reason}"
        if error.code in _PASSING or error.code >= 500:
            return _PassingError(status, _seconds(error.headers.get("Retry-After")))
        if 300 <= error.code < 400:
            return self._error(f"points to {error.headers.get('Location')}; give --vtc-judge the address itself")
        if error.code in (401, 403):
            return self._error(f"refuses to be asked ({status}); {self._about_the_key()}")
        if error.code in (404, 405):
            return self._error(f"knows no such model or path ({status}); check --vtc-judge and --vtc-judge-model")
        return self._error(f"refuses the request ({status}); if it asks too much of this judge, choose another one")

    def _about_the_key(self) -> str:
        if self._endpoint.key is not None:
            return f"check the key in {KEY} or {OPENAI_KEY}"
        withheld = f" ({OPENAI_KEY} goes to OpenAI and this machine alone)" if self._endpoint.withheld else ""
        return f"set the environment variable {KEY}{withheld}"

    def _gave_up(self, error: _PassingError, tries: int) -> JudgeError:
        if error.wait > LONGEST_WAIT_SECONDS:
            return self._error(f"wants to be asked again in {error.wait:,.0f} s only ({error}); try again then")
        times = f" after {tries} tries" if tries > 1 else ""
        return self._error(f"gives no reply{times} ({error}); check that it runs, and the address")

    def _content(self, text: bytes) -> str:
        """The reply within a response. Raises JudgeError if it is none."""
        try:
            message = json.loads(text)["choices"][0]["message"]
            content = message.get("content")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise self._error(
                f"answers something that is no chat completion ({self._shown(text) or 'nothing'}); "
                "check the address, which often ends in /v1"
            ) from error
        if isinstance(content, list):  # some servers give parts, as requests may have them
            parts = cast("list[Any]", content)
            return "".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
        return content if isinstance(content, str) else ""

    def _error(self, what: str) -> JudgeError:
        return JudgeError(f"the judge at {self._endpoint} {what}")

    def _shown(self, text: bytes) -> str:
        """What a server has said, short, on one line and without the key."""
        shown = text.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, LookupError, TypeError, RecursionError):
            shown = str(json.loads(text)["error"]["message"])
        if self._endpoint.key is not None:
            shown = shown.replace(self._endpoint.key, "...")
        shown = " ".join("".join(character if character.isprintable() else " " for character in shown).split())
        return shown if len(shown) <= 200 else f"{shown[:200]}..."


def _seconds(retry_after: str | None) -> float:
    """What a Retry-After header asks for: seconds, or a date."""
    try:
        return max(0.0, float(retry_after or 0))
    except ValueError:
        pass
    try:
        at = email.utils.parsedate_to_datetime(retry_after or "")
    except ValueError:
        return 0.0
    now = datetime.datetime.now(at.tzinfo)
    return max(0.0, (at - now).total_seconds())
