"""`rmsprop race`: rivals, learning rates and starts as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rmsprop.cli.axes import parse_axes
from rmsprop.cli.holding import Makers, hold
from rmsprop.cli.text import columns
from rmsprop.errors import UsageError
from rmsprop.outputs import check_directory
from rmsprop.race.fitted import of_data
from rmsprop.race.landscapes import landscape, landscape_names
from rmsprop.race.noise import noise_kinds, parse_noise
from rmsprop.race.problem import Point, Problem
from rmsprop.race.report import notes, rows, to_json
from rmsprop.race.rivals import Rival, rival, rival_names
from rmsprop.race.surface import compiled, of_formula
from rmsprop.race.tournament import Progress, Race, Settings, race
from rmsprop.race.workloads import workload_titles

#: What is raced on where nothing is named.
LANDSCAPE = "ravine"


def run_race(
    text: str | None,
    data: str | None,
    model: str | None,
    over: str | None,
    options: dict[str, Any],
    out: Path,
    *,
    json: bool,
    quiet: bool,
) -> int:
    """Race, print and write; return the exit code.

    Args:
        text: a landscape's name or a formula, None where left out.
        data: path as given, None where left out.
        model: as given, None where left out.
        over: such as "a,b", None where left out.
        options: against, dialect, noise, lr, start and target as text, and the fields of `Settings` that are numbers; None where
            left out.
        out: directory for race.json, race.png, race.html and race.gif.
        json: print the JSON object, alone, on stdout.
        quiet: print nothing on stdout but with json.
    """
    rivals = parse_rivals(options.pop("against"), options.pop("dialect"))
    settings = Settings(lr=parse_lr(options.pop("lr")), noise=parse_noise(options.pop("noise") or "none"), **_rest(options))
    check_directory(out)

    def begin(progress: Progress) -> Race:
        return race(_problem(text, data, model, over, options), rivals, settings, progress)

    return hold("race", begin, _makers, lambda done: (rows(done), notes(done)), out, json=json, quiet=quiet)


def listing() -> str:
    """Return what there is to race on and with."""
    lines = ["landscapes (or a formula of two names, or --data with --model):"]
    lines += columns([("  " + name, landscape(name).title) for name in landscape_names()])
    lines += ["", "workloads, with --workload:", *columns([(f"  {name}", what) for name, what in workload_titles().items()])]
    lines += ["", "optimizers: " + ", ".join(rival_names()), "noise: " + ", ".join(noise_kinds())]
    return "\n".join([*lines, "dialects of rmsprop: see `rmsprop dialects`"])


def parse_rivals(against: str | None, dialects: str) -> list[Rival]:
    """Return RMSprop in each dialect, and those that it races against.

    >>> [one.name for one in parse_rivals("adam", "article,tf1,tf1:momentum=0.9,article:decay=0.99")]
    ['rmsprop', 'rmsprop tf1', 'rmsprop tf1 momentum=0.9', 'rmsprop decay=0.99', 'adam']
    """
    known = [name for name in rival_names() if name != "rmsprop"]
    named = known if against is None else [] if against.strip() == "none" else _names(against, "--against")
    found = [_rmsprop(text) for text in _names(dialects, "--dialect")]
    return [*found, *(rival(name) for name in named if name != "rmsprop")]


def _rmsprop(text: str) -> Rival:
    """Return RMSprop in a dialect, some of its axes changed."""
    dialect, colon, changes = text.partition(":")
    axes = parse_axes(changes, "--dialect", "article,tf1:momentum=0.9:centered=true", ":")
    if colon and not axes:
        raise UsageError(f"--dialect {text[:60]!r} changes nothing; leave the colon out, or name an axis, such as :decay=0.99")
    plain, changed = rival("rmsprop", dialect.strip()), rival("rmsprop", dialect.strip(), **axes)
    # A race knows its rivals by their names.
    name = f"{plain.name} {changes.replace(':', ' ')}" if axes else plain.name
    return replace(changed, name=name)  # type: ignore[type-var]  # each rival is a dataclass


def parse_lr(text: str | None) -> dict[str, float]:
    """Return learning rates by rival from text; "" stands for all that are not named.

    >>> parse_lr("0.01,adam=0.1")
    {'': 0.01, 'adam': 0.1}
    """
    return _numbers(text, "--lr", "0.01 or adam=0.1,sgd=0.01")


def parse_point(text: str | None, names: tuple[str, str]) -> tuple[float, float] | None:
    """Return a start from text: two numbers, or both names with theirs.

    >>> parse_point("y=2, x=1", ("x", "y")), parse_point("1,2", ("x", "y"))
    ((1.0, 2.0), (1.0, 2.0))
    """
    if text is None:
        return None
    such = f"--start must be such as 1,2 or {names[0]}=1,{names[1]}=2"
    if "=" not in text:
        numbers = [_number(part) for part in text.split(",")]
        if len(numbers) != 2 or None in numbers:
            raise UsageError(f"{such}; got {text[:60]!r}")
        return float(numbers[0] or 0), float(numbers[1] or 0)
    values = _numbers(text, "--start", f"{names[0]}=1,{names[1]}=2")
    if set(values) != set(names):
        raise UsageError(f"{such}; got {text[:60]!r}")
    return values[names[0]], values[names[1]]


def _rest(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `Settings` that were given."""
    given = {name: options.pop(name) for name in ("steps", "seeds", "budget", "schedule", "seed")}
    return {name: value for name, value in given.items() if value is not None}


def _problem(text: str | None, data: str | None, model: str | None, over: str | None, options: dict[str, Any]) -> Problem:
    """Return what is raced on."""
    start, target = options["start"], options["target"]
    if data is not None or model is not None:
        if text is not None:
            raise UsageError(f"give a landscape or --data with --model, not both; got {text[:60]!r} too")
        if data is None or model is None:
            raise UsageError("--data and --model belong together, such as: --data data.csv --model 'y = a*exp(-b*x)' --over a,b")
        return _surface(data, model, over, start).starting(None, target)
    if over is not None:
        raise UsageError("--over names two parameters of a model; give --data and --model too")
    text = LANDSCAPE if text is None else text.strip()
    # A word is a landscape's name: no formula of two names is one word.
    if text.replace("-", "").replace("_", "").isalpha():
        problem = landscape(text)
        return problem.starting(parse_point(start, problem.names), target)
    names, _ = compiled(text)
    return of_formula(text, parse_point(start, names)).starting(None, target)


def _surface(data: str, text: str, over: str | None, start: str | None) -> Problem:
    """Return the loss of a model over two parameters, the others at their given values or those of the fit."""
    names = None if over is None else _names(over, "--over")
    first, second = names if names is not None and len(names) == 2 else ("a", "b")
    begin: Point | dict[str, float] | None = None
    if start is not None:
        by_name = "=" in start
        begin = _numbers(start, "--start", f"{first}=1,{second}=2") if by_name else parse_point(start, (first, second))
    return of_data(data, text, names, begin)


def _makers() -> Makers:
    from rmsprop.race.animation import animate
    from rmsprop.race.page import page
    from rmsprop.race.plot import draw

    return {"race.json": lambda done: (to_json(done) + "\n").encode(), "race.png": draw, "race.html": page, "race.gif": animate}


def _names(text: str, option: str) -> list[str]:
    names = [part.strip() for part in text.split(",")]
    if not all(names):
        raise UsageError(f"{option} must be names with a comma between them, got {text[:60]!r}")
    return names


def _numbers(text: str | None, option: str, such: str) -> dict[str, float]:
    """Return numbers by name; one without a name by ""."""
    values: dict[str, float] = {}
    for part in text.split(",") if text is not None else []:
        name, equals, number = (piece.strip() for piece in part.rpartition("="))
        value = _number(number)
        if value is None or bool(equals) != bool(name):
            raise UsageError(f"{option} must be such as {such}, got {part.strip()[:60]!r}")
        if name in values:
            raise UsageError(f"{option} gives {name or 'one number'} twice")
        values[name] = value
    return values


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
