"""`rmsprop fit`: start values as text, progress, printing, files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from rmsprop.cli import INTERRUPTED, say
from rmsprop.cli.progress import Progress
from rmsprop.fit import FitResult, UsageError, fit
from rmsprop.outputs import check_directory, write_all


def run_fit(
    data: str | None, model: str | None, start: str | None, options: Mapping[str, Any], out: Path, *, json: bool, quiet: bool
) -> int:
    """Fit, print and write; return the exit code.

    Args:
        data: path as given, None where left out.
        model: as given, None where left out.
        start: such as "a=1,b=2".
        options: keywords of `rmsprop.fit.fit`.
        out: directory for fit.json and fit.png.
        json: print the JSON object, alone, on stdout.
        quiet: print nothing on stdout but with json.
    """
    starts = parse_start(start)
    check_directory(out)
    with Progress("RMSprop", not quiet) as bar:

        def show(epoch: int, epochs: int, loss: float) -> None:
            bar.update(epoch, epochs, f"epochs, loss {loss:.6g}")

        result = fit(data, model, start=starts, progress=show, **options)
    text = result.to_json()
    if json:
        typer.echo(text)
    elif not quiet:
        typer.echo(result)
    paths = _write(result, out, text)
    if not quiet:
        say(f"wrote {' and '.join(map(str, paths))}")
    if result.interrupted:
        say("stopped by Ctrl-C; the parameters are the best so far")
        return INTERRUPTED
    return 0


def _write(result: FitResult, out: Path, text: str) -> list[Path]:
    from rmsprop.fit.plot import draw

    # Both are made before either is written, so that they always belong together.
    return write_all(out, {"fit.json": (text + "\n").encode(), "fit.png": draw(result, "png")})


def parse_start(text: str | None) -> dict[str, float]:
    """Return start values from text.

    >>> parse_start("a=1, b=-2e3")
    {'a': 1.0, 'b': -2000.0}
    """
    values: dict[str, float] = {}
    for part in text.split(",") if text else []:
        name, equals, number = (piece.strip() for piece in part.partition("="))
        try:
            value = float(number)
        except ValueError:
            value = None
        if not (name and equals) or value is None:
            raise UsageError(f"--start must be such as a=1,b=2.5, got {part.strip()[:60]!r}")
        if name in values:
            raise UsageError(f"--start gives {name} twice")
        values[name] = value
    return values
