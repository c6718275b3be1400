"""What the config of a Keras optimizer says of its rule, and the arguments that make an optimizer with a rule."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from rmsprop.checkpoint.canonical import AVERAGE, Group, State
from rmsprop.checkpoint.errors import ConversionError, UsageError
from rmsprop.checkpoint.kinds import KINDS, Kind, Told, idle
from rmsprop.checkpoint.moving import moved
from rmsprop.dialects import dialect_names
from rmsprop.rule import AXES, Rule
from rmsprop.state import axes_of, rule_from

# Axes of the rule as Keras calls them.
CALLED = {axis: {"decay": "rho", "eps": "epsilon"}.get(axis, axis) for axis in AXES}
_PLAIN = ("decay", "momentum", "eps", "centered", "weight_decay")
_LEGACY = ("decay", "momentum", "eps", "centered")
# What an optimizer does around the rule.
_AROUND = (
    "clipnorm",
    "clipvalue",
    "global_clipnorm",
    "use_ema",
    "ema_momentum",
    "ema_overwrite_frequency",
    "loss_scale_factor",
    "gradient_accumulation_steps",
)


class Said(NamedTuple):
    """What a config says.

    Args:
        rule: the rule.
        lr: learning rate, or None where it follows a schedule.
        averaged: whether a moving average of the parameters is kept.
        every: batches to a step.
        options: what else differs from the default.
    """

    rule: Rule
    lr: float | None
    averaged: bool
    every: int
    options: dict[str, Any]


def said(config: Mapping[str, Any], kind: Kind) -> Said:
    """Return what a config of some kind says.

    Args:
        config: what `optimizer.get_config()` returns.
        kind: "keras", "rmsprop.keras", "tf-keras" or "keras-legacy".

    Raises:
        KeyError, TypeError, ValueError: it lacks something, or a value is not allowed.
    """
    if kind.name == "rmsprop.keras":
        values = {axis: config[called] for axis, called in CALLED.items()}
        rule = rule_from({"name": str(config["dialect"]), **values, "weight_decay": values["weight_decay"] or 0.0})
    else:
        axes = {
            axis: config[CALLED[axis]] for axis in (_LEGACY if kind.name == "keras-legacy" else _PLAIN) if CALLED[axis] in config
        }
        # The legacy optimizer's "decay" is one of the learning rate, and "rho" the rule's.
        rule = Told(axes={axis: _number(value) for axis, value in axes.items()}).rule(kind)
    lr = config.get("learning_rate", rule.lr)
    if isinstance(lr, Mapping | str) or lr is None or (kind.name == "keras-legacy" and config.get("decay")):
        lr = None
    every = config.get("gradient_accumulation_steps") or 1
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"gradient_accumulation_steps must be an integer of at least 2, or None, got {every!r}")
    averaged = bool(config.get("use_ema"))
    options = {key: config[key] for key in _AROUND if config.get(key)}
    if not averaged:
        options = {key: value for key, value in options.items() if "ema" not in key}
    return Said(rule, None if lr is None else float(lr), averaged, every, options)


def arguments(state: State, kind: str = "keras") -> dict[str, Any]:
    """Return the arguments that make an optimizer of Keras which goes on with a state.

    Args:
        state: the state.
        kind: "keras" for `keras.optimizers.RMSprop`, "tf-keras" or "keras-legacy" for those of tf_keras, or "rmsprop.keras".

    Raises:
        UsageError: it is of another kind.
        ConversionError: the optimizer has no option for something that the state's rule needs.

    Example:
        >>> import numpy as np, rmsprop
        >>> from rmsprop.checkpoint import capture
        >>> state = capture(rmsprop.RMSprop(np.ones(3), 0.5, "keras", momentum=0.9))
        >>> arguments(state)
        {'learning_rate': 0.5, 'rho': 0.9, 'momentum': 0.9, 'epsilon': 1e-07, 'centered': False, 'weight_decay': None}
    """
    if kind not in ("keras", "rmsprop.keras", "tf-keras", "keras-legacy"):
        raise UsageError(f"kind must be 'keras', 'tf-keras', 'keras-legacy' or 'rmsprop.keras', got {kind!r}")
    groups = moved(state, KINDS[kind]).groups
    # Parameters without weight decay are left out of it by `exclude_from_weight_decay`.
    first = max(groups, key=lambda group: group.rule.weight_decay)
    for group in groups:
        one_rate(group, first)
        if group.rule.replace(weight_decay=0.0) != first.rule.replace(weight_decay=0.0) or group.rule.weight_decay not in (
            0.0,
            first.rule.weight_decay,
        ):
            raise ConversionError("an optimizer of Keras has one rule, and this state has several; make one optimizer for each")
    found: dict[str, Any] = {} if first.lr is None else {"learning_rate": first.lr}
    if kind == "rmsprop.keras":
        found["dialect"] = first.rule.name if first.rule.name in dialect_names() else first.rule
    axes = {"keras-legacy": _LEGACY, "rmsprop.keras": (*_PLAIN, *(axis for axis in AXES if axis not in _PLAIN))}.get(kind, _PLAIN)
    found |= {CALLED[axis]: getattr(first.rule, axis) for axis in axes}
    if "weight_decay" in found:
        found["weight_decay"] = found["weight_decay"] or None
    if kind != "keras-legacy" and any(AVERAGE in p.slots for p in state.parameters):
        found["use_ema"] = True
    around = {"keras-legacy": _AROUND[:3], "tf-keras": _AROUND[:6]}.get(kind, _AROUND)
    return found | {key: value for key, value in first.options.items() if key in around}


def one_rate(group: Group, first: Group) -> None:
    """Refuse two groups of different learning rates."""
    if group.lr != first.lr:
        raise ConversionError(
            f"an optimizer of Keras has one learning rate, and this state has {first.lr} and {group.lr}; make one for each"
        )


def differences(rule: Rule, there: Rule, *, begun: bool) -> list[str]:
    """Return the axes in which an optimizer of Keras steps otherwise than by a rule.

    Args:
        rule: the state's, as `moved` returns it.
        there: the optimizer's.
        begun: whether a step has been taken.
    """
    mine, theirs = axes_of(rule), axes_of(there)
    return [axis for axis in AXES if mine[axis] != theirs[axis] and not _without_effect(rule, there, axis, begun)]


def refuse_differences(state: State, rule: Rule, there: Rule, kind: Kind, names: str, *, begun: bool) -> None:
    """Refuse an optimizer of Keras that would step otherwise than by a rule, and say what would not.

    Args:
        state: the state, for its arguments.
        rule: that of some parameters, as `moved` returns it.
        there: the optimizer's for the same ones.
        kind: of the optimizer.
        names: the parameters, for the message.
        begun: whether a step has been taken.

    Raises:
        ConversionError: it would.
    """
    differ = differences(rule, there, begun=begun)
    if not differ:
        return
    shown = ", ".join(f"{CALLED[axis]}={getattr(there, axis)!r} and not {getattr(rule, axis)!r}" for axis in differ)
    if differ == ["weight_decay"] and 0 in (rule.weight_decay, there.weight_decay) and len(state.groups) > 1:
        remedy = "say before it is built which parameters have none, as optimizer.exclude_from_weight_decay(var_names=['bias'])"
    else:
        told = ", ".join(f"{key}={value!r}" for key, value in arguments(state, kind.name).items())
        remedy = f"make it as {kind.optimizer}({told})"
    raise ConversionError(f"the optimizer has {shown} for {names}; {remedy}")


def _without_effect(rule: Rule, there: Rule, axis: str, begun: bool) -> bool:
    """Return whether an axis makes no difference by itself: what makes it idle in one of the rules only is a difference too."""
    return any(idle(one, axis, complex=False, begun=begun) for one in (rule, there))


def _number(value: Any) -> Any:
    """Return NumPy's numbers as Python's, and None, as Keras says it, as 0."""
    return 0.0 if value is None else value.item() if hasattr(value, "item") else value
