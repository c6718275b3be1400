"""The landscape of a model on a user's data: its loss over two parameters, around the fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop.data.source import available_memory, open_source
from rmsprop.errors import DataError, UsageError
from rmsprop.expression.hints import listed
from rmsprop.expression.model import Model
from rmsprop.race.problem import Point, Problem
from rmsprop.race.surface import of_model

Array = NDArray[np.float64]


class Fitted(NamedTuple):
    """A landscape of data, and what it was made from."""

    problem: Problem
    model: Model
    columns: dict[str, Array]  # the rows without a missing cell
    values: dict[str, float]  # of all parameters: those held, and around which the two were looked at


def of_data(data: Any, text: str, over: Sequence[str] | None = None, start: Point | Mapping[str, float] | None = None) -> Problem:
    """Return the mean square of a model's residuals over two of its parameters, the others at given values or those of the fit.

    Args:
        data: a path, a mapping of arrays or a frame.
        text: the model, such as "y = a*exp(-b*x)".
        over: names of the two parameters; not needed where the model has just two.
        start: where to begin in these two; or values of parameters by name: those of the two begin there, others are held there.

    Raises:
        UsageError: the model or a name cannot be used.
        DataError: the data cannot be read, or are too large.
        FitError: no fit was found to look around.

    Example:
        >>> import numpy as np
        >>> x = np.linspace(0, 1, 20)
        >>> found = of_data({"x": x, "y": 2 * x + 1}, "y = a*x + b", ["a", "b"])
        >>> found.names, [round(value, 6) for value in found.minima[0]]
        (('a', 'b'), [2.0, 1.0])
    """
    return around_fit(data, text, over, start).problem


def around_fit(
    data: Any,
    text: str,
    over: Sequence[str] | None = None,
    start: Point | Mapping[str, float] | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Fitted:
    """Return the landscape of `of_data`, and what it was made from.

    Args:
        data: as for `of_data`, as are the others.
        text: the model.
        over: names of the two parameters.
        start: where to begin.
        progress: called with (epoch, epochs, lowest loss) now and then.
    """
    from rmsprop.fit import fit
    from rmsprop.fit.stream import too_large

    source = open_source(data)
    parameters = Model(text, source.names).parameters
    pair = _pair(parameters, over)
    given = dict(start) if isinstance(start, Mapping) else {}
    model = Model(text, source.names, start=given)
    both = [given[name] for name in pair if name in given]
    if len(both) == 1:
        named = next(name for name in pair if name in given)
        raise UsageError(f"start gives {named} but not the other of {pair[0]} and {pair[1]}; give both, or none")
    begin = (both[0], both[1]) if both else None if start is None or isinstance(start, Mapping) else start
    if too_large(source, len(model.used_columns), available_memory() // 2):
        raise DataError("the data are larger than half of the free memory; race on a sample of the rows")
    held = {name: value for name, value in given.items() if name not in pair}
    fitted = fit(source, text, start=held, progress=progress)
    values = {name: parameter.value for name, parameter in fitted.parameters.items()} | held
    columns = source.read(model.used_columns, "drop").columns
    return Fitted(of_model(model, columns, pair, values, begin), model, columns, values)


def _pair(parameters: Sequence[str], over: Sequence[str] | None) -> tuple[str, str]:
    names = list(parameters if over is None else over)
    if len(names) != 2 or names[0] == names[1] or not set(names) <= set(parameters):
        every, some, got = listed(parameters), ",".join(parameters[:2]), "" if over is None else f"; got {','.join(over)[:60]!r}"
        raise UsageError(f"over must name two of the model's parameters {every}, such as {some}{got}")
    return names[0], names[1]
