"""Where a tree of optax's states keeps those of RMSprop, whatever its leaves are.

A chain's state is a tuple with the state of each link, and wrappers hold the state of what they wrap. What is found are subtrees
and leaves of the tree that was searched: of arrays where a state is captured, of the leaves' numbers where one is restored, of
places in a file where one is read. Files keep no classes; there a state is known by its fields.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from rmsprop.checkpoint.errors import ConversionError, UsageError
from rmsprop.checkpoint.kinds import KINDS, Kind

Tree = Any

OURS = "ScaleByRuleState"
_TRACE = "TraceState"
# The states of one parameter's numbers: v, and where it is centered m.
_FIELDS = {
    "ScaleByRmsState": ("nu",),
    "ScaleByRmsWithCountState": ("count", "nu"),
    "ScaleByRStdDevState": ("mu", "nu"),
    "ScaleByRStdDevWithCountState": ("count", "mu", "nu"),
    OURS: ("count", "skipped", "square_avg", "variance", "grad_avg", "momentum_buffer"),
    _TRACE: ("trace",),
    "ScaleByScheduleState": ("count",),
    "ZeroNansState": ("found_nan",),
}
_BY_FIELDS = {frozenset(fields): name for name, fields in _FIELDS.items()}
_STATES = tuple(_FIELDS)[:5]
SLOTS = _FIELDS[OURS][2:]
# Links that count steps, and those that change nothing in later steps.
_COUNTING = ("ScaleByScheduleState", "WeightDecaySchedule")
_IDLE = ("", "EmptyState", "MaskedNode", "ZeroNansState", "MonitorState", "SnapshotState")
_INNER = ("inner_state", "inner_states", "inner_opt_state")
# What `inject_hyperparams` may have put into a state, and the axis that it is.
_AXES = {name: name for name in ("decay", "eps", "square_init", "momentum", "weight_decay")}
_AXES |= {"learning_rate": "lr", "initial_scale": "square_init"}


class Around(NamedTuple):
    """What the wrappers around a state say of it."""

    numbers: Mapping[str, Any] = {}  # injected hyper-parameters by axis, and lr
    counts: tuple[Any, ...] = ()  # of steps, the nearest first
    skipped: tuple[Any, ...] = ()  # counts of steps that were left out
    waiting: tuple[Any, ...] = ()  # steps whose gradients have been gathered and not been used
    label: str = ""  # of the part of the parameters


class Found(NamedTuple):
    """One state of RMSprop."""

    kind: Kind
    slots: Mapping[str, Tree]  # by the slot's name, trees like the parameters; "trace" for optax's buffer
    bias_correction: bool | None  # None where the state does not tell
    inside: bool | None  # whether the learning rate comes ahead of the trace, inside the buffer; None where the order does not tell
    skips: bool  # whether it leaves out steps by itself
    unsure: bool  # whether it may be another optimizer's, of the same fields
    around: Around

    @property
    def centered(self) -> bool:
        """Whether it keeps a mean of g."""
        return "grad_avg" in self.slots

    @property
    def buffered(self) -> bool:
        """Whether it keeps a momentum buffer."""
        return "trace" in self.slots or "momentum_buffer" in self.slots


class _Link(NamedTuple):
    """One link of a chain."""

    name: str  # of its state's class; "" where there is no state
    state: Tree
    fields: Mapping[str, Tree]
    around: Around
    alias: bool  # whether it stands in a chain such as optax.rmsprop makes


def find(tree: Tree, *, classes: bool = True) -> list[Found]:
    """Return the states of RMSprop in a tree of optax's states.

    Args:
        tree: tuples, lists, dicts and named tuples; of any leaves.
        classes: whether the tree has optax's classes; otherwise dicts are in their place.

    Raises:
        ConversionError: it has another optimizer's state, or several that would be taken for one.
        UsageError: there is none, or several optimizers'.
    """
    found = list(_parts(tree, classes))
    if not found:
        raise UsageError(
            "there is no state of RMSprop in it: none of scale_by_rms, scale_by_stddev or scale_by_rule; pass the optimizer's state"
            + ("" if classes else ", or its place in the file as key='opt_state'")
        )
    return found


def _parts(tree: Tree, classes: bool) -> Iterator[Found]:
    """Yield the states of RMSprop in a dict of states, or of whatever a file keeps beside a state, or in the state of a chain."""
    name, fields = _named(tree, classes)
    if name != "dict" or any(key in fields for key in _INNER):
        yield from _found(tree, Around(), classes)
        return
    found, refused = {}, []
    for key, part in ({"opt_state": fields["opt_state"]} if "opt_state" in fields else fields).items():
        try:
            found[str(key)] = list(_parts(part, classes)) if isinstance(part, (tuple, list, Mapping)) else []
        except ConversionError as error:  # of the parameters, or of another optimizer
            refused.append(error)
    several = [key for key in found if found[key]]
    if len(several) > 1:
        raise UsageError(
            f"there are states of several optimizers, {', '.join(map(repr, several))}; "
            + ("pass one of them" if classes else f"say which, as key={several[0]!r} or --key {several[0]}")
        )
    if refused and (classes or not several):
        raise refused[0]
    yield from (one for states in found.values() for one in states)


def _found(tree: Tree, around: Around, classes: bool) -> Iterator[Found]:
    """Yield the states of RMSprop in the state of one chain."""
    links = list(_links(tree, around, classes))
    counts = tuple(link.fields["count"] for link in links if link.name in _COUNTING)
    at = [i for i, link in enumerate(links) if link.name in _STATES]
    if len(at) > 1:
        raise ConversionError("two RMSprop states stand in one chain, each scaling what the other returns; no rule does that")
    traces = [i for i, link in enumerate(links) if link.name == _TRACE]
    if len(traces) > 1 or any(not at or i < at[0] for i in traces):
        raise ConversionError(
            "optax's TraceState holds a momentum buffer of something else than g/denominator: it must come once, after the RMSprop "
            "state and in the same chain" + _within(around)
        )
    for link in links:
        if link.name in _STATES:
            yield _state(links, at[0], traces[0] if traces else None, counts, classes)
        elif link.name not in (*_IDLE, *_COUNTING, _TRACE):
            yield from _inner(link, counts, classes)


def _links(tree: Tree, around: Around, classes: bool, alias: bool = False) -> Iterator[_Link]:
    """Yield the links of a chain, those of chains within it and of what surrounds all of its parameters among them."""
    name, fields = _named(tree, classes)
    if not name and isinstance(tree, (tuple, list)):
        names = [_named(link, classes)[0] for link in tree]
        alias = len(names) == 3 and names[0] in _STATES and names[1] in ("", "EmptyState", "ScaleByScheduleState")
        for link in tree:
            yield from _links(link, around, classes, alias and names[2] == _TRACE)
    elif "hyperparams" in fields and "inner_state" in fields:
        numbers = {_AXES[name]: leaf for name, leaf in fields["hyperparams"].items() if name in _AXES}
        schedules = (fields.get("hyperparams_states") or {}).values()
        counts = (fields["count"], *(_named(state, classes)[1].get("count") for state in schedules), *around.counts)
        counts = tuple(leaf for leaf in counts if leaf is not None)
        yield from _links(fields["inner_state"], around._replace(numbers={**around.numbers, **numbers}, counts=counts), classes)
    elif "total_notfinite" in fields and "inner_state" in fields:
        yield from _links(fields["inner_state"], around._replace(skipped=(fields["total_notfinite"],)), classes)
    elif "inner_opt_state" in fields and "mini_step" in fields:
        counted = around._replace(counts=(fields["gradient_step"], *around.counts), waiting=(fields["mini_step"],))
        yield from _links(fields["inner_opt_state"], counted, classes)
    else:
        yield _Link(name, tree, fields, around, alias)


def _named(node: Tree, classes: bool) -> tuple[str, Mapping[str, Tree]]:
    """Return the name of a state's class and its fields; nothing for what is no state, and no name for an unknown one in a file."""
    if isinstance(node, tuple) and hasattr(node, "_fields"):
        return type(node).__name__, dict(zip(node._fields, node, strict=True))
    if isinstance(node, Mapping):
        known = "" if classes else _BY_FIELDS.get(frozenset(node), "")
        return known or "dict", node
    if node is None or isinstance(node, (tuple, list)):
        return "", {}
    return type(node).__name__, {}


def _inner(link: _Link, counts: tuple[Any, ...], classes: bool) -> Iterator[Found]:
    """Yield what is in a wrapper around some of the parameters, or in a dict; refuse another optimizer's state."""
    around = link.around._replace(counts=(*counts, *link.around.counts))
    if isinstance(link.fields.get("inner_states"), Mapping):
        for label, state in link.fields["inner_states"].items():
            yield from _found(state, around._replace(label=str(label)), classes)
    elif "inner_state" in link.fields:
        yield from _found(link.fields["inner_state"], around, classes)
    else:
        raise ConversionError(
            f"{_called(link)} is no state of RMSprop, and would be lost{_within(around)}; take the part that is RMSprop's, such as "
            "state.inner_states['label'] of optax.partition, or in a file key='.../inner_states/label'"
        )


def _state(links: list[_Link], at: int, trace: int | None, counts: tuple[Any, ...], classes: bool) -> Found:
    """Return a link's state, with the trace that follows it."""
    link = links[at]
    fields, around = link.fields, link.around
    own = (fields["count"],) if "count" in fields else ()
    around = around._replace(counts=(*own, *counts, *around.counts))
    if link.name == OURS:
        if trace is not None:
            raise ConversionError("a second momentum buffer, optax's TraceState, follows that of scale_by_rule; no rule has two")
        slots = {name: fields[name] for name in SLOTS if fields[name] is not None}
        skipped = around.skipped if fields["skipped"] is None else (fields["skipped"], *around.skipped)
        skips = fields["skipped"] is not None
        return Found(KINDS["rmsprop.optax"], slots, None, None, skips, False, around._replace(skipped=skipped))
    slots = {"square_avg": fields["nu"]} | ({"grad_avg": fields["mu"]} if "mu" in fields else {})
    inside: bool | None = None
    if trace is not None:
        slots["trace"] = links[trace].fields["trace"]
        between = [other.name for other in links[at + 1 : trace]]
        if not between:
            inside = False
        elif links[trace].alias or "ScaleByScheduleState" in between or trace == len(links) - 1:
            inside = True  # as in optax.rmsprop; and where nothing follows, the learning rate has come before
    unsure = not classes and link.name == "ScaleByRStdDevWithCountState"
    return Found(KINDS["optax"], slots, "count" in fields, inside, False, unsure, around)


def _called(link: _Link) -> str:
    """Return what a message calls the state of a link."""
    if link.name == "dict":
        return f"a state of {', '.join(map(str, list(link.fields)[:6]))}"
    return link.name if isinstance(link.state, tuple) or hasattr(link.state, "__dataclass_fields__") else "an array"


def _within(around: Around) -> str:
    """Return what a message says of the part of the parameters."""
    return f" (under {around.label!r})" if around.label else ""
