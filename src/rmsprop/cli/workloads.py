"""`rmsprop race --workload`: what is trained as text, progress, printing, files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer

from rmsprop.cli import INTERRUPTED, say
from rmsprop.cli.progress import Progress
from rmsprop.cli.racing import parse_lr, parse_rivals
from rmsprop.cli.text import columns
from rmsprop.errors import UsageError
from rmsprop.outputs import check_directory, write_all
from rmsprop.race.style import headline
from rmsprop.race.tournament import Settings
from rmsprop.race.workloads import workload

#: Runs of each rival, where nothing else is asked for.
SEEDS = 5


def run_workload(name: str, others: dict[str, Any], options: dict[str, Any], out: Path, *, json: bool, quiet: bool) -> int:
    """Race on a workload, print and write; return the exit code.

    Args:
        name: of the workload.
        others: what is for landscapes only, by option, None where left out.
        options: against, dialect, lr and target, and the numbers of `Settings`, None where left out.
        out: directory for race.json, race.png and race.html.
        json: print the JSON object, alone, on stdout.
        quiet: print nothing on stdout but with json.
    """
    for option, value in others.items():
        if value is not None:
            raise UsageError(f"{option} is for landscapes; leave it out with --workload, got {str(value)[:60]!r}")
    rivals = parse_rivals(options.pop("against"), options.pop("dialect"))
    lr = parse_lr(options.pop("lr"))
    task = workload(name).reaching(options.pop("target"))
    defaults = {"steps": task.steps, "budget": task.budget, "seeds": SEEDS}
    settings = Settings(lr=lr, **defaults | {key: value for key, value in options.items() if value is not None})
    check_directory(out)
    # Only here, as it loads PyTorch, whose absence `workload` has told of.
    from rmsprop.race.workloads.train import race

    try:
        with Progress(f"race on {name}", not quiet) as bar:
            began = time.perf_counter()
            done = race(task, rivals, settings, bar.update)
            took = time.perf_counter() - began
            files = _files(done, bar)
    except KeyboardInterrupt:
        say("stopped; nothing was written")
        return INTERRUPTED
    if json:
        typer.echo(files["race.json"].decode().rstrip("\n"))
    elif not quiet:
        typer.echo(_text(done))
    paths = write_all(out, files)
    if not quiet:
        say(f"{done.taken:,} steps in {took:.0f} s; wrote {', '.join(map(str, paths))}")
    return 0


def _files(done: Any, bar: Progress) -> dict[str, bytes]:
    """Return the files; all are made before any is written, so that they always belong together."""
    from rmsprop.race.workloads.page import page
    from rmsprop.race.workloads.plot import draw
    from rmsprop.race.workloads.report import to_json

    files = {"race.json": (to_json(done) + "\n").encode()}
    for count, (name, make) in enumerate((("race.png", draw), ("race.html", page)), 1):
        files[name] = make(done)
        bar.update(count, 2, "pictures")
    return files


def _text(done: Any) -> str:
    from rmsprop.race.workloads.report import notes, rows

    lines = [f"{done.problem.name}: {done.problem.title}", done.problem.story, "", *columns(rows(done)), ""]
    return "\n".join([*lines, f"{headline(done)}.", *(f"  {note}" for note in notes(done))])
