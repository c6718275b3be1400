"""What a race on a workload came to: the table, and the JSON object."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.judge import quartiles
from rmsprop.race.report import HEADER, as_json, counted, notes_on_rates, told, told_of
from rmsprop.race.report import rows as shared_rows
from rmsprop.race.workloads.train import Lesson, Student

Array = NDArray[np.float64]


def rows(lesson: Lesson) -> list[tuple[str, ...]]:
    """Return the table: the header, and a row for each rival, the best first."""
    higher = lesson.problem.higher
    _, *body = shared_rows(lesson)
    more = [
        (_shown(ordered(entry.metrics[-1], higher=higher)), _digits(ordered(entry.best(higher=higher), higher=higher)[1]))
        for entry in lesson.entries
    ]
    return [(*HEADER, lesson.problem.metric, "at its best"), *((*row, *two) for row, two in zip(body, more, strict=True))]


def ordered(metrics: Array, *, higher: bool) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile of metrics; a broken run, NaN, counts as the worst.

    Example:
        >>> ordered(np.array([0.5, np.nan, 0.7]), higher=True)
        (-inf, 0.5, 0.7)
    """
    if higher:
        low, middle, high = quartiles(-metrics)
        return -high, -middle, -low
    return quartiles(metrics)


def notes(lesson: Lesson) -> list[str]:
    """Return what one must know to read the table."""
    workload, settings = lesson.problem, lesson.settings
    every = max(np.diff(lesson.times))
    return [
        f"of steps, losses and {workload.metric}: the median run, and in parentheses the middle half of the runs",
        f"target: a loss of {workload.target:.6g}, counted once it stays there; it is measured every {counted(int(every), 'step')}",
        f"{workload.metric} is taken on what the model is not trained on, the {'more' if workload.higher else 'less'} the better;"
        " `at its best` is the median run's best moment",
        f"{counted(settings.seeds, 'run')} of {counted(settings.steps, 'step')} each, from different starts and batches,"
        " which are the same for all",
        *notes_on_rates(lesson),
    ]


def to_json(lesson: Lesson) -> str:
    """Return the race as one JSON object; numbers that are not finite are null."""
    import torch

    workload = lesson.problem
    return as_json(
        {
            "workload": {
                "name": workload.name,
                "title": workload.title,
                "metric": workload.metric,
                "higher_is_better": workload.higher,
                "target": workload.target,
                "lowest": workload.lowest,
            },
            **told(lesson),
            "torch": torch.__version__,
            "times": [int(time) for time in lesson.times],
            "optimizers": [told_of(entry) | _more(entry, higher=workload.higher) for entry in lesson.entries],
        }
    )


def _more(entry: Student, *, higher: bool) -> dict[str, object]:
    last, best = entry.metrics[-1], entry.best(higher=higher)
    return {
        "metric": {
            "quartiles": ordered(last, higher=higher),
            "best": ordered(best, higher=higher),
            "runs": last,
        },
        # What follows is by time: losses and metrics at `times`, the rest between one time and the next; medians of the runs.
        "loss_on_the_way": median(entry.losses),
        "metric_on_the_way": median(entry.metrics),
        "effective_lr": median(entry.rates),
        "step_by_gradient": median(entry.slopes),
        "gradient_norm": median(entry.norms),
        "gradient_peak": median(entry.peaks),
    }


def median(values: Array) -> Array:
    """Return the medians over the runs of (moments, runs) values, NaN where most runs are broken."""
    places = np.sort(np.where(np.isnan(values), np.inf, values), axis=1)[:, (values.shape[1] - 1) // 2]
    return np.where(np.isfinite(places), places, np.nan)


def _shown(quarters: tuple[float, float, float]) -> str:
    low, middle, high = (_digits(value) for value in quarters)
    return f"{middle} ({low} to {high})"


def _digits(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "none"
