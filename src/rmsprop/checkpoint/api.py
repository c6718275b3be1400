"""What users call: capture, restore, save, load, convert."""

import os
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from rmsprop.checkpoint.canonical import State
from rmsprop.checkpoint.detect import format_of, host_of, of_tensorflow
from rmsprop.checkpoint.errors import CheckpointError, FileError, UsageError
from rmsprop.checkpoint.kinds import Kind, Told, kind_of
from rmsprop.checkpoint.like import names_in, ordered
from rmsprop.checkpoint.moving import moved
from rmsprop.rule import AXES, Rule


def capture(
    source: Any,
    *,
    kind: str | None = None,
    dialect: str | Rule | None = None,
    lr: float | None = None,
    step: int | None = None,
    names: Sequence[str] | None = None,
    allow_nan: bool = False,
    **axes: Any,
) -> State:
    """Return the state of an optimizer as a value, copied.

    What the source does not hold has to be said as it was said to the optimizer's constructor: a state of optax holds no
    hyper-parameters, and needs lr and whatever else was not left at its default.

    Args:
        source: an optimizer of this project, PyTorch, timm, Stable-Baselines3, bitsandbytes or Keras; a state_dict; optax's state.
        kind: what it is, such as "sb3", where that cannot be told.
        dialect: a name of `rmsprop.dialect_names()` or a `Rule`; by default that of the kind.
        lr: learning rate of the last step, ≥ 0.
        step: steps taken, ≥ 0.
        names: of the parameters in the source's order, where it has none: `[name for name, _ in model.named_parameters()]`.
        allow_nan: whether arrays may hold NaN and infinity.
        axes: axes of `Rule`.

    Returns:
        The state: rules, learning rates, counts and named arrays.

    Raises:
        UsageError: something has to be said, or is said twice.
        ConversionError: the state is incomplete, or holds what no step could have left behind.

    Example:
        >>> import numpy as np, rmsprop
        >>> capture(rmsprop.RMSprop({"w": np.ones(3)}, lr=0.1)).names
        ('w',)
    """
    if isinstance(source, State):
        return source
    told = _told(dialect, lr, step, None, names, allow_nan, axes)
    state: State = _host(host_of(source)).capture(source, _kind(kind), told)
    return state


def restore(target: Any, state: State) -> Any:
    """Put a state into an optimizer: the next steps are those that the state's own optimizer would have taken.

    Parameters match by name where both have names, otherwise by order. Learning rates are taken too, but for schedules, which stay.

    Args:
        target: an optimizer of this project, PyTorch or Keras, or a state of optax, which is a value and is not changed.
        state: from `capture` or `load`.

    Returns:
        The target, or a new state of optax.

    Raises:
        ConversionError: the target cannot step by the state's rule, or the parameters differ; nothing was changed.

    Example:
        >>> import numpy as np, rmsprop
        >>> first, second = rmsprop.RMSprop(np.ones(3), lr=0.5), rmsprop.RMSprop(np.ones(3), lr=0.1)
        >>> restore(second, capture(first)).lr
        0.5
    """
    return _host(host_of(target)).restore(target, state)


def save(path: str | os.PathLike[str], source: Any, *, to: str = "rmsprop", **said: Any) -> None:
    """Write the state of an optimizer to a file, so that the file is either the old one or the new one, whole.

    The file that it replaces is kept beside it as NAME.previous where `to` is "rmsprop".

    Args:
        path: the file.
        source: what `capture` takes, or a `State`.
        to: whose file it is to be; see `convert`.
        said: further arguments of `capture`.

    Raises:
        SaveError: it cannot be written; what was there is unchanged.
        UsageError, ConversionError: as for `capture` and `convert`.

    Example:
        >>> import numpy as np, rmsprop, tempfile
        >>> optimizer = rmsprop.RMSprop(np.ones(3), lr=0.1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(f"{folder}/run.safetensors", optimizer)
        ...     load(f"{folder}/run.safetensors").groups[0].lr
        0.1
    """
    state = capture(source, **said)
    kind = kind_of(to)
    kind.host.write(Path(path), moved(state, kind), kind)


def load(
    path: str | os.PathLike[str],
    *,
    kind: str | None = None,
    dialect: str | Rule | None = None,
    lr: float | None = None,
    step: int | None = None,
    names: Sequence[str] | None = None,
    key: str | None = None,
    allow_nan: bool = False,
    **axes: Any,
) -> State:
    """Return the state in a file: one of ours, or of PyTorch, Stable-Baselines3, Keras, TensorFlow or Orbax.

    Nothing in a file is run, and nothing is taken into memory that the file does not hold.

    Args:
        path: the file; for TensorFlow the name before ".index", or its directory; for Orbax the directory.
        kind: what wrote it, such as "tf1", where that cannot be told.
        dialect: as for `capture`, as are lr, step, names, allow_nan and axes.
        lr: learning rate of the last step.
        step: steps taken.
        names: of the parameters.
        key: where the file holds several states, which one.
        allow_nan: whether arrays may hold NaN and infinity.
        axes: axes of `Rule`.

    Raises:
        FileError: the file is damaged, or of no known format.
        UsageError, ConversionError: as for `capture`.
        MissingExtraError: a library that reads it is not installed.

    Example:
        >>> load("nowhere.safetensors")
        Traceback (most recent call last):
            ...
        rmsprop.checkpoint.errors.FileError: nowhere.safetensors does not exist
    """
    return _read(path, kind, _told(dialect, lr, step, key, names, allow_nan, axes))


def inspect(
    path: str | os.PathLike[str],
    *,
    kind: str | None = None,
    dialect: str | Rule | None = None,
    lr: float | None = None,
    step: int | None = None,
    key: str | None = None,
    **axes: Any,
) -> tuple[State, list[str]]:
    """Return the state in a file for a look at it: what it does not hold need not be said, and its numbers may be anything.

    Args:
        path: as for `load`, as is the rest.
        kind: what wrote it.
        dialect: the run's dialect.
        lr: learning rate.
        step: steps taken.
        key: which state.
        axes: axes of `Rule`.

    Returns:
        The state, and what it does not hold and was not said: "lr", "step", "momentum"; "rule", where the dialect's values
        stand for what was not said of the rule.
    """
    unsaid: list[str] = []
    told = replace(_told(dialect, lr, step, key, None, True, axes), unsaid=unsaid)
    return _read(path, kind, told), list(dict.fromkeys(unsaid))


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    to: str,
    *,
    rename: Any = (),
    like: str | os.PathLike[str] | None = None,
    **said: Any,
) -> State:
    """Carry the state in one file over to another, as another optimizer keeps it.

    Args:
        source: a file that `load` reads.
        target: the file to write.
        to: whose it is to be: "rmsprop", "rmsprop.torch", "pytorch", "timm", "sb3", "bitsandbytes", "rmsprop.optax", "optax",
            "rmsprop.keras" or "keras".
        rename: what parameters are called there; see `State.renamed`.
        like: a file with a PyTorch model's state_dict, whose order of names and whose shapes the parameters are to have: PyTorch's
            optimizers know parameters by their order.
        said: further arguments of `load`.

    Returns:
        The state that was written.

    Raises:
        ConversionError: nothing exact exists there; no file was written.
        FileError, UsageError, SaveError, MissingExtraError: as for `load` and `save`.

    Example:
        >>> convert("run.safetensors", "run.pt", "pytroch")
        Traceback (most recent call last):
            ...
        rmsprop.errors.UsageError: unknown kind 'pytroch'; did you mean 'pytorch'?
    """
    kind = kind_of(to)
    state = load(source, **said)
    if rename:
        state = state.renamed(rename)
    if like is not None:
        state = ordered(state, names_in(Path(like)), str(like))
    state = moved(state, kind)
    kind.host.write(Path(target), state, kind)
    return state


def _read(path: str | os.PathLike[str], kind: str | None, told: Told) -> State:
    """Return the state in a file."""
    wanted, place = _kind(kind), Path(path)
    if wanted is None:
        host = _host(format_of(place))
    elif wanted.module == "keras" and of_tensorflow(place):  # Keras under TensorFlow has checkpoints of both kinds
        host = _host("tensorflow")
    else:
        host = wanted.host
    try:
        state: State = host.read(place, wanted, told)
    except OSError as error:
        if isinstance(error, CheckpointError):
            raise
        raise FileError(f"cannot read {place}: {error.strerror or error}") from None
    return state


def _host(name: str) -> Any:
    """Return the module that reads and writes some kinds."""
    return import_module(f"rmsprop.checkpoint.{name}")


def _kind(name: str | None) -> Kind | None:
    """Return a kind by its name, or None."""
    return None if name is None else kind_of(name)


def _told(
    dialect: Any, lr: float | None, step: int | None, key: str | None, names: Any, allow_nan: bool, axes: dict[str, Any]
) -> Told:
    """Return what was said of a run, or refuse a word that means nothing."""
    unknown = sorted(set(axes) - set(AXES))
    if unknown:
        raise UsageError(f"unknown keyword {unknown[0]!r}; a rule has {', '.join(AXES)}")
    return Told(dialect, axes, lr, step, key, names, allow_nan)
