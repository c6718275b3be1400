"""The package as a whole: what importing it loads, what it exports, and that the tests notice an optimizer that does nothing."""

import subprocess
import sys

import numpy as np
import pytest

import rmsprop


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_numpy_only():
    loaded = run(
        "import sys, numpy; before = set(sys.modules); import rmsprop; "
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    heavy = {"numba", "llvmlite", "scipy", "sympy", "torch", "jax", "keras", "polars", "matplotlib", "typer", "rich"}
    assert "'rmsprop'" in loaded
    assert not heavy & set(eval(loaded))


def test_exports():
    assert set(rmsprop.__all__) == {
        "RMSprop",
        "Rule",
        "dialect",
        "dialect_names",
        "get_num_threads",
        "minimize",
        "set_num_threads",
    }
    for name in rmsprop.__all__:
        assert getattr(rmsprop, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Adam'"):
        _ = rmsprop.Adam


@pytest.mark.parametrize("size", [3, 1000])
def test_a_step_that_does_nothing_would_be_noticed(size, monkeypatch):
    def train():
        w = np.full(size, 2.0)
        optimizer = rmsprop.RMSprop(w, lr=0.1)
        for _ in range(60):
            optimizer.step(2 * w)
        return np.abs(w).max()

    assert train() < 0.2
    monkeypatch.setattr(rmsprop.RMSprop, "step", lambda self, grads: None)
    assert train() == 2.0


def test_article_recipe_to_the_last_bit():
    """The article's own loop, its numbers as published by running it; only the update is ours."""
    np.random.seed(0)
    x = np.linspace(-3, 3, 100).reshape(-1, 1)
    y = 2 * x**2 + 3 * x + 4 + np.random.normal(0, 0.5, x.shape)
    theta = np.random.randn(3, 1)
    optimizer = rmsprop.RMSprop(theta)
    losses = []
    for _ in range(1000):
        error = theta[0] * x**2 + theta[1] * x + theta[2] - y
        gradient = [(1 / 100) * np.sum(error * x**2), (1 / 100) * np.sum(error * x), (1 / 100) * np.sum(error)]
        optimizer.step(np.array(gradient).reshape(-1, 1))
        losses.append(np.mean((theta[0] * x**2 + theta[1] * x + theta[2] - y) ** 2))
    assert theta.ravel().tolist() == [2.07694441894195, 2.9802227580151204, 3.8147104791275557]
    assert (losses[0], losses[-1]) == (87.33835656974905, 0.21397721767075764)
