"""From a setup to the trajectories of all its runs, each the same to the last bit whether alone or beside others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.lab.cache import Cache
from rmsprop.lab.deadline import NONE, Deadline
from rmsprop.lab.landing import Fields, landing
from rmsprop.lab.setup import Run, Setup
from rmsprop.race.noise import Draws
from rmsprop.race.play import ceiling_of, moments_of, play
from rmsprop.race.problem import Problem
from rmsprop.race.rivals import Adagrad, RMSprop, State
from rmsprop.race.style import ON_DARK, Look, apart, height, levels, unit
from rmsprop.rule import mean_square
from rmsprop.schedules import schedule

Array = NDArray[np.float64]

#: The stream of random numbers that the noise comes from.
STREAM = 0
# What was asked for last, whole, and run by run: a slider moves one of them.
_SETUPS, _RUNS = Cache(8), Cache(64)
# Of what tells runs apart, so much is in their names.
_DIFFERENCES = 2
# What hyper-parameters are called there; Adam's two means have letters of their own.
_LETTERS = {"decay": "β", "eps": "ε", "eps_place": "ε", "momentum": "μ", "weight_decay": "λ", "square_init": "v₀"}
_ADAM = {"decay": "β₂", "momentum": "β₁"}
# These may be off, and are then not worth a word.
_PLAIN: dict[str, Any] = {"momentum": 0.0, "nesterov": False, "centered": False, "bias_correction": False, "weight_decay": 0.0}
_PLAIN |= {"eps_place": "outside", "centered_form": "variance", "lr_in_momentum": True, "weight_decay_form": "coupled"}
# Moments at which the curve over the data is shown.
_CURVES = 61


@dataclass(frozen=True)
class Trajectory:
    """One run, step by step.

    Attributes:
        run: what ran.
        lrs: (steps,) learning rates.
        p: (steps + 1, 2) parameters, those before the first step first.
        loss: (steps + 1,) losses there, free of noise.
        g: (steps, 2) gradients as the optimizer saw them.
        state: name → (steps + 1, 2), what it held before the first step first.
        arrived_at: the step from which on the loss is at the target, or None.
        diverged_at: the first step from which on the loss is not finite or far above its start, or None.
    """

    run: Run
    lrs: Array
    p: Array
    loss: Array
    g: Array
    state: dict[str, Array]
    arrived_at: int | None
    diverged_at: int | None


def trace(setup: Setup, deadline: Deadline = NONE) -> dict[str, Any]:
    """Return what the page shows of a setup, as JSON's types and arrays.

    Args:
        setup: the experiment.
        deadline: when to give up.

    Raises:
        SetupError: the landscape cannot be made, or not be begun on.
        TimeUpError: it takes too long.

    Example:
        >>> traced = trace(Setup.from_json({"land": {"kind": "named", "name": "rosenbrock"}, "steps": 40}))
        >>> traced["names"], len(traced["runs"][0]["p"][0])
        (('x', 'y'), 41)
    """
    land = landing(setup.land, setup.start, deadline)
    found = trajectories(setup, land.problem, deadline)
    problem = land.problem
    return {
        "names": problem.names,
        "title": problem.title,
        "story": problem.story,
        "start": problem.start,
        "window": problem.window,
        "minima": problem.minima,
        "lowest": problem.lowest,
        "target": problem.target,
        "unit": unit(problem),
        "setup": setup.to_json(),
        "runs": [
            _told(one, label, look, problem)
            for one, label, look in zip(found, labels(setup.runs), apart([run.optimizer for run in setup.runs]), strict=True)
        ],
        "memory": _memory(found),
        "data": None if land.data is None else _data(land.data, found, setup.steps, deadline),
    }


def run_of(setup: Setup, k: int, deadline: Deadline = NONE) -> Trajectory:
    """Return one run of a setup.

    Args:
        setup: the experiment.
        k: which of its runs, counted from 0.
        deadline: when to give up.

    Raises:
        SetupError: the landscape cannot be made, or not be begun on.
        TimeUpError: it takes too long.
    """
    return trajectories(setup, landing(setup.land, setup.start, deadline).problem, deadline)[k]


def trajectories(setup: Setup, problem: Problem, deadline: Deadline = NONE) -> list[Trajectory]:
    """Return all runs of a setup; those that are known already are not run again.

    Args:
        setup: the experiment.
        problem: its landscape.
        deadline: when to give up.

    Raises:
        TimeUpError: it takes too long.
    """
    alone = {run: replace(setup, runs=(run,)) for run in setup.runs}

    def missing() -> list[Trajectory]:
        known = {run: _RUNS.peek(key) for run, key in alone.items()}
        new = [run for run, one in known.items() if one is None]
        known |= zip(new, _played(replace(setup, runs=tuple(new)), problem, deadline) if new else [], strict=True)
        for run, key in alone.items():
            _RUNS.keep(key, known[run])
        return [known[run] for run in setup.runs]

    found: list[Trajectory] = _SETUPS.get(setup, missing)
    return found


def _played(setup: Setup, problem: Problem, deadline: Deadline) -> list[Trajectory]:
    runs, steps = setup.runs, setup.steps
    gradients: list[Array] = []
    states: list[list[State]] = [[run.rival.init(np.array(problem.start, dtype=np.float64)) for run in runs]]

    def watch(g: Array, now: Sequence[State]) -> None:
        gradients.append(g)
        states.append([{name: array[0, 0] for name, array in state.items()} for state in now])

    shape = schedule(setup.schedule, 1.0, steps)
    outcome = play(
        problem,
        [run.rival for run in runs],
        np.array([[run.lr] for run in runs]),
        Draws([setup.seed], STREAM),
        setup.noise,
        steps,
        shape=shape,
        moments=steps + 1,
        progress=deadline.check,
        watch=watch,
    )
    shares = np.array([shape(t) for t in range(steps)])
    seen = np.array(gradients)
    found = []
    for k, run in enumerate(runs):
        p, loss = outcome.paths[:, k, 0], outcome.losses[:, k, 0, 0]
        arrived = outcome.steps[k, 0, 0]
        found.append(
            Trajectory(
                run=run,
                lrs=run.lr * shares,
                p=p,
                loss=loss,
                g=seen[:, k, 0, 0],
                state={name: np.array([moment[k][name] for moment in states]) for name in states[0][k]},
                arrived_at=int(arrived) if np.isfinite(arrived) else None,
                diverged_at=_lost(problem, p, loss) if outcome.diverged[k, 0, 0] else None,
            )
        )
    return found


def labels(runs: Sequence[Run]) -> list[str]:
    """Return what runs are called, each by another name: after the optimizer, by what tells it from others of the same name.

    Example:
        >>> labels(Setup.from_json({"runs": [{"optimizer": "adam"}, {"optimizer": "adam", "lr": 0.1}]}).runs)
        ['adam, lr 0.001', 'adam, lr 0.1']
    """
    names = [_name(run) for run in runs]
    told = Setup(runs=tuple(runs)).to_json()["runs"]
    found: list[str] = []
    for k, name in enumerate(names):
        alike = [other for other, own in zip(told, names, strict=True) if own == name]
        differ = [key for key, value in told[k].items() if any(other[key] != value for other in alike) and _PLAIN.get(key) != value]
        label = ", ".join([name, *(_said(told[k], key) for key in differ[:_DIFFERENCES])])
        again = sum(own == label or own.startswith(f"{label} (") for own in found)
        found.append(f"{label} ({again + 1})" if again else label)
    return found


def _name(run: Run) -> str:
    rule = run.rival.rule if isinstance(run.rival, RMSprop) else None
    return run.optimizer if rule is None or rule.name == "article" else f"{run.optimizer} {rule.name}"


def _said(run: dict[str, Any], key: str) -> str:
    """Return a hyper-parameter as a run's name has it."""
    value = run[key]
    if value is True:
        return key.replace("_", " ")
    if key.endswith("_form"):
        return str(value).replace("_", " ")
    letters = _LETTERS | (_ADAM if run["optimizer"] == "adam" else {})
    return f"{letters.get(key, key.replace('_', ' '))} {f'{value:g}' if isinstance(value, float) else str(value).lower()}"


def _lost(problem: Problem, p: Array, loss: Array) -> int:
    """Return the first step after which a run is never again on finite ground below where it counts as diverged."""
    with np.errstate(invalid="ignore"):
        good = np.isfinite(loss) & np.isfinite(p).all(axis=1) & (loss <= ceiling_of(problem, loss[0]))
    return int(np.flatnonzero(good)[-1]) + 1


def _told(one: Trajectory, label: str, look: Look, problem: Problem) -> dict[str, Any]:
    rival = one.run.rival
    return {
        "label": label,
        "optimizer": one.run.optimizer,
        "dialect": rival.rule.name if isinstance(rival, RMSprop) else None,
        "lr": one.run.lr,
        "look": _look(look),
        "loss": one.loss,
        "height": height(problem, one.loss),
        "level": levels(problem, one.loss),
        "p": one.p.T,
        "state": {name: array.T for name, array in one.state.items()},
        "diverged_at": one.diverged_at,
        "arrived_at": one.arrived_at,
    }


def _look(look: Look) -> dict[str, Any]:
    """Return how a run is drawn, in the words of a page."""
    return {
        "color": look.color,
        "dark": ON_DARK.get(look.color, look.color),
        "symbol": look.symbol,
        "width": look.width,
        "dash": look.dash,
    }


def _memory(found: Sequence[Trajectory]) -> dict[str, Any] | None:
    """Return RMSprop's mean of squares beside Adagrad's sum over the same gradients; None where no RMSprop runs.

    Coupled weight decay goes into the mean alone.
    """
    first = next((one for one in found if isinstance(one.run.rival, RMSprop)), None)
    if first is None:
        return None
    rule = first.run.rival.rule  # type: ignore[attr-defined]  # it is RMSprop's
    average = first.state["v"]
    if rule.switches["VARIANCE"]:
        correction = np.array([rule.scalars(0.0, max(t, 1)).correction for t in range(len(average))])[:, None]
        with np.errstate(all="ignore"):
            average = mean_square(average, first.state["m"], correction)
    adagrad = Adagrad()
    nowhere = np.zeros(2)
    state = adagrad.init(nowhere)
    sums = [state["s"]]
    with np.errstate(all="ignore"):
        for t, g in enumerate(first.g, 1):
            _, state = adagrad.step(nowhere, g, state, 0.0, t)
            sums.append(state["s"])
    average_look, sum_look = apart(["rmsprop", "adagrad"])
    return {
        "gradient": first.g.T,
        "average": average.T,
        "sum": np.array(sums).T,
        "looks": {"average": _look(average_look), "sum": _look(sum_look)},
    }


def _data(data: Fields, found: Sequence[Trajectory], steps: int, deadline: Deadline) -> dict[str, Any]:
    moments = moments_of(steps, _CURVES)
    curves = []
    for one in found:
        deadline.check()
        curves.append(data.curves(one.p[moments]))
    return {
        "x": data.x,
        "y": data.y,
        "points": data.points,
        "grid": data.grid,
        "moments": moments,
        "curves": curves,
        "held": data.held,
    }
