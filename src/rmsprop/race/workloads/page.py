"""The race on a workload as a page that stands by itself: what the picture shows, to zoom into, and the table."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmsprop.errors import missing_extra
from rmsprop.race.page import digits, document
from rmsprop.race.style import looks
from rmsprop.race.workloads.report import median, notes, rows
from rmsprop.race.workloads.train import Lesson


def page(lesson: Lesson) -> bytes:
    """Return the page as UTF-8 bytes.

    Args:
        lesson: the race.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise missing_extra("Plotly", "'rmsprop[race]'") from None
    metric = lesson.problem.metric
    titles = ("the median loss", f"the median {metric}", "effective learning rate", "loss at the end, by learning rate")
    figure = make_subplots(rows=2, cols=2, horizontal_spacing=0.08, vertical_spacing=0.13, subplot_titles=titles)
    looked = looks(lesson.entries)
    for entry in lesson.entries:
        name, look = entry.rival.name, looked[entry.rival.name]
        chosen = {"size": [13 if lr == entry.lr else 6 for lr in entry.tried]}
        curves: list[tuple[Any, Any, dict[str, Any]]] = [
            (lesson.times, median(entry.losses), {}),
            (lesson.times, median(entry.metrics), {}),
            (lesson.times[1:], median(entry.rates), {}),
            (entry.tried, np.where(np.isfinite(entry.tried_final), entry.tried_final, np.nan), chosen),
        ]
        for place, (x, y, marked) in enumerate(curves):
            trace = go.Scatter(
                x=x, y=digits(y), mode="lines+markers", name=f"{name}, lr {entry.lr:.2g}", legendgroup=name, showlegend=place == 0,
                line={"color": look.color, "width": look.width, "dash": look.dash}, marker={"symbol": look.symbol, **marked},
            )  # fmt: skip
            figure.add_trace(trace, 1 + place // 2, 1 + place % 2)
    for row, col in ((1, 1), (2, 1), (2, 2)):
        figure.update_yaxes(type="log", exponentformat="power", row=row, col=col)
    figure.update_xaxes(type="log", title="learning rate", exponentformat="power", row=2, col=2)
    for row, col in ((1, 1), (1, 2), (2, 1)):
        figure.update_xaxes(title="steps", row=row, col=col)
    for row, col in ((1, 1), (2, 2)):
        figure.add_hline(lesson.problem.target, line={"color": "#222", "width": 1, "dash": "dash"}, row=row, col=col)
    margin = {"l": 60, "r": 20, "t": 40, "b": 20}
    figure.update_layout(template="plotly_white", height=820, margin=margin, legend={"orientation": "h", "y": -0.1, "x": 0})
    label = "Each optimizer's loss, metric and effective rate by step, and its loss by learning rate; the table has the numbers"
    return document(lesson, figure, label, rows(lesson), notes(lesson))
