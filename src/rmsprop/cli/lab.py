"""`rmsprop lab`: the address, the browser, Ctrl-C."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from threading import Thread

import typer


def run_lab(host: str, port: int, *, browser: bool) -> int:
    """Serve the lab until Ctrl-C; return the exit code.

    Args:
        host: address to listen on.
        port: 0 for a free one.
        browser: whether to open the page once the server listens.
    """
    from rmsprop.lab.server import serve

    def ready(address: str) -> None:
        typer.echo(f"rmsprop lab: {address} (Ctrl-C stops it)")
        if browser:
            # Some browsers come back only when they are closed.
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with suppress(KeyboardInterrupt):
        serve(host, port, ready)
    return 0
