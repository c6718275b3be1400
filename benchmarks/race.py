"""Steps per second of a race on landscapes of two parameters.

    python benchmarks/race.py

A step is one update of one run's two parameters with everything that it needs: loss, gradient, noise, and whether it has arrived;
those of runs that have left the finite numbers are not counted. The race is that of `rmsprop race`: seven rivals, at first with 25
learning rates and 5 seeds each, then with 11 seeds each. Before it is timed, the many runs at once must be the same to the last bit
as each run by itself; the last column is what a plain loop over one run reaches.
"""

import time

import numpy as np

from rmsprop.race.landscapes import landscape
from rmsprop.race.noise import Draws, Noise
from rmsprop.race.play import play
from rmsprop.race.rivals import rival, rival_names
from rmsprop.race.tournament import Settings, race
from timing import machine

RIVALS = [rival(name) for name in rival_names()]
STEPS = 2_000
CASES = [
    ("rosenbrock", Noise()),
    ("rosenbrock", Noise("gaussian", 0.1)),
    ("quadratic", Noise()),
    ("logistic", Noise()),
]


def alone(name: str, problem, lr: float) -> tuple[np.ndarray, float]:
    """Return the losses of one run from the start, and its steps per second."""
    one = rival(name)
    p = np.array(problem.start)
    state, losses = one.init(p), []
    began = time.perf_counter()
    with np.errstate(all="ignore"):
        for t in range(1, STEPS + 1):
            loss, g = problem(p)
            losses.append(loss)
            p, state = one.step(p, g, state, lr, t)
    return np.array(losses), STEPS / (time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    print(machine())
    print(f"{'landscape':12} {'noise':14} {'steps':>10} {'seconds':>8} {'steps/s':>10}  of one run, steps/s")
    for name, noise in [
        ("rosenbrock", Noise()),
        ("rosenbrock", Noise("gaussian", 0.1)),
        ("quadratic", Noise()),
        ("logistic", Noise()),
    ]:
        problem = landscape(name)
        together = play(problem, RIVALS, np.full((len(RIVALS), 1), 1e-3), Draws([0], 0), Noise(), STEPS - 1, moments=STEPS + 1)
        speeds = []
        for k, known in enumerate(rival_names()):
            losses, speed = alone(known, problem, 1e-3)
            speeds.append(speed)
            # A sum over rows may be taken in another order where there are more runs.
            np.testing.assert_allclose(losses, together.losses[:, k, 0, 0], rtol=1e-9 if name == "logistic" else 0)
        began = time.perf_counter()
        done = race(problem, RIVALS, Settings(steps=STEPS, noise=noise))
        took = time.perf_counter() - began
        print(f"{name:12} {noise!s:14} {done.taken:10,} {took:8.2f} {done.taken / took:10,.0f}  {np.median(speeds):10,.0f}")


if __name__ == "__main__":
    main()
