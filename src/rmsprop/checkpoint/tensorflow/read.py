"""What is what in a checkpoint of TensorFlow: by TF1's names, or by the graph of objects that TF2 saves."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from rmsprop.checkpoint.canonical import AVERAGE, UNORDERED, Array, State
from rmsprop.checkpoint.errors import ConversionError, FileError, UsageError
from rmsprop.checkpoint.keras.layout import PENDING, Layout, group, steps
from rmsprop.checkpoint.keras.names import of_state
from rmsprop.checkpoint.kinds import KINDS, Kind, Told
from rmsprop.checkpoint.tensorflow.bundle import Bundle
from rmsprop.rule import Rule

# What TF1 and the legacy optimizer call our arrays.
SLOTS = {"square_avg": "rms", "grad_avg": "mg", "momentum_buffer": "momentum"}
_LISTS = {
    "square_avg": "_velocities",
    "grad_avg": "_average_gradients",
    "momentum_buffer": "_momentums",
    AVERAGE: "_model_variables_moving_average",
    PENDING: "_accumulated_gradients",
}
_STEP = "global_step"


def by_name(bundle: Bundle, told: Told) -> State:
    """Return the state that `tf.compat.v1.train.Saver` saved of an RMSPropOptimizer.

    A variable "w" has "w/RMSProp" beside it, and "w/RMSProp_1" for momentum, which TF1 keeps even without any; where there is a
    "w/RMSProp_2" the optimizer is centered, and "w/RMSProp_1" is the mean of the gradients.

    Args:
        bundle: the checkpoint.
        told: lr, and what else was said to the constructor; as `key` the optimizer's name where it was not "RMSProp".
    """
    kind, key = KINDS["tf1"], told.key or "RMSProp"
    pattern = re.compile(rf"(.+)/{re.escape(key)}(?:_([12]))?")
    found: dict[str, dict[int, str]] = {}
    for name in sorted(bundle.shapes):
        if match := pattern.fullmatch(name):
            found.setdefault(match[1], {})[int(match[2] or 0)] = name
    if not found:
        others = sorted({name.rpartition("/")[2] for name in bundle.shapes if name.rpartition("/")[0] in bundle.shapes})
        raise UsageError(
            f"{bundle.path} has no variables called .../{key}; say the optimizer's name as key or --key; there are "
            f"{', '.join(others[:8]) or 'no variables of an optimizer'}"
        )
    sizes = {len(parts) for parts in found.values()}
    if len(sizes) > 1 or not sizes <= {2, 3} or any(set(parts) != set(range(len(parts))) for parts in found.values()):
        raise ConversionError(f"{bundle.path}: each parameter must have 2 or 3 variables called .../{key}, got {sorted(sizes)}")
    centered = sizes == {3}
    rule = _rule(told, kind, bundle, centered=centered)
    order = ["square_avg", *(["grad_avg"] if centered else []), "momentum_buffer"]
    blocks = {
        block: [bundle.array(parts[k]) for parts in found.values()]
        for k, block in enumerate(order)
        if rule.momentum or block != "momentum_buffer"
    }
    if _STEP in bundle.shapes:
        told.refuse(str(bundle.path), "step")
        step = _count(bundle.array(_STEP), bundle)
    else:
        step = told.count(kind)
    one = group(Layout(rule, False, False, False), told.rate(kind), step, list(found), blocks, {UNORDERED: True})
    return State((one,), 0, kind.optimizer, told.allow_nan)


class Node(NamedTuple):
    """An optimizer in a graph of objects."""

    place: str  # its name from the root
    number: int
    slots: Mapping[str, list[tuple[int, int]]]  # slot to the numbers of parameters and of its own variables; empty for new ones


def by_object(bundle: Bundle, graph: Any, kind: Kind | None, told: Told) -> State:
    """Return the state that `tf.train.Checkpoint` or `model.save_weights` saved of an optimizer.

    Args:
        bundle: the checkpoint.
        graph: its objects.
        kind: which optimizer it was, where the graph does not say.
        told: what it does not hold; as `key` the optimizer's place where there are several.
    """
    try:
        node = _chosen(list(_optimizers(graph)), told, bundle)
        read = _Reader(bundle, graph)
        return _slotted(read, node, kind, told) if node.slots else _listed(read, node, kind, told)
    except (IndexError, KeyError, AttributeError) as error:
        raise FileError(f"{bundle.path} is damaged: its graph of objects is malformed ({error!r})") from None


class _Reader:
    """Variables by the numbers of their nodes."""

    def __init__(self, bundle: Bundle, graph: Any) -> None:
        self.bundle, self.nodes = bundle, graph.nodes

    def children(self, number: int) -> dict[str, int]:
        """Return the numbers of a node's children by their names."""
        return {child.local_name: child.node_id for child in self.nodes[number].children}

    def list(self, number: int) -> list[int]:
        """Return the numbers of a list's items, in order."""
        items = self.children(number)
        return [items[str(k)] for k in range(len(items))]

    def name(self, number: int) -> str:
        """Return what a variable was called."""
        return str(self.nodes[number].attributes[0].full_name)

    def array(self, number: int) -> Array:
        """Return a variable's value."""
        return self.bundle.array(str(self.nodes[number].attributes[0].checkpoint_key))

    def number(self, children: Mapping[str, int], name: str) -> float | None:
        """Return the value of a child that is one number, or None where there is no such variable."""
        if name not in children or not self.nodes[children[name]].attributes:
            return None
        array = self.array(children[name])
        if array.shape != ():
            raise FileError(f"{self.bundle.path} is damaged: {name!r} must be one number, got shape {array.shape}")
        return float(array)


def _optimizers(graph: Any) -> Iterator[Node]:
    """Yield the optimizers whose state looks like that of RMSprop, each at the first place that it has."""
    places, queue = {0: ""}, [0]
    while queue:
        number = queue.pop(0)
        for child in graph.nodes[number].children:
            if child.node_id not in places:
                places[child.node_id] = f"{places[number]}/{child.local_name}".lstrip("/")
                queue.append(child.node_id)
    for number, place in sorted(places.items()):
        node = graph.nodes[number]
        slots: dict[str, list[tuple[int, int]]] = {}
        for slot in node.slot_variables:
            slots.setdefault(slot.slot_name, []).append((slot.original_variable_node_id, slot.slot_variable_node_id))
        if "rms" in slots or any(child.local_name == "_velocities" for child in node.children):
            yield Node(place, number, slots)


def _chosen(nodes: list[Node], told: Told, bundle: Bundle) -> Node:
    """Return the one optimizer, or the one that was said."""
    if told.key is not None:
        nodes = [node for node in nodes if node.place == told.key] or nodes
    if not nodes:
        raise FileError(f"{bundle.path} holds no state of RMSprop: no optimizer in it keeps rms or velocities")
    if len(nodes) > 1 or told.key not in (None, nodes[0].place):
        raise UsageError(f"{bundle.path} holds the optimizers {', '.join(repr(n.place) for n in nodes)}; say one as key or --key")
    return nodes[0]


def _slotted(read: _Reader, node: Node, kind: Kind | None, told: Told) -> State:
    """Return the state of TF1's optimizer or tf_keras's legacy one, whose arrays are slots of the parameters."""
    children, path = read.children(node.number), str(read.bundle.path)
    there = KINDS["keras-legacy" if "rho" in children else "tf1"]
    _same_kind(kind, there, path)
    centered = "mg" in node.slots
    if there.name == "tf1":
        rule, lr, step = _rule(told, there, read.bundle, centered=centered), told.rate(there), told.count(there)
    else:
        told.refuse(path, "decay", "momentum", "step")
        held = {"decay": read.number(children, "rho"), "momentum": read.number(children, "momentum")}
        axes = {**told.axes, **{axis: value for axis, value in held.items() if value is not None}}
        rule = _rule(replace(told, axes=axes), there, read.bundle, centered=centered)
        step = _count(read.array(children["iter"]), read.bundle)
        lr = _rate(read, children, "learning_rate", told, there, path) if not read.number(children, "decay") else told.rate(there)
    blocks = {}
    parameters = [number for number, _ in node.slots["rms"]]
    for slot in rule.slots:
        own = dict(node.slots.get(SLOTS[slot.name], ()))
        if set(own) != set(parameters):
            raise ConversionError(
                f"{path} has no {SLOTS[slot.name]!r} of some parameters; momentum and centered must be as they were"
            )
        blocks[slot.name] = [read.array(own[number]) for number in parameters]
    names = _names([read.name(number) for number in parameters], told, path)
    one = group(Layout(rule, False, False, False), lr, step, names, blocks)
    return State((one,), 0, there.optimizer, told.allow_nan)


def _listed(read: _Reader, node: Node, kind: Kind | None, told: Told) -> State:
    """Return the state of an optimizer of tf_keras ≥ 2.11, or of Keras 3 under TensorFlow."""
    children, path = read.children(node.number), str(read.bundle.path)
    lists = {block: read.list(children[name]) for block, name in _LISTS.items() if name in children}
    lists = {block: numbers for block, numbers in lists.items() if numbers}
    # Where `rmsprop.keras` keeps variances, it calls them so.
    marked = all(read.name(number).endswith("_variance") for number in lists["square_avg"])
    ours = marked or (kind is not None and kind.name == "rmsprop.keras")
    there = KINDS["rmsprop.keras" if ours else "keras" if "_trainable_variables" in children else "tf-keras"]
    _same_kind(kind, there, path)
    rule = _rule(told, there, read.bundle, centered="grad_avg" in lists)
    if rule.centered:
        rule = rule.replace(centered_form="variance" if marked else "difference")
    lists = {rule.slots[0].name if block == "square_avg" else block: numbers for block, numbers in lists.items()}
    if bool(rule.momentum) != ("momentum_buffer" in lists):
        there_is = "has momentum buffers" if "momentum_buffer" in lists else "has no momentum buffers"
        raise UsageError(f"{path} {there_is}, and momentum={rule.momentum:g} was said; say it as it was, as momentum=0.9")
    blocks = {block: [read.array(number) for number in numbers] for block, numbers in lists.items()}
    batches = _count(read.array(children["_iterations"]), read.bundle)
    if PENDING in blocks:
        steps(0, 1, blocks.pop(PENDING), there.optimizer)
        step = told.count(there)  # the count is of batches, and how many make a step is not there
    else:
        told.refuse(path, "step")
        step = batches
    lr = _rate(read, children, "_learning_rate", told, there, path)
    layout = Layout(rule, False, AVERAGE in blocks, False)
    if "_trainable_variables" in children:
        names = [read.name(number) for number in read.list(children["_trainable_variables"])]
    else:
        names = of_state([read.name(number) for number in lists[rule.slots[0].name]], []) or []
    one = group(layout, lr, step, _names(names, told, path, len(lists[rule.slots[0].name])), blocks)
    return State((one,), 0, there.optimizer, told.allow_nan)


def _rate(read: _Reader, children: Mapping[str, int], name: str, told: Told, kind: Kind, path: str) -> float | None:
    """Return the learning rate, which a schedule leaves to be said, unless its last value is kept."""
    for place in (name, "_current_learning_rate"):
        lr = read.number(children, place)
        if lr is not None:
            told.refuse(path, "lr")
            return lr
    return told.rate(kind)


def _rule(told: Told, kind: Kind, bundle: Bundle, *, centered: bool) -> Rule:
    """Return the rule that was said, with what the checkpoint tells itself."""
    if told.axes.get("centered", centered) != centered:
        raise UsageError(f"centered was said to be {told.axes['centered']!r}, and {bundle.path} is that of centered={centered}")
    told.refuse(str(bundle.path), "centered_form")
    return replace(told, axes={**told.axes, "centered": centered}).rule(kind)


def _same_kind(kind: Kind | None, there: Kind, path: str) -> None:
    """Refuse a kind that was said and is not there."""
    if kind is not None and kind != there:
        raise UsageError(f"{path} was written by {there.optimizer}, not by {kind.optimizer}; leave kind out")


def _count(array: Array, bundle: Bundle) -> int:
    """Return a count of steps."""
    if array.shape != () or array.dtype.kind not in "iu" or int(array) < 0:
        raise FileError(f"{bundle.path} is damaged: its count of steps must be an integer of at least 0, got {array!r}")
    return int(array)


def _names(names: list[str], told: Told, path: str, count: int | None = None) -> list[str]:
    """Return the names that were said, those in the checkpoint, or indices."""
    count = len(names) if count is None else count
    if told.names is not None:
        if len(told.names) != count:
            raise UsageError(f"{path} has {count} parameters, got {len(told.names)} names")
        return list(told.names)
    return names if len(set(names)) == len(names) == count else [str(i) for i in range(count)]
