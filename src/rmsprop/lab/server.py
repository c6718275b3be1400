"""The server of the lab: routes, and the page's files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import PurePosixPath
from threading import Event
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rmsprop.errors import RefusedError
from rmsprop.lab import catalog as _catalog
from rmsprop.lab.answers import to_json
from rmsprop.lab.arithmetic import arithmetic
from rmsprop.lab.deadline import Deadline, TimeUpError
from rmsprop.lab.setup import Setup, SetupError, object_from, whole_from
from rmsprop.lab.surface import surface
from rmsprop.lab.trace import run_of, trace

#: Where the lab is by default.
HOST, PORT = "127.0.0.1", 8757
#: Seconds that a request may take.
SECONDS = 10.0
# Requests that are worked on at once.
_WORKERS = 4
_LOG = logging.getLogger("rmsprop.lab")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}

Handler = Callable[[Request], Awaitable[Response]]


class _Work:
    """What requests are worked on by: a few threads, and a limit of time."""

    def __init__(self, seconds: float) -> None:
        self._threads = ThreadPoolExecutor(_WORKERS, "lab")
        self._seconds = seconds
        self.stop = Event()

    async def answer(self, work: Callable[[Any, Deadline], Response], told: Any) -> Response:
        """Return what work makes of a request, or the error that it ended with."""
        deadline = Deadline(self._seconds, self.stop)
        loop = asyncio.get_running_loop()
        try:
            return await asyncio.wait_for(loop.run_in_executor(self._threads, work, told, deadline), self._seconds)
        except (TimeUpError, TimeoutError):
            return _error(503, f"this takes more than {self._seconds:g} s; take fewer steps, rows or optimizers")
        except SetupError as error:
            return _error(400, str(error), error.field)
        except RefusedError as error:
            return _error(400, str(error))
        except Exception:
            _LOG.exception("a request failed")
            return _error(500, "the lab failed on this; what happened is on the terminal that it was started from")


def application(seconds: float = SECONDS) -> Starlette:
    """Return the lab as an ASGI application.

    Args:
        seconds: that a request may take.
    """
    work = _Work(seconds)

    def posted(make: Callable[[Any, Deadline], Response]) -> Handler:
        async def handle(request: Request) -> Response:
            try:
                told = json.loads(await request.body())
            except (ValueError, RecursionError) as error:
                return _error(400, f"the body must be JSON: {str(error)[:200]}")
            return await work.answer(make, told)

        return handle

    async def choices(request: Request) -> Response:
        return await work.answer(lambda told, deadline: _json(_catalog.catalog()), None)

    return Starlette(
        routes=[
            *_static(),
            Route("/api/catalog", choices),
            Route("/api/trace", posted(lambda told, deadline: _json(trace(Setup.from_json(told), deadline))), methods=["POST"]),
            Route("/api/surface", posted(lambda told, deadline: _json(surface(told, deadline))), methods=["POST"]),
            Route("/api/arithmetic", posted(lambda told, deadline: _json(_arithmetic(told, deadline))), methods=["POST"]),
        ],
    )


def _arithmetic(told: Any, deadline: Deadline) -> dict[str, Any]:
    setup, k = _chosen(object_from(told, "", ("setup", "run")))
    return arithmetic(run_of(setup, k, deadline))


def _chosen(told: dict[str, Any]) -> tuple[Setup, int]:
    """Return the setup of a request, and which of its runs is meant."""
    if "setup" not in told:
        raise SetupError("the request needs a setup", "setup")
    setup = Setup.from_json(told["setup"])
    return setup, whole_from(told.get("run", 0), "run", 0, len(setup.runs) - 1)


def serve(host: str = HOST, port: int = PORT) -> None:
    """Serve the lab until Ctrl-C.

    Args:
        host: address to listen on.
        port: 0 for a free one.
    """
    import uvicorn

    uvicorn.run(application(), host=host, port=port, log_level="warning")


def _static() -> list[Route]:
    """Return a route for each file of the page, and for Plotly's script: no path that a client names is looked up on the disk."""
    page = files("rmsprop.lab") / "page"
    routes = [Route("/", _file(lambda: (page / "index.html").read_bytes(), ".html"))]
    for place, kind in _page_files(page):
        routes.append(Route(f"/page/{place}", _file(page.joinpath(*PurePosixPath(place).parts).read_bytes, kind)))
    routes.append(Route("/plotly.js", _file(_plotly, ".js")))
    return routes


def _page_files(page: Any, above: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for entry in sorted(page.iterdir(), key=lambda one: str(one.name)):
        if entry.is_dir():
            found += _page_files(entry, f"{above}{entry.name}/")
        elif (kind := PurePosixPath(entry.name).suffix) in _TYPES:
            found.append((f"{above}{entry.name}", kind))
    return found


def _plotly() -> bytes:
    return (files("plotly") / "package_data" / "plotly.min.js").read_bytes()


def _file(read: Callable[[], bytes], kind: str) -> Handler:
    async def handle(request: Request) -> Response:
        content = await asyncio.to_thread(read)
        tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Type": _TYPES[kind]}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return handle


def _json(value: Any) -> Response:
    return Response(to_json(value), media_type="application/json", headers={"Cache-Control": "no-store"})


def _error(status: int, message: str, field: str | None = None) -> Response:
    return Response(to_json({"error": message, "field": field}), status, media_type="application/json")
