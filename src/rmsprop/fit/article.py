"""The worked example that the recipe `article` repeats: its data, its start and its settings.

A tutorial on RMSprop fits a quadratic to noisy points; the recipe repeats that run to the last bit. With a constant learning rate
RMSprop ends in a limit cycle around the optimum, half a learning rate away in every parameter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MODEL = "y = a*x**2 + b*x + c"
LR, DECAY, EPS, EPOCHS = 0.01, 0.9, 1e-8, 1_000


def data() -> tuple[dict[str, Array], dict[str, float]]:
    """Return the example's columns and start.

    >>> columns, start = data()
    >>> len(columns["x"]), sorted(start)
    (100, ['a', 'b', 'c'])
    """
    # NumPy's legacy generator, as the numbers of the example come from it.
    random = np.random.RandomState(0)
    x = np.linspace(-3, 3, 100).reshape(-1, 1)
    y = 2 * x**2 + 3 * x + 4 + random.normal(0, 0.5, x.shape)
    theta = random.randn(3, 1)
    return {"x": x.ravel(), "y": y.ravel()}, dict(zip("abc", theta.ravel().tolist(), strict=True))
