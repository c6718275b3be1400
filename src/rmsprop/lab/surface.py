"""The landscape itself, on a grid: what the contour and the surface are drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmsprop.lab.deadline import NONE, Deadline
from rmsprop.lab.landing import landing
from rmsprop.lab.setup import SetupError, land_from, numbers_from, object_from, start_from
from rmsprop.race.style import levels

#: Points of the grid along each side.
GRID = 121


def surface(told: Any, deadline: Deadline = NONE) -> dict[str, Any]:
    """Return losses over a window, and their heights on a log scale.

    Args:
        told: {"land", "start", "window"} of JSON's types; the last two may be left out.
        deadline: when to give up.

    Raises:
        SetupError: something cannot be used.
        TimeUpError: it takes too long.

    Example:
        >>> surface({"land": {"kind": "named", "name": "abs"}})["z"].shape
        (121, 121)
    """
    told = object_from(told, "", ("land", "start", "window"))
    if "land" not in told:
        raise SetupError("a surface needs a land", "land")
    land = landing(land_from(told["land"]), start_from(told.get("start")), deadline)
    window = land.problem.window
    if told.get("window") is not None:
        left, right, bottom, top = numbers_from(told["window"], "window", 4)
        if not (left < right and bottom < top):
            raise SetupError("window must hold the left end, the right, the bottom and the top, each below the next", "window")
        window = (left, right, bottom, top)
    deadline.check()
    x, y = np.linspace(window[0], window[1], GRID), np.linspace(window[2], window[3], GRID)
    loss = land.problem.loss(np.stack(np.meshgrid(x, y), axis=-1))
    return {"x": x, "y": y, "z": np.round(levels(land.problem, loss), 4), "loss": loss}
