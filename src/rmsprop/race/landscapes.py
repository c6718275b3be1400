"""The landscapes that have names: formulas, and losses on real data."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from rmsprop.errors import UsageError
from rmsprop.expression.hints import near
from rmsprop.race import iris
from rmsprop.race.problem import Point, Problem, problem
from rmsprop.race.surface import compiled

Window = tuple[float, float, float, float]

_ROOT = 3**0.5 / 2
# Himmelblau's other minima, from https://en.wikipedia.org/wiki/Himmelblau's_function and polished.
_HIMMELBLAU = (
    (3.0, 2.0),
    (-2.805118086952745, 3.131312518250573),
    (-3.779310253377747, -3.283185991286170),
    (3.584428340330492, -1.848126526964404),
)
# The axes of the rotated quadratic, 30 degrees to those of the parameters.
_ALONG, _ACROSS = "(cos(pi/6)*x + sin(pi/6)*y)", "(cos(pi/6)*y - sin(pi/6)*x)"


class _Formula(NamedTuple):
    """A landscape by its formula in x and y."""

    name: str
    text: str
    story: str
    start: Point
    window: Window
    minima: tuple[Point, ...]
    spread: Point | None = None

    def problem(self) -> Problem:
        """Return it, compiled."""
        _, function = compiled(self.text)
        return problem(
            self.name, self.text, self.story, ("x", "y"), function, self.start, self.window, minima=self.minima, spread=self.spread
        )


_FORMULAS = (
    _Formula(
        "quadratic",
        "(x**2 + y**2)/2",
        "A round bowl: plain gradient descent is all that it takes.",
        (-2.5, 1.5), (-3.0, 3.0, -2.2, 2.2), ((0.0, 0.0),),
    ),
    _Formula(
        "ill-conditioned",
        "(x**2 + 100*y**2)/2",
        "A hundred times steeper one way than the other: one rate for both must suit the steep way.",
        (-2.5, 0.3), (-3.0, 3.0, -2.2, 2.2), ((0.0, 0.0),),
    ),
    _Formula(
        "rotated",
        f"({_ALONG}**2 + 100*{_ACROSS}**2)/2",
        "The same bowl turned by 30 degrees: a rate for each parameter no longer separates steep from flat.",
        (-2.2, -0.9), (-3.0, 3.0, -2.2, 2.2), ((0.0, 0.0),),
    ),
    _Formula(
        "rosenbrock",
        "(1 - x)**2 + 100*(y - x**2)**2",
        "A curved valley with a nearly flat floor: easy to find, slow to follow.",
        (-1.2, 1.0), (-2.0, 2.0, -1.0, 3.0), ((1.0, 1.0),),
    ),
    _Formula(
        "beale",
        "(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2",
        "Steep walls at the corners and a flat floor between them.",
        (1.0, 1.5), (-1.0, 4.5, -1.5, 2.0), ((3.0, 0.5),),
    ),
    _Formula(
        "himmelblau",
        "(x**2 + y - 11)**2 + (x + y**2 - 7)**2",
        "Four minima of one depth: which of them is found depends on the path.",
        (0.0, 0.0), (-5.0, 5.0, -5.0, 5.0), _HIMMELBLAU,
    ),
    _Formula(
        "rastrigin",
        "20 + x**2 - 10*cos(2*pi*x) + y**2 - 10*cos(2*pi*y)",
        "A hundred traps: only the one in the middle counts.",
        (2.3, -1.8), (-3.2, 3.2, -3.2, 3.2), ((0.0, 0.0),),
    ),
    _Formula(
        "saddle",
        "x**2 - y**2 + y**4/2",
        "The start lies almost on the ridge, where the way out is flat: who notices it first?",
        (-1.5, 0.002), (-1.8, 1.8, -1.6, 1.6), ((0.0, 1.0), (0.0, -1.0)), (0.05, 0.0005),
    ),
    _Formula(
        "monkey-saddle",
        "x**3 - 3*x*y**2 + 0.75*(x**2 + y**2)**2",
        "Three ways down from a point without slope or curvature.",
        (1.1, 0.01), (-1.6, 1.6, -1.4, 1.4), ((-1.0, 0.0), (0.5, _ROOT), (0.5, -_ROOT)), (0.03, 0.002),
    ),
    _Formula(
        "ravine",
        "x**2/2 + 50*(y - sin(x))**2",
        "A winding ravine: the floor falls gently while the walls throw every step back.",
        (-3.0, 0.2), (-3.6, 2.4, -2.0, 2.0), ((0.0, 0.0),),
    ),
    _Formula(
        "plateau",
        "1 - exp(-(x**2 + y**2)/2)",
        "At the start the slope is nearly 0, at the brink it is not: a rate that suits one fails the other.",
        (-3.2, 2.4), (-4.5, 3.0, -2.5, 3.5), ((0.0, 0.0),),
    ),
    _Formula(
        "cliff",
        "(x + 1)**2/10 + y**2/2 + 5*(1 + tanh(10*(x - 1)))",
        "One huge gradient at the brink throws away whoever takes it at its word.",
        (2.5, 1.5), (-3.0, 3.0, -2.0, 2.2), ((-1.0, 0.0),),
    ),
    _Formula(
        "abs",
        "abs(x + y/3) + 2*abs(y - x/3)",
        "The slope keeps its size up to the kink: a step of constant length never comes to rest.",
        (-2.5, 1.5), (-3.0, 3.0, -2.2, 2.2), ((0.0, 0.0),),
    ),
)  # fmt: skip
# By name, so that a landscape is only compiled when it is asked for.
_ALL: dict[str, Callable[[], Problem]] = {row.name: row.problem for row in _FORMULAS} | {
    "logistic": iris.logistic,
    "network": iris.network,
}


def landscape_names() -> tuple[str, ...]:
    """Return the names that `landscape` knows.

    Example:
        >>> landscape_names()[:4]
        ('quadratic', 'ill-conditioned', 'rotated', 'rosenbrock')
    """
    return tuple(_ALL)


@cache
def landscape(name: str) -> Problem:
    """Return a landscape by name.

    Raises:
        UsageError: there is none of that name.

    Example:
        >>> landscape("rosenbrock").minima
        ((1.0, 1.0),)
    """
    if name not in _ALL:
        raise UsageError(f"landscape must be one of {', '.join(_ALL)}, or a formula of two names; got {name!r}{near(name, _ALL)}")
    return _ALL[name]()
