"""What a fit returns."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit.statistics import Statistics
from rmsprop.fit.train import Run

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter; `stderr` is None where it would mean nothing."""

    value: float
    stderr: float | None
    start: float


@dataclass(frozen=True)
class RMSpropEnd:
    """What RMSprop reached alone."""

    parameters: dict[str, float]
    rss: float


@dataclass(frozen=True)
class FitResult:
    """A fit: `print(result)` shows the report.

    Attributes:
        model: the model, as text.
        parameters: name → value, standard error and start.
        rss: Σ of squared residuals, over sigma² where there is one.
        r2, rmse: 1 - rss/tss, and √(rss/n).
        epochs: epochs that RMSprop ran.
        converged: whether the residuals are orthogonal to every derivative at the answer, as at an optimum.
        interrupted: whether Ctrl-C ended it; the answer is then the best so far.
        rmsprop: what RMSprop reached alone.
        seconds: wall time.
        losses: mean loss at the start and after each epoch.
        statistics: the other measures.
        notes: everything that was found or decided on the way.
        settings: the options that were used.
    """

    model: str
    parameters: dict[str, Parameter]
    rss: float
    r2: float | None
    rmse: float
    epochs: int
    converged: bool
    interrupted: bool
    rmsprop: RMSpropEnd
    seconds: float
    losses: list[float]
    statistics: Statistics
    polish: str
    notes: list[str]
    settings: dict[str, Any]
    title: str
    compiled: Model = field(repr=False)
    run: Run = field(repr=False)
    rows: dict[str, Array] = field(repr=False)  # the rows that the plot shows

    def predict(self, data: Any) -> Array:
        """Return the right side for other rows.

        Args:
            data: name → array (n,), or a path or frame, with the columns of the right side.

        Returns:
            (n,) predictions; NaN where a cell is missing.
        """
        from rmsprop.data.source import ArraySource, open_source

        source = open_source(data)
        wanted = self.compiled.right_columns
        missing = [name for name in wanted if name not in source.names]
        if missing:
            raise ValueError(f"data lacks the columns {', '.join(missing)}; it has {', '.join(source.names)}")
        if not wanted:
            return np.full(source.rows(), self.parameters[self.compiled.parameters[0]].value)
        if isinstance(source, ArraySource):
            columns = {name: source.array(name) for name in wanted}
        else:
            columns = source.read(wanted, "refuse").columns
        # The model's other columns are not read by its right side.
        n = len(columns[wanted[0]])
        rows = {name: columns.get(name, np.zeros(n)) for name in self.compiled.used_columns}
        return Evaluator(self.compiled, rows, store=False).predictions(self.theta)

    @property
    def theta(self) -> Array:
        """(p,) values in the order of `parameters`."""
        return np.array([parameter.value for parameter in self.parameters.values()])

    def to_dict(self) -> dict[str, Any]:
        """Return what `fit.json` holds."""
        s = self.statistics
        names = list(self.parameters)
        correlation = None
        if s.correlation is not None:
            correlation = {a: {b: float(s.correlation[i, k]) for k, b in enumerate(names)} for i, a in enumerate(names)}
        plain: dict[str, Any] = _finite(
            {
                "model": self.model,
                "data": self.title,
                "n": s.n,
                "parameters": {k: {"value": v.value, "stderr": v.stderr, "start": v.start} for k, v in self.parameters.items()},
                "rss": self.rss,
                "r2": self.r2,
                "rmse": self.rmse,
                "aic": s.aic,
                "bic": s.bic,
                "reduced_chi_square": s.reduced_chi_square,
                "correlation": correlation,
                "condition": s.condition,
                "no_stderr": s.no_stderr,
                "epochs": self.epochs,
                "converged": self.converged,
                "interrupted": self.interrupted,
                "rmsprop": {"parameters": self.rmsprop.parameters, "rss": self.rmsprop.rss},
                "polish": self.polish,
                "loss": {"kind": self.settings["loss"], "start": self.losses[0], "end": self.losses[-1]},
                "settings": self.settings,
                "notes": self.notes,
                "seconds": self.seconds,
            }
        )
        return plain

    def to_json(self) -> str:
        """Return `to_dict` as JSON; what is not finite is null."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write the picture: data and curve, residuals, loss, and effective learning rates.

        Args:
            path: a .png, .svg or .pdf file.
        """
        from rmsprop.fit.plot import draw
        from rmsprop.outputs import write_all

        path = Path(path)
        write_all(path.parent, {path.name: draw(self, path.suffix.lstrip(".") or "png")})

    def __str__(self) -> str:
        """Return the report."""
        from rmsprop.fit.report import report

        return report(self)


def _finite(value: Any) -> Any:
    """Return a value with null in place of what JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
