"""Losses on real data: 150 irises that Fisher published in 1936, their petals' length and width in cm.

Rows are summed point by point and not by a matrix product, so that the loss at a point has the same bits alone and among others.

Source: Fisher (1936), "The use of multiple measurements in taxonomic problems", https://doi.org/10.1111/j.1469-1809.1936.tb02137.x;
the numbers are those of scikit-learn's `load_iris`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from rmsprop.race.problem import Problem, problem

Array = NDArray[np.float64]


@cache
def _columns() -> tuple[Array, Array, Array]:
    """Return the petals' lengths and widths, each in standard deviations from its mean, and 1 for each virginica."""
    text = files("rmsprop.race").joinpath("iris.csv").read_text(encoding="ascii")
    length, width, virginica = np.loadtxt(text.splitlines()[1:], delimiter=",", unpack=True)
    return (length - length.mean()) / length.std(), (width - width.mean()) / width.std(), virginica


def _distinct(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return the distinct pairs of two columns, and which share of the rows each of them is."""
    pairs, counts = np.unique(np.stack([x, y]), axis=1, return_counts=True)
    return pairs[0], pairs[1], counts / len(x)


def logistic() -> Problem:
    """Return logistic regression of the species on the petal's length: (1/n) Σ log(1 + e^s) - t·s with s = w·x + b."""
    length, _, virginica = _columns()
    x, t, share = _distinct(length, virginica)

    def function(points: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            s = points[..., :1] * x + points[..., 1:]
            # e^-|s| cannot overflow.
            small = np.exp(-np.abs(s))
            loss = np.maximum(s, 0) + np.log1p(small) - t * s
            error = np.where(s >= 0, 1, small) / (1 + small) - t
            return np.vecdot(loss, share), np.stack([np.vecdot(error, x * share), np.vecdot(error, share)], axis=-1)

    return problem(
        "logistic",
        "mean of log(1 + exp(s)) - t*s, s = w*x + b",
        "Logistic regression on 150 irises: is it a virginica, by the length of its petals?",
        ("w", "b"),
        function,
        (0.0, 0.0),
        (-2.0, 22.0, -16.0, 4.0),
        minima=[(15.83814665411051, -9.951387039158998)],
    )


def network() -> Problem:
    """Return a network of one hidden unit from a petal's length to its width: (1/n) Σ (v·tanh(w·x) - y)²."""
    length, width, _ = _columns()
    x, y, share = _distinct(length, width)

    def function(points: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            v = points[..., 1:]
            hidden = np.tanh(points[..., :1] * x)
            error = v * hidden - y
            by_w = np.vecdot(error * v * (1 - hidden * hidden), 2 * x * share)
            return np.vecdot(error * error, share), np.stack([by_w, np.vecdot(error * hidden, 2 * share)], axis=-1)

    return problem(
        "network",
        "mean of (v*tanh(w*x) - y)**2",
        "A neural network of two weights on 150 irises, from the petal's length to its width: two equal minima, a saddle between.",
        ("w", "v"),
        function,
        (-1.6, 1.2),
        (-3.0, 3.0, -3.0, 3.0),
        minima=[(0.6164807478790678, 1.859415514394186), (-0.6164807478790678, -1.859415514394186)],
    )
