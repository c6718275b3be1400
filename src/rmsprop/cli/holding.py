"""What all races share on the command line: progress, the table or JSON, the files, Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from rmsprop.cli import INTERRUPTED, say
from rmsprop.cli.progress import Progress
from rmsprop.cli.text import columns
from rmsprop.outputs import write_all
from rmsprop.race.style import headline

Makers = Mapping[str, Callable[[Any], bytes]]


def hold(
    title: str,
    begin: Callable[[Callable[[int, int, str], None]], Any],
    makers: Callable[[], Makers],
    table: Callable[[Any], tuple[Sequence[Sequence[str]], Sequence[str]]],
    out: Path,
    *,
    json: bool,
    quiet: bool,
) -> int:
    """Run a race, print it and write its files; return the exit code.

    Args:
        title: of the progress bar.
        begin: runs the race, given what to call with the progress.
        makers: returns what makes each file from the race, race.json first; called once the race is over, as pictures load much.
        table: returns the table's rows and the notes below it.
        out: directory for the files.
        json: print the JSON object, alone, on stdout.
        quiet: print nothing on stdout but with json.
    """
    try:
        with Progress(title, not quiet) as bar:
            began = time.perf_counter()
            done = begin(bar.update)
            took = time.perf_counter() - began
            files = _files(done, makers(), bar)
    except KeyboardInterrupt:
        say("stopped; nothing was written")
        return INTERRUPTED
    if json:
        typer.echo(files["race.json"].decode().rstrip("\n"))
    elif not quiet:
        rows, notes = table(done)
        lines = [f"{done.problem.name}: {done.problem.title}", done.problem.story, "", *columns(rows), "", f"{headline(done)}."]
        typer.echo("\n".join([*lines, *(f"  {note}" for note in notes)]))
    paths = write_all(out, files)
    if not quiet:
        say(f"{done.taken:,} steps in {took:.2f} s; wrote {', '.join(map(str, paths))}")
    return 0


def _files(done: Any, makers: Makers, bar: Progress) -> dict[str, bytes]:
    """Return the files; all are made before any is written, so that they always belong together."""
    files = {}
    for count, (name, make) in enumerate(makers.items(), 1):
        files[name] = make(done)
        bar.update(count, len(makers), "pictures")
    return files
