"""The race as a page that stands by itself, with nothing loaded from elsewhere: ways and losses on one clock, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.errors import missing_extra
from rmsprop.race.judge import quartiles
from rmsprop.race.report import notes, rows
from rmsprop.race.standing import Contest, Standing
from rmsprop.race.style import LAND, headline, height, looks, near, shown_moments, surface, unit
from rmsprop.race.tournament import Race

Array = NDArray[np.float64]

_FRAMES = 61
# Points of a way and of a curve: a page is no place for every step.
_POINTS = 241
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; }
body { margin: 1.5rem auto; max-width: 1200px; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } p { margin: .25rem 0; } .scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .75rem; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap; }
ul { font-size: .9rem; color: #444; }
"""


def page(race: Race) -> bytes:
    """Return the page as UTF-8 bytes.

    Args:
        race: the race.

    Raises:
        MissingExtraError: Plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise missing_extra("Plotly", "'rmsprop[race]'") from None
    figure = make_subplots(
        cols=2, column_widths=[0.58, 0.42], horizontal_spacing=0.09, subplot_titles=("the first run of each", "the median loss")
    )
    moments = shown_moments(race, _FRAMES)
    _still(figure, go, race)
    moving = _moving(figure, go, race, moments)
    figure.frames = [
        go.Frame(
            name=f"{race.times[moment]:,}", data=_at(go, race, moment), traces=list(range(moving, moving + 2 * len(race.entries)))
        )
        for moment in moments
    ]
    _layout(figure, race, [frame.name for frame in figure.frames])
    label = "Each optimizer's way, and its loss by step; the table below has the numbers"
    return document(race, figure, label, rows(race), notes(race))


def document(race: Contest[Any, Standing], figure: Any, label: str, table: Sequence[Sequence[str]], said: Sequence[str]) -> bytes:
    """Return a page around a figure as UTF-8 bytes.

    Args:
        race: whose name, winner, story and title stand over it.
        figure: Plotly's.
        label: what the figure shows, for those who do not see it.
        table: that stands under it, its header first.
        said: what stands under that.
    """
    drawn = figure.to_html(
        full_html=False, include_plotlyjs=True, auto_play=False, config={"displaylogo": False, "responsive": True}
    )
    header, *body = table
    cells = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>\n" for row in body)
    problem = race.problem
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(problem.name)}: a race of optimizers</title><style>{_STYLE}</style></head><body>
<h1>{escape(problem.name)}: {escape(headline(race))}</h1>
<p>{escape(problem.story)}</p><p><code>{escape(problem.title)}</code></p>
<div role="group" aria-label="{escape(label)}">{drawn}</div>
<div class="scroll"><table><thead><tr>{"".join(f"<th>{escape(cell)}</th>" for cell in header)}</tr></thead>
<tbody>{cells}</tbody></table></div>
<ul>{"".join(f"<li>{escape(note)}</li>" for note in said)}</ul>
</body></html>
"""
    return text.encode()


def _still(figure: Any, go: Any, race: Race) -> None:
    """Add what does not move: the landscape, the start, the minima and the curves of the losses."""
    problem = race.problem
    x, y, levels = surface(problem)
    every = slice(None, None, 2)
    shades = [[k / (len(LAND) - 1), color] for k, color in enumerate(LAND)]
    contour = go.Contour(
        x=x[every], y=y[every], z=np.round(levels[every, every], 3), colorscale=shades,
        ncontours=24, line={"color": "white", "width": 0.5}, showscale=False, hoverinfo="skip",
    )  # fmt: skip
    figure.add_trace(contour, 1, 1)
    for name, places, symbol in (("minimum", problem.minima, "star"), ("start", [problem.start], "circle")):
        if places:
            marker = {"symbol": symbol, "size": 13, "color": "white", "line": {"color": "#222", "width": 1}}
            shown = np.array(places)
            figure.add_trace(go.Scatter(x=shown[:, 0], y=shown[:, 1], mode="markers", name=name, marker=marker), 1, 1)
    looked = looks(race.entries)
    chosen = _thin(len(race.times))
    for entry in race.entries:
        median = np.array([quartiles(losses)[1] for losses in entry.losses[chosen]])
        curve = height(problem, np.where(np.isfinite(median), median, np.nan))
        look = looked[entry.rival.name]
        line = {"color": look.color, "width": look.width, "dash": look.dash}
        times = np.maximum(race.times[chosen], 1)
        name = entry.rival.name
        figure.add_trace(go.Scatter(x=times, y=digits(curve), mode="lines", line=line, showlegend=False, name=name), 1, 2)
    figure.add_hline(unit(problem), line={"color": "#222", "width": 1, "dash": "dash"}, row=1, col=2)


def _moving(figure: Any, go: Any, race: Race, moments: NDArray[np.int64]) -> int:
    """Add what moves, as it is at the end, and return the place of the first of these traces."""
    first = len(figure.data)
    for k, trace in enumerate(_at(go, race, int(moments[-1]))):
        figure.add_trace(trace, 1, 1 + k % 2)
    return first


def _at(go: Any, race: Race, moment: int) -> list[Any]:
    """Return for each rival its way up to a moment, and where its loss is then."""
    problem = race.problem
    looked = looks(race.entries)
    traces = []
    for entry in race.entries:
        name = entry.rival.name
        look = looked[name]
        path = digits(near(entry.path, problem)[_thin(moment + 1)])
        sizes = [0] * (len(path) - 1) + [11]
        marker: dict[str, Any] = {"symbol": look.symbol, "color": look.color, "size": sizes, "line": {"color": "white", "width": 1}}
        line = {"color": look.color, "width": look.width, "dash": look.dash}
        label = f"{name}, lr {entry.lr:.2g}"
        traces.append(
            go.Scatter(x=path[:, 0], y=path[:, 1], mode="lines+markers", line=line, marker=marker, name=label, legendgroup=name)
        )
        median = quartiles(entry.losses[moment])[1]
        at = digits(height(problem, np.array([median if np.isfinite(median) else np.nan])))
        marker = {"symbol": look.symbol, "color": look.color, "size": 11, "line": {"color": "white", "width": 1}}
        time = [max(int(race.times[moment]), 1)]
        traces.append(go.Scatter(x=time, y=at, mode="markers", name=name, legendgroup=name, showlegend=False, marker=marker))
    return traces


def _layout(figure: Any, race: Race, steps: list[str]) -> None:
    problem = race.problem
    left, right, bottom, top = problem.window
    first = max(quartiles(entry.losses[0])[1] for entry in race.entries) - problem.lowest
    low, high = 0.7e-3 * unit(problem), max(30 * first, 30 * unit(problem))
    figure.update_xaxes(range=[left, right], title=problem.names[0], row=1, col=1)
    figure.update_yaxes(range=[bottom, top], title=problem.names[1], row=1, col=1)
    figure.update_xaxes(type="log", title="steps", row=1, col=2)
    title = "loss" if problem.lowest == 0 else f"loss above {problem.lowest:.4g}"
    ends = [float(np.log10(low)), float(np.log10(high))]
    figure.update_yaxes(type="log", range=ends, title=title, exponentformat="power", row=1, col=2)
    options: dict[str, Any] = {"frame": {"duration": 80, "redraw": False}, "transition": {"duration": 0}, "fromcurrent": True}
    pause: dict[str, Any] = {"frame": {"duration": 0, "redraw": False}, "mode": "immediate"}
    buttons: list[dict[str, Any]] = [
        {"label": "▶ play", "method": "animate", "args": [None, options]},
        {"label": "❚❚ pause", "method": "animate", "args": [[None], pause]},
    ]
    menu: dict[str, Any] = {
        "type": "buttons",
        "direction": "left",
        "x": 0,
        "y": -0.16,
        "xanchor": "left",
        "yanchor": "top",
        "buttons": buttons,
    }
    slider: dict[str, Any] = {
        "active": len(steps) - 1,
        "x": 0.2,
        "len": 0.8,
        "y": -0.12,
        "currentvalue": {"prefix": "step "},
        "steps": [{"label": name, "method": "animate", "args": [[name], pause]} for name in steps],
    }
    margin = {"l": 60, "r": 20, "t": 40, "b": 20}
    figure.update_layout(template="plotly_white", height=760, margin=margin, hovermode="closest")
    figure.update_layout(legend={"orientation": "h", "y": -0.34, "x": 0}, updatemenus=[menu], sliders=[slider])


def _thin(count: int) -> NDArray[np.int64]:
    """Return at most so many places of the first ones, the more of the early ones, the last one with them."""
    if count <= _POINTS:
        return np.arange(count)
    half = _POINTS // 2
    places = [np.linspace(0, count - 1, half), np.geomspace(1, count, _POINTS - half) - 1]
    return np.unique(np.concatenate(places).round().astype(np.int64))


def digits(values: Array) -> Array:
    """Return numbers with five digits: more would only make the page longer."""
    with np.errstate(all="ignore"):
        size = 10.0 ** (4 - np.floor(np.log10(np.abs(values))))
        return np.where(np.isfinite(size), np.round(values * size) / size, values)
