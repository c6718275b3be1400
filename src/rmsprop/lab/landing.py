"""From a setup to the landscape that it runs on; the last few are kept, so that moving a slider fits no model anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rmsprop.data.csvfile import Pasted
from rmsprop.data.source import open_source
from rmsprop.errors import RefusedError
from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.lab.cache import Cache
from rmsprop.lab.deadline import NONE, Deadline
from rmsprop.lab.setup import Data, Formula, Land, Named, SetupError
from rmsprop.race.fitted import Fitted, around_fit
from rmsprop.race.landscapes import landscape
from rmsprop.race.problem import Point, Problem
from rmsprop.race.surface import of_formula

Array = NDArray[np.float64]

_KEPT = Cache(16)
# Points of the curve over the data, and of the data shown.
_GRID, _SHOWN = 121, 1_000
#: What messages call the text that a user pasted.
PASTED = "your data"


@dataclass(frozen=True)
class Fields:
    """What is shown of the data under a landscape: one column against the left side, or rows in their order.

    Attributes:
        x: name of the column on the abscissa; "row" where the model has several, or none.
        y: the left side of the model.
        points: (2, n) what is shown of the rows.
        grid: (k,) abscissas of the curve.
        held: values of the parameters that are not looked over.
    """

    x: str
    y: str
    points: Array
    grid: Array
    held: dict[str, float]
    _fitted: Fitted
    _columns: dict[str, Array]

    def curves(self, points: Array) -> list[Array]:
        """Return the model's (k,) predictions over the grid at each of (m, 2) values of the two parameters."""
        evaluator = Evaluator(self._fitted.model, self._columns, store=False)
        names = self._fitted.problem.names
        found = []
        for first, second in points:
            values = self._fitted.values | {names[0]: float(first), names[1]: float(second)}
            found.append(evaluator.predictions(np.array([values[name] for name in self._fitted.model.parameters])))
        return found


@dataclass(frozen=True)
class Landing:
    """A landscape, and the data under it where there are some."""

    problem: Problem
    data: Fields | None = None

    def starting(self, start: Point | None) -> Landing:
        """Return it with another start.

        Raises:
            SetupError: the loss or its gradient is not finite there.
        """
        if start is None:
            return self
        problem = self.problem.at(start)
        loss, gradient = problem(np.array(start, dtype=np.float64))
        if not (np.isfinite(loss) and np.isfinite(gradient).all()):
            at = ", ".join(f"{name} = {value:g}" for name, value in zip(problem.names, start, strict=True))
            slopes = ", ".join(f"{slope:g}" for slope in gradient)
            raise SetupError(f"at {at} the loss is {loss:g} and its gradient ({slopes}); choose another start", "start")
        return Landing(problem, self.data)


def landing(land: Land, start: Point | None = None, deadline: Deadline = NONE) -> Landing:
    """Return the landscape of a setup.

    Args:
        land: which.
        start: where to begin; None for its own start.
        deadline: when to give up.

    Raises:
        SetupError: it cannot be made; the message says what to change.
        TimeUpError: it takes too long.

    Example:
        >>> landing(Named("rosenbrock"), (0.0, 0.0)).problem.start
        (0.0, 0.0)
    """
    found: Landing = _KEPT.get(land, lambda: _made(land, deadline))
    return found.starting(start)


def _made(land: Land, deadline: Deadline) -> Landing:
    try:
        match land:
            case Named(name):
                return Landing(landscape(name))
            case Formula(text):
                return Landing(of_formula(text))
            case Data():
                return _of_data(land, deadline)
    except SetupError:
        raise
    except RefusedError as error:
        field, what = {Named: ("land.name", "name"), Formula: ("land.text", "formula"), Data: ("land", "model")}[type(land)]
        # Its own start is the lab's to find; there is no option to give another.
        raise SetupError(str(error).replace("give another --start", f"give another {what}"), field) from None


def _of_data(land: Data, deadline: Deadline) -> Landing:
    source = open_source(Pasted(land.csv.encode(), PASTED))
    deadline.check()
    # Whoever has not chosen yet sees the first two; the page then offers each pair.
    pair = land.over or Model(land.model, source.names).parameters[:2]
    fitted = around_fit(source, land.model, pair, progress=deadline.check)
    model, columns = fitted.model, fitted.columns
    step = -(-len(next(iter(columns.values()))) // _SHOWN)
    rows = {name: np.ascontiguousarray(column[::step]) for name, column in columns.items()}
    y = Evaluator(model, rows, store=False).responses()
    held = {name: fitted.values[name] for name in model.parameters if name not in fitted.problem.names}
    left = model.text.split("=")[0].strip()
    if len(model.right_columns) == 1:
        name = model.right_columns[0]
        grid = np.linspace(rows[name].min(), rows[name].max(), _GRID)
        # The left side's columns are not read by predictions, but have to be there.
        over = {other: grid if other == name else np.ones(_GRID) for other in model.used_columns}
        return Landing(fitted.problem, Fields(source.label(name), left, np.array([rows[name], y]), grid, held, fitted, over))
    count = np.arange(1.0, 1.0 + len(y)) * step
    return Landing(fitted.problem, Fields("row", left, np.array([count, y]), count, held, fitted, rows))
