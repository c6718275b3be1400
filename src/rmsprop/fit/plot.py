"""The picture of a fit: data and curve, residuals, loss, effective learning rates."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import UsageError, missing_extra
from rmsprop.expression.evaluate import Evaluator

if TYPE_CHECKING:
    from rmsprop.fit.result import FitResult

Array = NDArray[np.float64]

_POINTS = 5_000
_DATA, _CURVE, _GRAY = "#4477aa", "#ee6677", "#888888"
_LINES = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222222")


def draw(fit: FitResult, kind: str) -> bytes:
    """Return the picture as a file's bytes.

    Args:
        fit: the fit.
        kind: "png", "svg" or "pdf".
    """
    if kind not in ("png", "svg", "pdf"):
        raise UsageError(f"a picture must be .png, .svg or .pdf, got .{kind}")
    try:
        # Without pyplot: it would choose a window system and keep every figure alive.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib") from None
    figure = Figure(figsize=(10, 7.5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.92, bottom=0.075, wspace=0.2, hspace=0.3)
    model = fit.compiled
    rows = {name: column[:: max(1, len(column) // _POINTS)] for name, column in fit.rows.items()}
    evaluator = Evaluator(model, rows, store=False)
    y, predicted = evaluator.responses(), evaluator.predictions(fit.theta)
    single = len(model.right_columns) == 1
    x = rows[model.right_columns[0]] if single else predicted
    left = model.text.split("=")[0].strip()
    across = model.right_columns[0] if single else f"{left}, predicted"
    _data(axes[0, 0], fit, x, y, predicted, across, left, rows)
    _residuals(axes[0, 1], x, y - predicted, across)
    _loss(axes[1, 0], fit)
    _effective(axes[1, 1], fit)
    for ax in axes.flat:
        ax.tick_params(labelsize=8)
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    text = fit.model if len(fit.model) <= 100 else fit.model[:97] + "..."
    # A dollar sign would begin a formula of matplotlib's own.
    figure.suptitle(text.replace("$", r"\$"), fontsize=11)
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    return out.getvalue()


def _data(ax: Any, fit: FitResult, x: Array, y: Array, predicted: Array, across: str, left: str, rows: dict[str, Array]) -> None:
    model = fit.compiled
    ax.plot(x, y, ".", color=_DATA, markersize=4, alpha=0.7, label="data", zorder=1)
    if len(model.right_columns) == 1:
        name = model.right_columns[0]
        grid = np.linspace(x.min(), x.max(), 500)
        # The curve reads only the right side's column; the others only have to be there.
        columns = {other: grid if other == name else np.ones(len(grid)) for other in model.used_columns}
        curve = Evaluator(model, columns, store=False).predictions(fit.theta)
        ax.plot(grid, curve, color=_CURVE, linewidth=1.5, label="fit", zorder=2)
        start = np.array([p.start for p in fit.parameters.values()])
        first = Evaluator(model, columns, store=False).predictions(start)
        # The start may be far off; the data sets the range.
        low, high = ax.get_ylim()
        ax.plot(grid, first, color=_GRAY, linewidth=1, linestyle="--", label="start", zorder=0)
        ax.set_ylim(low, high)
    else:
        ends = [min(predicted.min(), y.min()), max(predicted.max(), y.max())]
        ax.plot(ends, ends, color=_CURVE, linewidth=1.5, label="predicted = data", zorder=2)
    ax.set_xlabel(across, fontsize=9)
    ax.set_ylabel(left, fontsize=9)
    _title(ax, "Data and fit")
    ax.legend(fontsize=8, frameon=False, loc="best")


def _title(ax: Any, text: str) -> None:
    # A height of its own spares matplotlib the search for one, which takes longer than the rest of the drawing.
    ax.set_title(text, fontsize=10, y=1.02)


def _logarithmic(ax: Any) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    ax.set_yscale("log")
    # Plain text and no minor ticks: typeset powers of ten and their ticks cost as much as a fit.
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _residuals(ax: Any, x: Array, residuals: Array, across: str) -> None:
    ax.axhline(0, color=_CURVE, linewidth=1.5)
    ax.plot(x, residuals, ".", color=_DATA, markersize=4, alpha=0.7)
    ax.set_xlabel(across, fontsize=9)
    ax.set_ylabel("data - fit", fontsize=9)
    _title(ax, "Residuals")


def _loss(ax: Any, fit: FitResult) -> None:
    losses = np.array(fit.losses)
    epochs = np.arange(len(losses))
    ax.plot(epochs, losses, color=_DATA, linewidth=1, label="RMSprop")
    if (losses > 0).all():
        _logarithmic(ax)
    if fit.settings["loss"] == "mse" and not fit.polish.startswith("not polished"):
        ax.axhline(fit.rss / fit.statistics.n, color=_CURVE, linewidth=1, linestyle="--", label="polished")
    ax.legend(fontsize=8, frameon=False, loc="upper right")
    ax.set_xlabel("epoch", fontsize=9)
    ax.set_ylabel(f"loss ({fit.settings['loss']})", fontsize=9)
    _title(ax, "Loss")


def _effective(ax: Any, fit: FitResult) -> None:
    epochs = [epoch for epoch, _ in fit.run.effective]
    rates = np.array([rate for _, rate in fit.run.effective]).reshape(-1, len(fit.parameters))
    for k, name in enumerate(fit.parameters):
        ax.plot(epochs, rates[:, k], color=_LINES[k % len(_LINES)], linewidth=1, label=name)
    if rates.size and (rates > 0).all():
        _logarithmic(ax)
    if rates.size:
        ax.legend(fontsize=8, frameon=False, loc="upper left", ncols=1 + len(fit.parameters) // 5)
    ax.set_xlabel("epoch", fontsize=9)
    ax.set_ylabel("step for a unit gradient", fontsize=9)
    _title(ax, "Effective learning rate")
