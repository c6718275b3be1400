"""What the page's sliders run over: of each hyper-parameter's range what is worth a look; a field beside each takes all of it."""

from __future__ import annotations

from typing import NamedTuple


class Slider(NamedTuple):
    """A slider, by equal steps of the value ("linear"), of its logarithm ("log") or of that of 1 - value ("complement").

    On a "log" slider with zero, the lowest notch is 0.
    """

    low: float
    high: float
    scale: str = "log"
    zero: bool = False


_SLIDERS = {
    "lr": Slider(1e-4, 10.0),
    "decay": Slider(0.0, 0.9999, "complement"),
    "eps": Slider(1e-12, 10.0),
    "square_init": Slider(1e-4, 1e4, zero=True),
    "momentum": Slider(0.0, 0.999, "complement"),
    "weight_decay": Slider(1e-5, 10.0, zero=True),
}


def slider(name: str) -> Slider:
    """Return the slider of a hyper-parameter that is a number.

    Args:
        name: what it is called in a setup.

    Example:
        >>> slider("lr")
        Slider(low=0.0001, high=10.0, scale='log', zero=False)
    """
    return _SLIDERS[name]
