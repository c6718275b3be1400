"""What a race can train besides landscapes: small models on real data, with PyTorch.

>>> workload_names()
('digits', 'chars', 'cartpole', 'words')
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from rmsprop.errors import UsageError, missing_extra
from rmsprop.expression.hints import near

if TYPE_CHECKING:
    from rmsprop.race.workloads.task import Workload

# By the module of that name: each loads PyTorch, so that none is loaded before it is asked for.
_TITLES = {
    "digits": "a small convolutional network on scikit-learn's handwritten digits",
    "chars": "a recurrent language model, letter by letter, on this project's guides",
    "cartpole": "Stable-Baselines3's A2C on CartPole",
    "words": "logistic regression on bags of words, docstrings of Python's standard library",
}


def workload_names() -> tuple[str, ...]:
    """Return the names that `workload` knows."""
    return tuple(_TITLES)


def workload_titles() -> dict[str, str]:
    """Return what each workload is, by name, without loading PyTorch."""
    return dict(_TITLES)


def workload(name: str) -> Workload:
    """Return a workload by name.

    Args:
        name: one of `workload_names()`.

    Raises:
        UsageError: the name is not known.
        MissingExtraError: PyTorch is not installed.

    Example:
        >>> workload("digits").metric
        'accuracy'
    """
    if name not in _TITLES:
        raise UsageError(f"workload must be one of {', '.join(_TITLES)}, got {name[:60]!r}{near(name, _TITLES)}")
    try:
        import torch  # noqa: F401  # only to say what to do where it is missing
    except ImportError:
        raise missing_extra("PyTorch", "'rmsprop[workloads]'") from None
    found: Workload = import_module(f"rmsprop.race.workloads.{name}").WORKLOAD
    return found
