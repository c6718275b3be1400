"""What stands before the lab: only this machine's own page may ask, only so much and only for so long.

A page of another host in the same browser can send requests here too; with a name that is made to point here ("DNS rebinding") it
would even read the answers. So Host and Origin are checked against the few that the lab itself has.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rmsprop.lab.answers import to_json

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Bytes of a body, characters of a path and of a query.
MOST_BODY, MOST_PATH = 2 << 20, 1_000
_METHODS = ("GET", "HEAD", "POST")
_LOG = logging.getLogger("rmsprop.lab")
_HEADERS = {
    # Plotly sets styles in its elements; its pictures are blobs and data.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; connect-src 'self';"
        " font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class RefusedRequestError(Exception):
    """A request that is not let in: its status, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """An ASGI application behind checks of each request, with headers that hold the browser to its own page.

    Args:
        app: what answers what is let in; its requests have their whole body in one message.
        host: what the server listens on.
        port: the port that it listens on.
        seconds: in which a body must have come.
    """

    def __init__(self, app: App, host: str, port: int, seconds: float) -> None:
        self._app = app
        self._port = port
        self._seconds = seconds
        self._names = {"127.0.0.1", "localhost", "[::1]", f"[{host}]" if ":" in host else host.lower()}
        # Who listens on every address is asked for by any of them; by number alone, as a name may be anyone's.
        self._any = host in ("0.0.0.0", "::")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": _with_ours(message.get("headers", []))}
            await send(message)

        try:
            body = await self._let_in(scope, receive)
            await self._app(scope, _Replay(body, receive), sent)
        except RefusedRequestError as error:
            await _refuse(sent, error.status, str(error))
        except Exception:
            _LOG.exception("a request failed")
            if not started:
                await _refuse(sent, 500, "the lab failed on this; what happened is on the terminal that it was started from")

    async def _let_in(self, scope: Scope, receive: Receive) -> bytes:
        """Return the body of a request that may be answered."""
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            if key in headers and key in ("host", "origin", "content-length", "content-type"):
                raise RefusedRequestError(400, f"the request has two {key} headers")
            headers[key] = value.decode("latin-1")
        host = headers.get("host", "")
        if not self._ours(host):
            raise RefusedRequestError(421, f"the lab is not at {host[:60]!r}; open it at the address that it printed")
        if scope["method"] not in _METHODS:
            raise RefusedRequestError(405, f"the lab answers {', '.join(_METHODS)}, not {scope['method'][:20]}")
        if len(scope["path"]) > MOST_PATH or len(scope.get("query_string", b"")) > MOST_PATH:
            raise RefusedRequestError(414, f"the address is longer than {MOST_PATH:,} characters")
        if scope["method"] != "POST":
            return b""
        self._check_post(headers)
        try:
            return await asyncio.wait_for(_body(receive), self._seconds)
        except TimeoutError:
            raise RefusedRequestError(408, f"the body did not come within {self._seconds:g} s") from None

    def _check_post(self, headers: dict[str, str]) -> None:
        origin = headers.get("origin")
        if origin is not None and not (origin.startswith("http://") and self._ours(origin.removeprefix("http://"))):
            raise RefusedRequestError(403, f"the lab answers its own page, not one of {origin[:60]!r}")
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise RefusedRequestError(403, "the lab answers its own page, not one of another site")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" or headers.get("content-encoding", "identity") != "identity":
            raise RefusedRequestError(415, f"the body must be plain application/json, got {kind[:60]!r}")
        if "content-length" in headers and "transfer-encoding" in headers:
            raise RefusedRequestError(400, "the request gives its body both a length and an encoding")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or len(length) > 20:
            raise RefusedRequestError(400, f"content-length must be a number of bytes, got {length[:40]!r}")
        if int(length) > MOST_BODY:
            raise RefusedRequestError(413, _too_large())

    def _ours(self, host: str) -> bool:
        """Return whether a Host header's value, with its port, names this server."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or port.endswith("]"):
            name, port = host.lower(), "80"
        if port != str(self._port):
            return False
        return name in self._names or (self._any and _is_address(name.strip("[]")))


class _Replay:
    """What an application receives from: the body that was read already, then whatever comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


async def _body(receive: Receive) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedRequestError(400, "the body broke off")
        part = message.get("body", b"")
        size += len(part)
        if size > MOST_BODY:
            raise RefusedRequestError(413, _too_large())
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large() -> str:
    return f"the body has more than {MOST_BODY:,} bytes; paste fewer rows"


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_ours(headers: Any) -> list[tuple[bytes, bytes]]:
    """Return an answer's headers with the guard's; none is kept by a browser unless it says so."""
    ours = dict(_HEADERS)
    if all(name.lower() != b"cache-control" for name, _ in headers):
        ours["cache-control"] = "no-store"
    return [*headers, *((name.encode(), value.encode()) for name, value in ours.items())]


async def _refuse(send: Send, status: int, message: str) -> None:
    body = to_json({"error": message, "field": None})
    # What is left of a body is not read: the connection ends with this answer.
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
