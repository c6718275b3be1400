"""The picture of a race on a workload: loss, metric and effective learning rates on the way, and how much the rate matters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.plot import INK, new_figure, open_up, order, plain, png
from rmsprop.race.style import DASHES, Look, headline, looks, verdict
from rmsprop.race.workloads.report import median, ordered
from rmsprop.race.workloads.train import Lesson, Student

Array = NDArray[np.float64]


def draw(lesson: Lesson) -> bytes:
    """Return the picture as a PNG file's bytes.

    Args:
        lesson: the race.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(13, 7.2, 100)
    tuned = any(entry.edge is not None for entry in lesson.entries)
    grid = figure.add_gridspec(2, 2, hspace=0.42, wspace=0.19)
    figure.subplots_adjust(left=0.075, right=0.985, top=0.85, bottom=0.075)
    looked = looks(lesson.entries)
    panels = [_losses, _metrics, _effective, *([_rates] if tuned else [])]
    for k, panel in enumerate(panels):
        ax = figure.add_subplot(grid[1, :] if k == 2 and not tuned else grid[k // 2, k % 2])
        panel(ax, lesson, looked)
        open_up(ax)
    workload = lesson.problem
    figure.text(0.075, 0.955, plain(f"{workload.name}: {headline(lesson)}"), fontsize=15, weight="bold", color=INK)
    figure.text(0.075, 0.918, plain(workload.title[:1].upper() + workload.title[1:]), fontsize=10.5, color=INK)
    return png(figure)


def _losses(ax: Any, lesson: Lesson, looked: dict[str, Look]) -> None:
    target, times = lesson.problem.target, lesson.times
    for entry, style in _styled(lesson, looked):
        label = plain(f"{entry.rival.name}, lr {entry.lr:.2g}: {verdict(entry)}")
        _line(ax, times, entry.losses, style, label)
    ax.set_yscale("log")
    _hold(ax, [entry.losses for entry in lesson.entries], target)
    ax.axhline(target, color=INK, linewidth=1, linestyle="dashed", zorder=1)
    ax.annotate("target", (0, target), (5, 4), xycoords=ax.get_yaxis_transform(), textcoords="offset points", fontsize=8, color=INK)
    ax.legend(fontsize=8, loc="best", framealpha=0.9)
    _name(ax, "Loss on the way: the median run, and the middle half", "steps", "loss")


def _metrics(ax: Any, lesson: Lesson, looked: dict[str, Look]) -> None:
    for entry, style in _styled(lesson, looked):
        _line(ax, lesson.times, entry.metrics, style)
    better = "more" if lesson.problem.higher else "less"
    _name(ax, f"On what it is not trained on: {lesson.problem.metric}, the {better} the better", "steps", lesson.problem.metric)


def _effective(ax: Any, lesson: Lesson, looked: dict[str, Look]) -> None:
    for entry, style in _styled(lesson, looked):
        _line(ax, lesson.times[1:], entry.rates, style)
    if any(np.nanmax(median(entry.rates), initial=0) > 0 for entry in lesson.entries):
        ax.set_yscale("log")
    _name(ax, "Effective learning rate: step by gradient, the median weight", "steps", "Δ / gradient")


def _rates(ax: Any, lesson: Lesson, looked: dict[str, Look]) -> None:
    for entry, style in _styled(lesson, looked):
        if not len(entry.tried):
            continue
        final = np.where(np.isfinite(entry.tried_final), entry.tried_final, np.nan)
        ax.plot(entry.tried, final, markersize=4.5, **style)
        place = int(np.argmin(np.abs(np.log(entry.tried / entry.lr))))
        ring = {"markersize": 13, "markerfacecolor": "none", "markeredgecolor": style["color"], "markeredgewidth": 1.8}
        ax.plot(entry.lr, final[place], "o", **ring)
    ax.set_xscale("log")
    ax.set_yscale("log")
    target = lesson.problem.target
    _hold(ax, [entry.tried_final[:, None] for entry in lesson.entries] + [entry.losses[:1] for entry in lesson.entries], target)
    ax.axhline(target, color=INK, linewidth=1, linestyle="dashed", zorder=1)
    _name(ax, "Loss at the end, by learning rate; the chosen one has a ring", "learning rate", "loss")


def _styled(lesson: Lesson, looked: dict[str, Look]) -> list[tuple[Student, dict[str, Any]]]:
    """Return the rivals, each with the look of its lines."""
    found = []
    for entry in lesson.entries:
        look = looked[entry.rival.name]
        style = {"color": look.color, "marker": look.marker, "linestyle": DASHES[look.dash], "linewidth": look.width}
        found.append((entry, style | {"zorder": order(entry.rival.name)}))
    return found


def _line(ax: Any, times: NDArray[np.int64], values: Array, style: dict[str, Any], label: str | None = None) -> None:
    """Draw the median run, and the middle half behind it."""
    low, middle, high = np.array([ordered(row, higher=False) for row in values]).T
    shown = [np.where(np.isfinite(one), one, np.nan) for one in (low, middle, high)]
    ax.plot(times, shown[1], markersize=4, markevery=3, label=label, **style)
    ax.fill_between(times, shown[0], shown[2], color=style["color"], alpha=0.15, linewidth=0)


def _hold(ax: Any, losses: list[Array], target: float) -> None:
    """Let an axis of losses show all that is not far above where they began."""
    first = max((float(np.nanmax(part[0], initial=target, where=np.isfinite(part[0]))) for part in losses), default=target)
    every = np.concatenate([part[np.isfinite(part)] for part in losses])
    low = min([float(every[every > 0].min(initial=target)), target])
    ax.set_ylim(max(low * 0.8, target * 1e-4), max(first, target) * 2)


def _name(ax: Any, title: str, x: str, y: str) -> None:
    ax.set_title(title, fontsize=10, loc="left", color=INK)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
