"""`rmsprop race --workload`: what is trained, as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmsprop.cli.holding import Makers, hold
from rmsprop.cli.racing import parse_lr, parse_rivals
from rmsprop.errors import UsageError
from rmsprop.outputs import check_directory
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
    from rmsprop.race.workloads.report import notes, rows
    from rmsprop.race.workloads.train import race

    return hold(
        f"race on {name}",
        lambda progress: race(task, rivals, settings, progress),
        _makers,
        lambda done: (rows(done), notes(done)),
        out,
        json=json,
        quiet=quiet,
    )


def _makers() -> Makers:
    from rmsprop.race.workloads.page import page
    from rmsprop.race.workloads.plot import draw
    from rmsprop.race.workloads.report import to_json

    return {"race.json": lambda done: (to_json(done) + "\n").encode(), "race.png": draw, "race.html": page}
