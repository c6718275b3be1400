"""RMSprop, exact in every dialect, at the speed of memory.

>>> import numpy as np
>>> import rmsprop
>>> weights = np.array([1.0, -2.0])
>>> optimizer = rmsprop.RMSprop(weights, lr=0.1)
>>> for _ in range(100):
...     optimizer.step(2 * weights)  # the gradient of sum(weights²)
>>> bool(np.all(abs(weights) < 0.1))
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rmsprop.dialects import dialect, dialect_names
from rmsprop.kernels.threads import get_num_threads, set_num_threads
from rmsprop.optimizer import RMSprop
from rmsprop.rule import Rule

if TYPE_CHECKING:
    from rmsprop.scipy import minimize

__version__ = "0.1.0"
__all__ = [
    "RMSprop",
    "Rule",
    "dialect",
    "dialect_names",
    "get_num_threads",
    "minimize",
    "set_num_threads",
]
# Modules that need more than NumPy, or are seldom needed.
_LAZY = ("checkpoint", "fit", "formula", "keras", "optax", "race", "schedules", "scipy", "torch")


def __getattr__(name: str) -> Any:
    """Load what needs more than NumPy when it is first asked for."""
    if name == "minimize":
        return import_module("rmsprop.scipy").minimize
    if name in _LAZY:
        return import_module(f"rmsprop.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, those that are loaded later too."""
    return sorted({*globals(), *__all__, *_LAZY})
