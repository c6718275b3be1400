"""`rmsprop fit`: the whole command on 100 rows against a plain script, and an epoch on 1,000,000 rows against the article's loop.

    python benchmarks/fit.py

The plain script imports NumPy, SciPy and matplotlib, runs curve_fit and saves a plot. The article's loop body computes predictions,
gradients, the update and the loss in NumPy. Both gradients must agree before anything is timed. Peers are timed in turn, of
epochs some at a time, as in a run an epoch follows an epoch; the figures are medians.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import rmsprop
from rmsprop.data.source import open_source
from rmsprop.expression.evaluate import Evaluator
from rmsprop.expression.model import Model
from rmsprop.fit.article import DECAY, EPS, LR, MODEL
from timing import interleaved, machine

# In a turn; the first of them finds the caches as the other peer left them.
EPOCHS = 10

DATA = Path(__file__).parent.parent / "examples" / "quadratic.csv"
PLAIN = f"""
import numpy as np
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
from scipy.optimize import curve_fit

def model(x, a, b, c):
    return a * x**2 + b * x + c

x, y = np.loadtxt({str(DATA)!r}, delimiter=",", skiprows=1, unpack=True)
best, covariance = curve_fit(model, x, y)
print(best, np.sqrt(np.diag(covariance)))
plt.scatter(x, y, label="data")
plt.plot(x, model(x, *best), color="r", label="fit")
plt.legend()
plt.savefig("plain.png")
"""
FIT = "from rmsprop.cli import main; main()"


def small() -> None:
    """Time the whole command on 100 rows."""
    with tempfile.TemporaryDirectory() as folder:

        def process(*arguments: str) -> Callable[[], object]:
            return lambda: subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)

        peers = {"plain": process("-c", PLAIN), "fit": process("-c", FIT, "fit", str(DATA), "y = a*x**2 + b*x + c")}
        got = interleaved(peers)
    print("100 rows, the whole command (target: at most 2)")
    print(f"    plain script {got['plain']:.2f} s, rmsprop fit {got['fit']:.2f} s: {got['fit'] / got['plain']:.2f} x its time")


def large() -> None:
    """Time an epoch on 1,000,000 rows."""
    n = 1_000_000
    rng = np.random.default_rng(0)
    x = np.linspace(-3, 3, n).reshape(-1, 1)
    y = 2 * x**2 + 3 * x + 4 + rng.normal(0, 0.5, x.shape)
    theta, mean_square = rng.standard_normal((3, 1)), np.zeros((3, 1))

    def gradients() -> np.ndarray:
        pred = theta[0] * x**2 + theta[1] * x + theta[2]
        return np.array([(1 / n) * np.sum((pred - y) * x**2), (1 / n) * np.sum((pred - y) * x), (1 / n) * np.sum(pred - y)])

    def article() -> float:
        nonlocal theta, mean_square
        gradient = gradients().reshape(-1, 1)
        mean_square = DECAY * mean_square + (1 - DECAY) * gradient**2
        theta -= LR / (np.sqrt(mean_square) + EPS) * gradient
        pred = theta[0] * x**2 + theta[1] * x + theta[2]
        return float(np.mean((pred - y) ** 2))

    columns = open_source({"x": x.ravel(), "y": y.ravel()}).read(["x", "y"], "drop").columns
    evaluator = Evaluator(Model(MODEL, ["x", "y"]), columns, parallel=True)
    ours = theta.ravel().copy()
    optimizer = rmsprop.RMSprop(ours, LR, decay=DECAY, eps=EPS)

    def epoch() -> float:
        loss, gradient = evaluator.loss_and_gradient(ours)
        optimizer.step(gradient)
        return loss

    np.testing.assert_allclose(evaluator.loss_and_gradient(ours)[1], gradients(), rtol=1e-11)

    def several(peer: Callable[[], float]) -> Callable[[], object]:
        return lambda: [peer() for _ in range(EPOCHS)]

    got = interleaved({"article": several(article), "epoch": several(epoch)})
    took = {name: seconds / EPOCHS * 1e3 for name, seconds in got.items()}
    print("1,000,000 rows, one epoch, equal gradients (target: at least 5)")
    print(
        f"    article's loop {took['article']:.1f} ms, fit {took['epoch']:.2f} ms: {took['article'] / took['epoch']:.1f} x as fast"
    )


if __name__ == "__main__":
    print(machine())
    small()
    large()
