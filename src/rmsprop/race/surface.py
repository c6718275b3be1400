"""Landscapes that a user brings: a formula of two names, or the loss of a model on data over two of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import UsageError
from rmsprop.expression.hints import listed, near
from rmsprop.expression.language import names as names_in
from rmsprop.expression.language import parse
from rmsprop.expression.model import CONSTANTS, Model
from rmsprop.expression.pointwise import Pointwise
from rmsprop.expression.tape import Builder
from rmsprop.race.lowest import lowest
from rmsprop.race.problem import Function, Point, Problem, problem

Array = NDArray[np.float64]

#: Rows of a data set that a surface is made from: each step of each run goes over all of them.
ROWS = 1_000
# Numbers that are worked on at once, so that they stay in cache.
_BLOCK = 65_536
# What is shown of a formula where nothing else is known, and where its runs may begin.
_WINDOW = (-3.0, 3.0, -3.0, 3.0)
_STARTS = tuple(product((-2.0, 2.0, -1.0, 1.0, 0.5), (2.0, -2.0, 1.0, -1.0, 0.5)))
_LONGEST = 60


def compiled(text: str) -> tuple[tuple[str, str], Function]:
    """Return the two names of a formula, in the order of the alphabet, and the formula with its exact gradient.

    Args:
        text: of numbers, two names, pi, e, + - * / ** and functions of one argument.

    Raises:
        UsageError: it cannot be read, or has not two names.

    Example:
        >>> names, function = compiled("(1-x)**2 + 100*(y-x**2)**2")
        >>> function(np.array([0.0, 1.0]))
        (array(101.), array([ -2., 200.]))
    """
    tree = parse(text)
    found = sorted(set(names_in(tree)) - set(CONSTANTS))
    if len(found) != 2:
        got = listed(found) if found else "none"
        remedy = "; add 0*y to race over one" if len(found) == 1 else ""
        raise UsageError(f"a landscape must have two names, such as (1-x)**2 + 100*(y-x**2)**2; {_short(text)} has {got}{remedy}")
    builder = Builder()
    root = builder.expression(tree, frozenset(), dict(CONSTANTS))
    leaves = builder.gradient(root, builder.number(1.0))
    places = [builder.parameter(name) for name in found]
    run = Pointwise(builder, [root, *(leaves.get(place, builder.number(0.0)) for place in places)])
    first, second = found

    def function(points: Array) -> tuple[Array, Array]:
        loss, *slopes = run({first: points[..., 0], second: points[..., 1]})
        gradient = np.empty(points.shape)
        for k, slope in enumerate(slopes):
            gradient[..., k] = slope
        return np.array(np.broadcast_to(loss, points.shape[:-1])), gradient

    return (first, second), function


def of_formula(text: str, start: Point | None = None) -> Problem:
    """Return the landscape of a formula, with a start, and a target from the lowest loss that is found.

    Args:
        text: the formula.
        start: where to begin; by default the first of some places where it is finite and has a slope.

    Raises:
        UsageError: it cannot be read, or no place to begin was found.

    Example:
        >>> found = of_formula("(a - 1)**2 + (b + 2)**2")
        >>> found.names, [round(value, 6) + 0.0 for value in found.minima[0]]
        (('a', 'b'), [1.0, -2.0])
    """
    names, function = compiled(text)
    start = _beginning(function, _STARTS if start is None else [start], text)
    story = f"The lowest loss was looked for around the start, and where {names[0]} and {names[1]} are from -3 to 3."
    return _searched("your formula", text.strip(), story, names, function, start, _WINDOW)


def of_model(
    model: Model,
    columns: Mapping[str, Array],
    over: tuple[str, str],
    values: Mapping[str, float],
    start: Point | None = None,
) -> Problem:
    """Return the mean square of a model's residuals over two of its parameters, the others held.

    Args:
        model: the model.
        columns: name → (n,) numbers; an even sample of them is used where there are many.
        over: names of the two parameters.
        values: all of the model's parameters: those held, and around which the other two are looked at.
        start: where to begin; by default some way off the values.

    Raises:
        UsageError: a name is not a parameter's, both are one, or no place to begin was found.
    """
    for name in over:
        if name not in model.parameters:
            raise UsageError(
                f"over must name two of the parameters {listed(model.parameters)}, got {name!r}{near(name, model.parameters)}"
            )
    if over[0] == over[1]:
        raise UsageError(f"over must name two parameters, got {over[0]!r} twice")
    function = _residual_square(model, columns, over, values)
    centre = (values[over[0]], values[over[1]])
    reach = [abs(value) or 1.0 for value in centre]
    window = (centre[0] - 1.5 * reach[0], centre[0] + 1.5 * reach[0], centre[1] - 1.5 * reach[1], centre[1] + 1.5 * reach[1])
    around = [(centre[0] + a * reach[0], centre[1] + b * reach[1]) for a, b in product((-1.0, 1.0, 0.5, -0.5), (0.8, -0.8, 0.4))]
    start = _beginning(function, around if start is None else [start], model.text)
    held = [f"{name} = {values[name]:.6g}" for name in model.parameters if name not in over]
    story = "The mean square of the residuals" + (f"; held: {', '.join(held)}." if held else ".")
    return _searched("your data", model.text, story, over, function, start, window, centre)


def _residual_square(model: Model, columns: Mapping[str, Array], over: tuple[str, str], values: Mapping[str, float]) -> Function:
    """Return the mean square of the residuals and its gradient as a function of two parameters."""
    builder = Builder()
    known = frozenset(columns)
    held = {name: value for name, value in CONSTANTS.items() if name not in known and name not in model.parameters}
    held |= {name: value for name, value in values.items() if name not in over}
    prediction = builder.expression(model.right, known, held)
    square = builder.op("square", builder.op("sub", prediction, builder.expression(model.left, known, held)))
    leaves = builder.gradient(square, builder.number(1.0))
    zero = builder.number(0.0)
    run = Pointwise(builder, [square, *(leaves.get(builder.parameter(name), zero) for name in over)])
    n = len(next(iter(columns.values())))
    step = -(-n // ROWS)
    rows = {name: column[::step] for name, column in columns.items()}
    n = len(next(iter(rows.values())))
    at_once = max(1, _BLOCK // n)

    def function(points: Array) -> tuple[Array, Array]:
        flat = points.reshape(-1, 2)
        out = np.empty((len(flat), 3))
        for first in range(0, len(flat), at_once):
            part = flat[first : first + at_once]
            results = run({over[0]: part[:, :1], over[1]: part[:, 1:], **rows})
            for k, result in enumerate(results):
                with np.errstate(all="ignore"):
                    out[first : first + len(part), k] = np.broadcast_to(result, (len(part), n)).mean(axis=1)
        return out[:, 0].reshape(points.shape[:-1]), np.ascontiguousarray(out[:, 1:]).reshape(points.shape)

    return function


def _searched(
    name: str,
    title: str,
    story: str,
    names: tuple[str, str],
    function: Function,
    start: Point,
    window: tuple[float, float, float, float],
    *near_by: Point,
) -> Problem:
    """Return a landscape whose lowest loss is looked for."""
    loss, place = lowest(function, window, [start, *near_by])
    left, right, bottom, top = window
    inside = left <= place[0] <= right and bottom <= place[1] <= top
    if not inside:
        across, up = 0.1 * (right - left), 0.1 * (top - bottom)
        window = (
            min(left, place[0] - across), max(right, place[0] + across), min(bottom, place[1] - up), max(top, place[1] + up),
        )  # fmt: skip
    return problem(name, title, story, names, function, start, window, minima=[place], lowest=loss)


def _beginning(function: Function, candidates: Sequence[Point], text: str) -> Point:
    """Return the first point that a run can begin from: loss and gradient finite, the gradient not 0."""
    points = np.array(candidates, dtype=np.float64)
    loss, gradient = function(points)
    good = np.isfinite(loss) & np.isfinite(gradient).all(axis=-1) & (gradient != 0).any(axis=-1)
    if not good.any():
        where = f"at {candidates[0]}" if len(candidates) == 1 else "at any of the points that were tried"
        raise UsageError(f"{_short(text)} is not finite or has no slope {where}; give another --start")
    x, y = candidates[int(np.argmax(good))]
    return float(x), float(y)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return repr(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...")
