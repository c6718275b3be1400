"""Every quantity of every step of one run, read off `rmsprop.rule.update` itself while it runs over all steps at once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop.kernels.reference import flushed
from rmsprop.lab.formulas import lines
from rmsprop.lab.recording import quantities
from rmsprop.lab.trace import Trajectory
from rmsprop.race.rivals import RMSprop
from rmsprop.rule import Rule, Scalars, square

Array = NDArray[np.float64]


class Column(NamedTuple):
    """A quantity of each step: its name, what a table calls it, its MathML, and (steps, 2) values."""

    key: str
    label: str
    mathml: str
    values: Array


def columns(one: Trajectory) -> list[Column]:
    """Return what a run's steps worked out, in the order in which it was worked out.

    Args:
        one: the run.

    Example:
        >>> from rmsprop.lab.setup import Setup
        >>> from rmsprop.lab.trace import run_of
        >>> [column.key for column in columns(run_of(Setup(steps=3), 0))]
        ['g', 'square', 'v_new', 'denominator', 'rate', 'change', 'p_new']
    """
    rival = one.run.rival
    first = Column("g", "gₜ", "<msub><mi>g</mi><mi>t</mi></msub>", one.g)
    if isinstance(rival, RMSprop):
        worked = recorded(rival.rule, one)
        by_key = {line.key: line for line in lines(rival.rule)}
        return [first, *(Column(key, by_key[key].label, by_key[key].left or by_key[key].right, worked[key]) for key in worked)]
    kept = [
        Column(f"{name}_new", f"{name}ₜ", f"<msub><mi>{name}</mi><mi>t</mi></msub>", array[1:]) for name, array in one.state.items()
    ]
    with np.errstate(invalid="ignore", over="ignore"):
        change = one.p[1:] - one.p[:-1]
    theta = "<msub><mi>θ</mi><mi>t</mi></msub>"
    return [
        first,
        *kept,
        Column("change", "Δθₜ", f"<mrow><mo>Δ</mo>{theta}</mrow>", change),
        Column("p_new", "θₜ", theta, one.p[1:]),
    ]


def recorded(rule: Rule, one: Trajectory) -> dict[str, Array]:
    """Return the quantities of all steps of a run of RMSprop, the same to the last bit as the run's own.

    Args:
        rule: the run's.
        one: the run.

    Returns:
        Name → (steps, 2), as `rmsprop.lab.recording.quantities` names them.
    """
    state = {name: array[:-1] for name, array in one.state.items()}
    before = [one.p[:-1], one.g, state["v"], state.get("m", one.g), state.get("b", one.g)]
    with np.errstate(all="ignore"):
        return quantities(rule, [*before, *_scalars(rule, one.lrs)], sqrt=np.sqrt, flush=flushed, square=square)


def arithmetic(one: Trajectory) -> dict[str, Any]:
    """Return the formula of a run, line by line, with the numbers of each step.

    Args:
        one: the run.

    Returns:
        "text": the rule in words, for others than RMSprop; "lines": of the formula, none for others than RMSprop;
        "columns": of the table of all steps; "quantities": name → {"values": per parameter and step}, {"each": per step} or
        {"value"}: what goes in the places of the formula's symbols.

    Example:
        >>> from rmsprop.lab.setup import Setup
        >>> from rmsprop.lab.trace import run_of
        >>> told = arithmetic(run_of(Setup(steps=3), 0))
        >>> told["lines"][1]["quantities"], told["quantities"]["decay"]
        (['decay', 'fresh', 'g', 'v_old'], {'value': 0.9})
    """
    rival = one.run.rival
    table = columns(one)
    numbers: dict[str, Any] = {column.key: {"values": column.values.T} for column in table}
    told: list[dict[str, Any]] = []
    if isinstance(rival, RMSprop):
        rule = rival.rule
        told = [line.to_json() for line in lines(rule)]
        numbers |= {f"{name}_old": {"values": array[:-1].T} for name, array in one.state.items()}
        numbers["p_old"] = {"values": one.p[:-1].T}
        numbers |= {name: {"value": getattr(rule, name)} for name in ("decay", "eps", "momentum", "weight_decay")}
        numbers |= {"fresh": {"value": 1 - rule.decay}, "lr": {"each": one.lrs}}
        if rule.bias_correction:
            steps = range(1, len(one.lrs) + 1)
            numbers["correction"] = {"each": [rule.scalars(0.0, t).correction for t in steps]}
            numbers["prior"] = {"each": [rule.scalars(0.0, t - 1).correction if t > 1 else 0.0 for t in steps]}
    return {
        "text": (type(rival).__doc__ or "").splitlines()[0],
        "lines": told,
        "columns": [{**column._asdict(), "values": column.values.T} for column in table],
        "quantities": numbers,
    }


def _scalars(rule: Rule, lrs: Array) -> list[Array]:
    """Return the scalar arguments of `update` at each step, as (steps, 1)."""
    each = [rule.scalars(float(lr), t) for t, lr in enumerate(lrs, 1)]
    return [np.array([getattr(one, name) for one in each])[:, None] for name in Scalars._fields]
