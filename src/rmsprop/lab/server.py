"""The server of the lab: its routes, and what runs it."""

from __future__ import annotations

import errno
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any

from rmsprop.errors import UsageError, missing_extra

try:
    import uvicorn
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route
except ImportError as error:
    raise missing_extra((error.name or "Starlette").partition(".")[0].capitalize(), "'rmsprop[lab]'") from None

from rmsprop.dialects import dialect
from rmsprop.lab import pages
from rmsprop.lab.arithmetic import arithmetic
from rmsprop.lab.catalog import catalog
from rmsprop.lab.deadline import Deadline
from rmsprop.lab.export import KINDS, export
from rmsprop.lab.formulas import lines
from rmsprop.lab.guard import App, Guard
from rmsprop.lab.learn import LANGUAGES, learn
from rmsprop.lab.setup import Setup, SetupError, object_from, whole_from
from rmsprop.lab.surface import surface
from rmsprop.lab.trace import run_of, trace
from rmsprop.lab.work import Work, failure, success

#: Where the lab is by default.
HOST, PORT = "127.0.0.1", 8757
#: Seconds that a request may take.
SECONDS = 10.0

Handler = Callable[[Request], Awaitable[Response]]
Make = Callable[[Any, Deadline], Response]


def application(host: str, port: int, seconds: float = SECONDS) -> App:
    """Return the lab as an ASGI application.

    Args:
        host: what the server listens on.
        port: the port that it listens on.
        seconds: that a request may take.
    """
    work = Work(seconds)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        # SymPy takes a second to load: it is ready by the time that someone has read the page.
        Thread(target=lines, args=(dialect("article"),), daemon=True).start()
        yield
        work.close()

    def posted(path: str, make: Make, patience: float = 1.0) -> Route:
        async def handle(request: Request) -> Response:
            return await work.answer(lambda body, deadline: make(_parsed(body), deadline), await request.body(), patience)

        return Route(path, handle, methods=["POST"])

    def asked(path: str, make: Callable[[str], Any]) -> Route:
        async def handle(request: Request) -> Response:
            return await work.answer(lambda told, deadline: success(make(_language(told))), dict(request.query_params))

        return Route(path, handle)

    app = Starlette(
        routes=[
            *pages.routes(),
            asked("/api/catalog", catalog),
            asked("/api/learn", learn),
            posted("/api/trace", lambda told, deadline: success(trace(Setup.from_json(told), deadline))),
            posted("/api/surface", lambda told, deadline: success(surface(told, deadline))),
            posted("/api/arithmetic", _arithmetic),
            # Pictures are drawn frame by frame.
            *(posted(f"/api/export/{kind}", _exported(kind), 3.0 if kind == "gif" else 1.0) for kind in KINDS),
        ],
        exception_handlers={HTTPException: _refused},
        lifespan=life,
    )
    app.router.redirect_slashes = False
    return Guard(app, host, port, seconds)


def serve(host: str = HOST, port: int = PORT, ready: Callable[[str], object] | None = None) -> None:
    """Serve the lab until Ctrl-C.

    Args:
        host: address to listen on.
        port: from 0 to 65,535; 0 for a free one.
        ready: called with the page's address once the server listens.

    Raises:
        UsageError: it cannot listen there.
    """
    with _listening(host, port) as listener:
        taken = listener.getsockname()[1]
        config = uvicorn.Config(
            application(host, taken),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        shown = {"0.0.0.0": HOST, "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
        server.ready = lambda: None if ready is None else ready(f"http://{shown}:{taken}/")
        server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    ready: Callable[[], object] = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens, or say why there is none."""
    if not host:
        raise UsageError(f"host must be an address, such as {HOST}, got none; leave --host out")
    if not 0 <= port <= 65_535:
        raise UsageError(f"port must be from 0 to 65,535, got {port:,}; 0 takes a free one")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        code = getattr(error, "errno", None)
        if code == errno.EADDRINUSE:
            why = f"port {port} is taken; give another --port, or 0 for a free one"
        elif code == errno.EACCES:
            why = f"port {port} is not for this user; give a --port above 1023, or 0 for a free one"
        else:
            why = f"it is no address of this machine ({getattr(error, 'strerror', None) or error}); leave --host out"
        raise UsageError(f"cannot listen on {host}: {why}") from None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_no_constant)
    except SetupError:
        raise
    except (ValueError, RecursionError) as error:
        raise SetupError(f"the body must be JSON: {str(error)[:200]}") from None


def _no_constant(name: str) -> Any:
    raise SetupError(f"the body must be JSON, which has no {name}; numbers must be finite")


def _arithmetic(told: Any, deadline: Deadline) -> Response:
    setup, k = _chosen(object_from(told, "", ("setup", "run")))
    return success(arithmetic(run_of(setup, k, deadline)))


def _exported(kind: str) -> Make:
    def make(told: Any, deadline: Deadline) -> Response:
        told = object_from(told, "", ("setup", "run", "lang"))
        file = export(kind, *_chosen(told), _language(told), deadline)
        return Response(file.content, media_type=file.media, headers={"Content-Disposition": f'attachment; filename="{file.name}"'})

    return make


def _chosen(told: dict[str, Any]) -> tuple[Setup, int]:
    """Return the setup of a request, and which of its runs is meant."""
    if "setup" not in told:
        raise SetupError("the request needs a setup", "setup")
    setup = Setup.from_json(told["setup"])
    return setup, whole_from(told.get("run", 0), "run", 0, len(setup.runs) - 1)


def _language(told: dict[str, Any]) -> str:
    lang = told.get("lang", LANGUAGES[0])
    if lang not in LANGUAGES:
        raise SetupError(f"lang must be one of {', '.join(LANGUAGES)}, got {str(lang)[:20]!r}", "lang")
    return str(lang)


async def _refused(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    said = {404: "there is nothing here; the page is at /", 405: "this address takes another method"}
    return failure(status, said.get(status, "the request cannot be answered"))
