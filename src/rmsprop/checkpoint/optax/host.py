"""What the package asks of a host: capture, restore, read and write; and the arguments of the optimizer that goes on."""

from pathlib import Path
from typing import Any

from rmsprop.checkpoint import orbax
from rmsprop.checkpoint.canonical import Group, State
from rmsprop.checkpoint.errors import ConversionError, FileError, UsageError
from rmsprop.checkpoint.kinds import Kind, Told, expressed, kind_of
from rmsprop.checkpoint.optax.chain import find
from rmsprop.checkpoint.optax.gather import gathered
from rmsprop.checkpoint.optax.place import placed
from rmsprop.checkpoint.optax.plain import tree_of
from rmsprop.checkpoint.optax.trees import fetched, jax


def capture(source: Any, kind: Kind | None, told: Told) -> State:
    """Return what a state of optax holds.

    Args:
        source: the state, as `init` or `update` returned it.
        kind: the state's classes tell; what they contradict is refused.
        told: lr, step, and the axes that were given to the constructor, as far as the state lacks them. They hold for all parts of
            `optax.partition`; parts that differ are captured one by one, and their groups joined in a `State`.

    Raises:
        UsageError: something has to be said, is said twice, or contradicts the state.
        ConversionError: the state holds another optimizer's, or arrays that no step could have left behind.
    """
    return gathered(find(source), fetched, kind, told, "this state of optax")


def restore(target: Any, state: State) -> Any:
    """Return a state of optax with another one's arrays, counts and injected hyper-parameters in it.

    Hyper-parameters that a state of optax does not hold are those of the optimizer: construct it with `arguments`.

    Args:
        target: what `init` returned, of any chain around RMSprop. Its structure, dtypes, shardings and schedules stay.
        state: a state of the same parameters.

    Raises:
        ConversionError: the target keeps other arrays than the state's rule, or in other shapes or dtypes.
    """
    leaves, tree = jax().tree.flatten(target)
    news = placed(find(tree.unflatten(range(len(leaves)))), leaves, state)
    return tree.unflatten([news.get(i, leaf) for i, leaf in enumerate(leaves)])


def read(path: Path, kind: Kind | None, told: Told) -> State:
    """Return the state in an Orbax directory.

    Args:
        path: the directory: what a checkpointer wrote, or a step of a CheckpointManager.
        kind: as for `capture`.
        told: as for `capture`; key is the place of the state in what was saved, as in "state/opt_state".

    Raises:
        FileError: it is damaged, or holds something else.
        UsageError: as for `capture`, or the key is not there.
    """
    found = orbax.Directory(path, told.key)
    try:
        return gathered(find(found.tree, classes=False), found.fetch, kind, told, str(path))
    except ConversionError as error:
        raise FileError(f"{path}: {error}") from error


def write(path: Path, state: State, kind: Kind) -> None:
    """Write an Orbax directory with the state that `init` returns, which `StandardCheckpointer.restore` puts into such a state.

    Args:
        path: the directory, which must not exist.
        state: what `moving.moved` has made for the kind.
        kind: "optax" or "rmsprop.optax".

    Raises:
        SaveError: it exists, or cannot be written; nothing is left behind.
        ConversionError: Orbax cannot hold the state.
    """
    orbax.write(path, tree_of(state, kind))


def arguments(state: State | Group, to: str = "rmsprop.optax") -> dict[str, Any]:
    """Return the keyword arguments with which an optimizer goes on as a state's own would.

    Args:
        state: a state of one group, or a group.
        to: "rmsprop.optax" for `rmsprop.optax.rmsprop`, "optax" for `optax.rmsprop`.

    Returns:
        learning_rate, that of the last step; and the rule, as dialect, or in optax's own words.

    Raises:
        ConversionError: `optax.rmsprop` has no option for what the rule does.
        UsageError: there are several groups.

    Example:
        >>> import jax.numpy as jnp, optax, rmsprop.optax
        >>> from rmsprop.checkpoint import capture, restore
        >>> w = {"w": jnp.ones(3)}
        >>> state = capture(optax.rmsprop(0.1, momentum=0.9).init(w), lr=0.1, momentum=0.9, step=0)
        >>> arguments(state, to="optax")["momentum"]
        0.9
        >>> optimizer = rmsprop.optax.rmsprop(**arguments(state))
        >>> restore(optimizer.init(w), state).square_avg["w"].tolist()
        [0.0, 0.0, 0.0]
    """
    kind = kind_of(to)
    if kind.module != "optax":
        raise UsageError(f"to must be 'rmsprop.optax' or 'optax', got {to!r}; other optimizers take the rule's axes by their names")
    groups = state.groups if isinstance(state, State) else (state,)
    if len(groups) != 1:
        raise UsageError(
            f"the state has {len(groups)} groups; make an optimizer of each, arguments(group) for group in state.groups, and put "
            "them together with optax.partition"
        )
    (group,) = groups
    rule = expressed(group.rule, kind, complex=group.complex, begun=all(p.step for p in group.parameters))
    told: dict[str, Any] = {} if group.lr is None else {"learning_rate": group.lr}
    if to == "rmsprop.optax":
        return told | {"dialect": rule} | ({"on_nonfinite": "skip"} if group.options.get("on_nonfinite") == "skip" else {})
    return told | {
        "decay": rule.decay,
        "eps": rule.eps,
        "initial_scale": rule.square_init,
        "eps_in_sqrt": rule.eps_place == "inside",
        "centered": rule.centered,
        "momentum": rule.momentum or None,
        "nesterov": rule.nesterov,
        "bias_correction": rule.bias_correction,
    }
