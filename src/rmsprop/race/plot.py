"""The picture of a race: the landscape with every rival's way, the losses, and how much the learning rate matters."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import missing_extra
from rmsprop.race.judge import quartiles
from rmsprop.race.style import DASHES, LAND, Look, headline, height, looks, near, surface, unit, verdict
from rmsprop.race.tournament import Race

Array = NDArray[np.float64]

_LEVELS = 24
INK, _FAINT = "#222222", "#8a8a8a"


def draw(race: Race) -> bytes:
    """Return the picture as a PNG file's bytes.

    Args:
        race: the race.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(13, 7.2, 100)
    tuned = any(entry.edge is not None for entry in race.entries)
    grid = figure.add_gridspec(2 if tuned else 1, 2, width_ratios=[1.25, 1], hspace=0.36, wspace=0.17)
    figure.subplots_adjust(left=0.055, right=0.985, top=0.865, bottom=0.085)
    looked = looks(race.entries)
    land = figure.add_subplot(grid[:, 0])
    landscape(land, race)
    _paths(land, race, looked)
    losses = figure.add_subplot(grid[0, 1])
    _losses(losses, race, looked)
    if tuned:
        _rates(figure.add_subplot(grid[1, 1], sharey=losses), race, looked)
    figure.text(0.055, 0.955, plain(f"{race.problem.name}: {headline(race)}"), fontsize=15, weight="bold", color=INK)
    figure.text(0.055, 0.915, plain(race.problem.story), fontsize=10.5, color=INK)
    return png(figure)


def png(figure: Any) -> bytes:
    """Return a figure as a PNG file's bytes."""
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def new_figure(width: float, height: float, dpi: int) -> Any:
    """Return an empty figure that draws into memory.

    Args:
        width: inches.
        height: inches.
        dpi: pixels in an inch.
    """
    try:
        # Without pyplot: it would choose a window system and keep every figure alive.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "'rmsprop[race]'") from None
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def landscape(ax: Any, race: Race) -> None:
    """Draw the landscape: the darker the lower, a dashed line around where the target is, stars at the minima."""
    problem = race.problem
    x, y, levels = surface(problem)
    if np.isfinite(levels).any():
        masked = np.ma.masked_invalid(levels)
        from matplotlib.colors import LinearSegmentedColormap

        # Pale, so that the ways stand out, and opaque, so that no seams show between the levels.
        ax.contourf(x, y, masked, _LEVELS, cmap=LinearSegmentedColormap.from_list("land", LAND))
        ax.contour(x, y, masked, _LEVELS // 2, colors="white", linewidths=0.5)
        if masked.min() < np.log10(2) < masked.max():
            ax.contour(x, y, masked, [np.log10(2)], colors=INK, linewidths=0.9, linestyles="dashed")
    for place in problem.minima:
        ax.plot(*place, "*", color="white", markeredgecolor=INK, markersize=15, zorder=6)
    ax.plot(*problem.start, "o", color="white", markeredgecolor=INK, markersize=9, zorder=6)
    ax.annotate("start", problem.start, (7, 7), textcoords="offset points", fontsize=10, color=INK, zorder=6, bbox=_label())
    left, right, bottom, top = problem.window
    ax.set(xlim=(left, right), ylim=(bottom, top))
    ax.set_xlabel(problem.names[0], fontsize=10)
    ax.set_ylabel(problem.names[1], fontsize=10)
    text = problem.title if len(problem.title) <= 90 else problem.title[:87] + "..."
    ax.set_title(plain(text), fontsize=10, loc="left", color=INK)
    ax.tick_params(labelsize=8)


def halo(width: float) -> list[Any]:
    """Return the effect that sets a line off from what is under it."""
    from matplotlib.patheffects import Normal, Stroke

    return [Stroke(linewidth=width + 1.6, foreground="white", alpha=0.85), Normal()]


def order(name: str) -> int:
    """Return how high a rival's line lies: RMSprop over the others."""
    return 5 if name.startswith("rmsprop") else 4


def open_up(ax: Any) -> None:
    """Take the box away from around axes, and lay faint lines behind."""
    ax.tick_params(labelsize=8)
    ax.grid(axis="y", color=_FAINT, linewidth=0.4, alpha=0.4)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def plain(text: str) -> str:
    """Return text in which matplotlib sees no formula of its own."""
    return text.replace("$", r"\$")


def _label() -> dict[str, Any]:
    return {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}


def _paths(ax: Any, race: Race, looked: dict[str, Look]) -> None:
    for entry in race.entries:
        name = entry.rival.name
        look = looked[name]
        label = f"{name}, lr {entry.lr:.2g}: {verdict(entry)}"
        style: dict[str, Any] = {"color": look.color, "zorder": order(name)}
        if look.marker != "x":
            style |= {"markeredgecolor": "white", "markeredgewidth": 0.6}
        marks = _marks(entry.path, race)
        path = near(entry.path, race.problem)
        dash = DASHES[look.dash]
        ax.plot(*path.T, dash, linewidth=look.width, path_effects=halo(look.width) if dash == "-" else [], **style)
        ax.plot(*path[marks].T, look.marker, markersize=6.5, **style)
        ax.plot([], [], f"{dash}{look.marker}", linewidth=look.width, markersize=7, label=plain(label), **style)
    ax.legend(fontsize=8.5, loc="best", framealpha=0.9, title="the first run of each; steps of the median run", title_fontsize=8.5)


def _marks(path: Array, race: Race) -> list[int]:
    """Return where on a path marks stand: some steps apart by length, not by time, so that they do not pile up."""
    left, right, bottom, top = race.problem.window
    scaled = path / np.array([right - left, top - bottom])
    marks, last = [], scaled[0]
    for k, place in enumerate(scaled):
        if np.hypot(*(place - last)) >= 0.07:
            marks.append(k)
            last = place
    return [*marks[:40], len(path) - 1]


def _losses(ax: Any, race: Race, looked: dict[str, Look]) -> None:
    problem = race.problem
    for entry in race.entries:
        name = entry.rival.name
        look = looked[name]
        with np.errstate(invalid="ignore"):
            ordered = np.sort(np.where(np.isfinite(entry.losses), entry.losses, np.inf), axis=1)
        runs = ordered.shape[1]
        low, middle, high = (height(problem, ordered[:, min(runs - 1, int(np.ceil(q * runs)) - 1)]) for q in (0.25, 0.5, 0.75))
        times = race.times
        shown = np.isfinite(middle) & (times > 0)
        ax.plot(times[shown], middle[shown], DASHES[look.dash], color=look.color, linewidth=look.width, zorder=order(name))
        ax.fill_between(
            times[1:], low[1:], np.where(np.isfinite(high), high, np.nan)[1:], color=look.color, alpha=0.15, linewidth=0
        )
        spread = np.unique(np.geomspace(1, len(times) - 1, 9).astype(int))
        ax.plot(times[spread], middle[spread], look.marker, color=look.color, markersize=5, zorder=order(name))
    ax.set_xscale("log")
    _scale(ax, race)
    ax.set_xlim(1, max(2, race.times[-1]))
    ax.set_xlabel("steps", fontsize=9)
    ax.set_title("Loss on the way: the median run, and the middle half", fontsize=10, loc="left", color=INK)


def _rates(ax: Any, race: Race, looked: dict[str, Look]) -> None:
    problem = race.problem
    for entry in race.entries:
        if not len(entry.tried):
            continue
        name = entry.rival.name
        look = looked[name]
        final = np.where(np.isfinite(entry.tried_final), height(problem, entry.tried_final), np.nan)
        ax.plot(
            entry.tried, final, f"-{look.marker}", color=look.color, linewidth=look.width * 0.75, markersize=4, zorder=order(name)
        )
        place = int(np.argmin(np.abs(np.log(entry.tried / entry.lr))))
        ax.plot(entry.lr, final[place], "o", markersize=13, markerfacecolor="none", markeredgecolor=look.color, markeredgewidth=1.8)
    ax.set_xscale("log")
    _scale(ax, race)
    ax.set_xlabel("learning rate", fontsize=9)
    ax.set_title("Loss at the end, by learning rate; the chosen one has a ring", fontsize=10, loc="left", color=INK)


def _scale(ax: Any, race: Race) -> None:
    problem = race.problem
    first = max(float(quartiles(entry.losses[0])[1]) for entry in race.entries) - problem.lowest
    ax.set_yscale("log")
    ax.set_ylim(0.7e-3 * unit(problem), max(30 * first, 30 * unit(problem)))
    ax.axhline(unit(problem), color=INK, linewidth=1, linestyle="dashed", zorder=1)
    side = ax.get_yaxis_transform()
    for text, level, size in (("target", unit(problem), 8), ("a thousandth of that, and less", 1e-3 * unit(problem), 7)):
        near_axis: dict[str, Any] = {"xycoords": side, "textcoords": "offset points", "bbox": _label(), "zorder": 9}
        ax.annotate(text, (0, level), (5, 4), fontsize=size, color=INK, **near_axis)
    ax.set_ylabel("loss" if problem.lowest == 0 else f"loss above {problem.lowest:.4g}", fontsize=9)
    open_up(ax)
