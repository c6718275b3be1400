"""The page's files: each known by its name before anyone asks, so that no name from outside is looked up on the disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rmsprop.errors import missing_extra

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}


def routes() -> list[Route]:
    """Return a route for each file of the page, and one for Plotly's script out of the installed package.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    try:
        plotly = files("plotly")
    except ImportError:
        raise missing_extra("Plotly", "'rmsprop[lab]'") from None
    page = files("rmsprop.lab") / "page"
    found = [_route("/", page / "index.html"), _route("/plotly.js", plotly / "package_data" / "plotly.min.js")]
    return found + [_route(f"/page/{name}", file) for name, file in _files(page)]


def _files(folder: Traversable, above: str = "") -> Iterator[tuple[str, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _files(entry, f"{above}{entry.name}/")
        elif PurePosixPath(entry.name).suffix in _TYPES:
            yield f"{above}{entry.name}", entry


def _route(path: str, file: Traversable) -> Route:
    kind = _TYPES[PurePosixPath(file.name).suffix]
    read: Callable[[], bytes] = file.read_bytes

    async def handle(request: Request) -> Response:
        content = await asyncio.to_thread(read)
        tag = f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Content-Type": kind}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return Route(path, handle)
