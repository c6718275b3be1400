"""A state as optax would keep it, in dicts and lists: what Orbax writes of named tuples and tuples."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from rmsprop.checkpoint.canonical import Array, Group, State
from rmsprop.checkpoint.errors import ConversionError
from rmsprop.checkpoint.kinds import Kind
from rmsprop.checkpoint.optax.chain import SLOTS
from rmsprop.checkpoint.optax.place import common_step


def tree_of(state: State, kind: Kind) -> Any:
    """Return the state that the kind's optimizer has after `init`, with a state's arrays in it.

    Names are taken apart at "/" into nested dicts; where their parts are 0, 1, 2 and so on, into a list. A state of several groups
    is that of `optax.partition`, by their labels or else their numbers.

    Args:
        state: what `moving.moved` has made for the kind.
        kind: "optax" or "rmsprop.optax".

    Raises:
        ConversionError: a parameter has no arrays, a name is another one's beginning, or steps differ.
    """
    trees = [_tree(group, state, kind) for group in state.groups]
    if len(trees) == 1:
        return trees[0]
    labels = [str(group.options.get("label", i)) for i, group in enumerate(state.groups)]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ConversionError(f"two groups have the label {twice!r}, and optax.partition needs one for each")
    return {"inner_states": {label: {"inner_state": tree} for label, tree in zip(labels, trees, strict=True)}}


def _tree(group: Group, state: State, kind: Kind) -> Any:
    """Return the state of one group; the parameters of others are None in it, as optax masks them."""
    bare = next((p.name for p in group.parameters if not p.slots), None)
    if bare is not None:
        raise ConversionError(f"the state has no arrays for {bare!r}, which no step has reached yet; leave it out")

    def slot(name: str, sign: int = 1) -> Any:
        held = {p.name: p.slots[name] if sign > 0 else -p.slots[name] for p in group.parameters}
        return nested({other: held.get(other) for other in state.names})

    rule, kept = group.rule, {one.name for one in group.rule.slots}
    if kind.name != "optax":
        skips = state.skipped or group.options.get("on_nonfinite") == "skip"
        count = {"count": np.int32(common_step(group)), "skipped": np.int32(state.skipped) if skips else None}
        return {**count, **{name: slot(name) if name in kept else None for name in SLOTS}}
    means = {"mu": slot("grad_avg")} if rule.centered else {}
    means |= {"nu": slot("square_avg")}
    if rule.bias_correction:
        means |= {"count": np.int32(common_step(group))}
    return [means, None, {"trace": slot("momentum_buffer", -1)} if rule.momentum else None]


def nested(held: Mapping[str, Array | None]) -> Any:
    r"""Return arrays in nested dicts and lists, by names such as "dense/kernel".

    Example:
        >>> nested({"dense/kernel": 1, "scales/0": 2, "scales/1": 3})
        {'dense': {'kernel': 1}, 'scales': [2, 3]}
    """
    tree: dict[str, Any] = {}
    for name, array in held.items():
        *above, last = name.split("/")
        node: Any = tree
        for key in above:
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise ConversionError(f"{name!r} lies within another parameter's name; rename one of them")
        if last in node:
            raise ConversionError(f"{name!r} is the beginning of another parameter's name; rename one of them")
        node[last] = array
    return _listed(tree)


def _listed(tree: Any) -> Any:
    """Return nested dicts with lists for those whose keys count from 0."""
    if not isinstance(tree, dict):
        return tree
    inner = {key: _listed(value) for key, value in tree.items()}
    if inner and sorted(inner) == sorted(str(i) for i in range(len(inner))):
        return [inner[str(i)] for i in range(len(inner))]
    return inner
