"""`rmsprop lab`: the address, the browser, Ctrl-C."""

from __future__ import annotations


def run_lab(host: str, port: int, *, browser: bool) -> int:
    """Serve the lab until Ctrl-C; return the exit code.

    Args:
        host: address to listen on.
        port: 0 for a free one.
        browser: whether to open the page.
    """
    from rmsprop.lab.server import serve

    serve(host, port)
    return 0
