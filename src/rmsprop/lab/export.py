"""What a user takes along: the numbers as CSV and JSON, the ways as a GIF, and a run as Python code."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from rmsprop.lab.answers import plain
from rmsprop.lab.arithmetic import columns
from rmsprop.lab.code import code
from rmsprop.lab.deadline import NONE, Deadline
from rmsprop.lab.landing import landing
from rmsprop.lab.setup import Setup
from rmsprop.lab.trace import labels, run_of, trace, trajectories
from rmsprop.race.animation import animate
from rmsprop.race.play import moments_of
from rmsprop.race.style import apart
from rmsprop.race.tournament import Entry, Race, Settings

# Of a run's steps, how many are drawn.
_MOMENTS = 800
# matplotlib is not made for several threads at once.
_DRAWING = Lock()


class File(NamedTuple):
    """A file to be saved: its name, its media type, its bytes."""

    name: str
    media: str
    content: bytes


def export(kind: str, setup: Setup, k: int = 0, lang: str = "en", deadline: Deadline = NONE) -> File:
    """Return an experiment as a file.

    Args:
        kind: one of `KINDS`.
        setup: the experiment.
        k: which of its runs, counted from 0; "json" and "gif" hold all of them.
        lang: of the comments in code, "en" or "zh".
        deadline: when to give up.

    Raises:
        SetupError: the landscape cannot be made, or not be begun on.
        TimeUpError: it takes too long.

    Example:
        >>> export("csv", Setup(steps=2)).content.decode().splitlines()[0][:30]
        'step,lr,loss,g_x,g_y,square_x,'
    """
    return KINDS[kind](setup, k, lang, deadline)


def _csv(setup: Setup, k: int, lang: str, deadline: Deadline) -> File:
    """Return every quantity of every step of a run; step 0 is what was there before the first."""
    names = landing(setup.land, setup.start, deadline).problem.names
    one = run_of(setup, k, deadline)
    table = columns(one)
    first = {"p_new": one.p[0]} | {f"{name}_new": array[0] for name, array in one.state.items()}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["step", "lr", "loss", *(f"{column.key}_{name}" for column in table for name in names)])
    blank = ["", ""]
    before = [value for column in table for value in (first[column.key].tolist() if column.key in first else blank)]
    writer.writerow([0, "", float(one.loss[0]), *before])
    for t in range(setup.steps):
        numbers = [value for column in table for value in column.values[t].tolist()]
        writer.writerow([t + 1, float(one.lrs[t]), float(one.loss[t + 1]), *numbers])
    return File(f"rmsprop-lab-{one.run.optimizer}.csv", "text/csv; charset=utf-8", out.getvalue().encode())


def _json(setup: Setup, k: int, lang: str, deadline: Deadline) -> File:
    """Return the setup, and the trace of all its runs."""
    told = {"setup": setup.to_json(), "trace": trace(setup, deadline)}
    text = json.dumps(plain(told), indent=1, allow_nan=False, ensure_ascii=False)
    return File("rmsprop-lab.json", "application/json", (text + "\n").encode())


def _gif(setup: Setup, k: int, lang: str, deadline: Deadline) -> File:
    """Return the ways of all runs, moving."""
    race = as_race(setup, deadline)
    drawn = apart([run.optimizer for run in setup.runs])
    looked = {entry.rival.name: look for entry, look in zip(race.entries, drawn, strict=True)}
    with _DRAWING:
        return File("rmsprop-lab.gif", "image/gif", animate(race, deadline.check, looked))


def _python(setup: Setup, k: int, lang: str, deadline: Deadline) -> File:
    """Return a run as code."""
    problem = landing(setup.land, setup.start, deadline).problem
    return File(f"rmsprop_lab_{setup.runs[k].optimizer}.py", "text/x-python; charset=utf-8", code(setup, k, problem, lang).encode())


def as_race(setup: Setup, deadline: Deadline = NONE) -> Race:
    """Return an experiment as a race of one run each, which the race's pictures can be drawn of.

    Args:
        setup: the experiment.
        deadline: when to give up.
    """
    problem = landing(setup.land, setup.start, deadline).problem
    times = moments_of(setup.steps, _MOMENTS)
    entries = []
    for one, label in zip(trajectories(setup, problem, deadline), labels(setup.runs), strict=True):
        rival: Any = one.run.rival
        entries.append(
            Entry(
                rival=replace(rival, name=label),
                lr=one.run.lr,
                edge=None,
                tried=np.empty(0),
                tried_steps=np.empty(0),
                tried_final=np.empty(0),
                steps=np.array([np.inf if one.arrived_at is None else float(one.arrived_at)]),
                final=one.loss[-1:],
                diverged=np.array([one.diverged_at is not None]),
                losses=one.loss[times, None],
                path=one.p[times],
            )
        )
    settings = Settings(steps=setup.steps, seeds=1, noise=setup.noise, schedule=setup.schedule, seed=setup.seed)
    return Race(problem, settings, tuple(entries), times, len(entries) * setup.steps, 0)


#: By the name of a kind, what makes a file of it.
KINDS: dict[str, Callable[[Setup, int, str, Deadline], File]] = {"csv": _csv, "json": _json, "gif": _gif, "python": _python}
