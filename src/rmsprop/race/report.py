"""What a race came to: the table, and the JSON object."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.judge import quartiles
from rmsprop.race.rivals import RMSprop
from rmsprop.race.standing import Contest, Standing
from rmsprop.race.tournament import Race
from rmsprop.state import axes_of

Array = NDArray[np.float64]

HEADER = ("", "optimizer", "lr", "steps to target", "arrived", "final loss", "diverged", "rates")


def rows(race: Contest[Any, Standing]) -> list[tuple[str, ...]]:
    """Return the table: the header, and a row for each rival, the best first."""
    return [HEADER, *(_row(place, entry) for place, entry in enumerate(race.entries, 1))]


def notes(race: Race) -> list[str]:
    """Return what one must know to read the table."""
    problem, settings = race.problem, race.settings
    said = [
        "of steps and losses: the median run, and in parentheses the middle half of the runs",
        f"target {problem.target:.6g}, counted once the loss stays there; the lowest loss known is {problem.lowest:.6g}",
        f"{counted(settings.seeds, 'run')} of {settings.steps:,} steps each, from ({_point(problem.start)})"
        + (" and from around it" if settings.seeds > 1 else ""),
    ]
    if settings.noise.kind != "none":
        said.append(f"noise on the gradients: {settings.noise}")
    said += notes_on_rates(race)
    if settings.schedule == "constant" and any(_circles(entry, race) for entry in race.entries):
        said.append("at a constant lr RMSprop does not come to rest but circles, about lr wide; --schedule cosine lets it settle")
    return said


def notes_on_rates(race: Contest[Any, Standing]) -> list[str]:
    """Return what one must know of the learning rates."""
    said = []
    if race.settings.schedule != "constant":
        said.append(f"learning rates fall by the schedule {race.settings.schedule}")
    tuned = [entry for entry in race.entries if entry.edge is not None]
    if tuned:
        grid = tuned[0].tried
        grown = f", after it was made longer {counted(race.extended, 'time')} for all" if race.extended else ""
        said.append(
            f"each chose its lr among the same {len(grid)} from {grid[0]:.2g} to {grid[-1]:.2g}{grown};"
            " `rates` is with how many of them most runs arrived"
        )
    for edge in ("lowest", "highest"):
        names = [entry.rival.name for entry in tuned if entry.edge == edge]
        if names:
            said.append(f"{', '.join(names)} chose the {edge} lr of the grid: a better one may lie beyond")
    return said


def to_json(race: Race) -> str:
    """Return the race as one JSON object; numbers that are not finite are null."""
    problem = race.problem
    landscape = {
        "name": problem.name,
        "formula": problem.title,
        "names": problem.names,
        "start": problem.start,
        "target": problem.target,
        "lowest": problem.lowest,
        "minima": problem.minima,
        "window": problem.window,
    }
    return as_json({"landscape": landscape, **told(race), "optimizers": [told_of(entry) for entry in race.entries]})


def told(race: Contest[Any, Standing]) -> dict[str, Any]:
    """Return the settings of a race as a value for JSON, and what it took."""
    settings = race.settings
    return {
        "settings": {
            "steps": settings.steps,
            "seeds": settings.seeds,
            "seed": settings.seed,
            "budget": settings.budget,
            "lr": dict(settings.lr),
            "noise": str(settings.noise),
            "schedule": settings.schedule,
        },
        "steps_taken": race.taken,
        "grid_extended": race.extended,
    }


def as_json(value: Any) -> str:
    """Return a value as a JSON text; numbers that are not finite are null."""
    return json.dumps(_plain(value), indent=1, allow_nan=False, ensure_ascii=False)


def _row(place: int, entry: Standing) -> tuple[str, ...]:
    low, middle, high = quartiles(entry.steps)
    least, loss, most = quartiles(np.where(entry.diverged, np.inf, entry.final))
    runs = len(entry.steps)
    mark = "" if not entry.edge else " at the edge"
    return (
        str(place),
        entry.rival.name,
        f"{entry.lr:.2g}{mark}",
        f"{_steps(middle)} ({_steps(low)} to {_steps(high)})",
        f"{entry.arrived}/{runs}",
        f"{_loss(loss)} ({_loss(least)} to {_loss(most)})",
        f"{int(entry.diverged.sum())}/{runs}",
        f"{int(np.isfinite(entry.tried_steps).sum())}/{len(entry.tried)}" if entry.edge is not None else "given",
    )


def _circles(entry: Standing, race: Race) -> bool:
    """Return whether RMSprop has arrived, but ends not far below the target."""
    problem = race.problem
    end = quartiles(entry.final)[1] - problem.lowest
    return isinstance(entry.rival, RMSprop) and entry.arrived > 0 and end > 0.01 * (problem.target - problem.lowest)


def _steps(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "never"


def _loss(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "diverged"


def _point(point: tuple[float, float]) -> str:
    return ", ".join(f"{value:g}" for value in point)


def counted(count: int, what: str) -> str:
    """Return such as "1 run" or "2 runs"."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def told_of(entry: Standing) -> dict[str, Any]:
    """Return how a rival did, as a value for JSON."""
    rival = entry.rival
    if isinstance(rival, RMSprop):
        hyper = axes_of(rival.rule)
    else:
        given = asdict(rival)  # type: ignore[call-overload]  # each of them is a dataclass
        hyper = {name: value for name, value in given.items() if name not in ("name", "lr")}
    return {
        "name": rival.name,
        "hyper": hyper,
        "lr": entry.lr,
        "lr_chosen": entry.edge is not None,
        "edge": entry.edge or None,
        "steps_to_target": {"quartiles": quartiles(entry.steps), "runs": entry.steps},
        "final_loss": {"quartiles": quartiles(np.where(entry.diverged, np.inf, entry.final)), "runs": entry.final},
        "arrived": entry.arrived,
        "diverged": int(entry.diverged.sum()),
        "tried": {"lr": entry.tried, "steps_to_target": entry.tried_steps, "final_loss": entry.tried_final},
    }


def _plain(value: Any) -> Any:
    """Return a value of JSON's types."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
