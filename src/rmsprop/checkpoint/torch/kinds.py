"""What the param groups of each optimizer of PyTorch's world say, which optimizer they are of, and the rules that they mean."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch

from rmsprop.checkpoint.canonical import UNORDERED, Group
from rmsprop.checkpoint.errors import ConversionError, UsageError
from rmsprop.checkpoint.kinds import KINDS, Kind
from rmsprop.checkpoint.torch.tensors import number
from rmsprop.dialects import dialect
from rmsprop.rule import AXES, Rule
from rmsprop.state import axes_of, rule_from


class Layout(NamedTuple):
    """How one optimizer keeps its options and its state."""

    classes: tuple[str, ...]  # its class and those that differ in name only
    axes: Mapping[str, str]  # axis of the rule to key of a group
    options: Mapping[str, Any]  # further keys of a group that are kept, with what they are where nothing is said
    tensor_steps: bool  # whether its counts of steps are tensors, or integers


_PLAIN = {"decay": "alpha", **{axis: axis for axis in ("eps", "momentum", "centered", "weight_decay")}}
# How a step is computed, which changes no meaning: a target keeps its own.
MACHINE = ("capturable", "foreach", "differentiable", "fused", "approximate")
# What a step does besides the rule, with the value at which it does nothing.
_BESIDES: dict[str, Any] = {
    "sparse": "error",
    "on_nonfinite": "propagate",
    "max_norm": None,
    "ema_decay": None,
    "stochastic_rounding": False,
}
# The same of Keras's optimizers.
_KERAS = dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm", "gradient_accumulation_steps", "loss_scale_factor"))
_SWITCHES = {"capturable": False, "foreach": None, "differentiable": False}
LAYOUTS = {
    "rmsprop.torch": Layout(
        ("rmsprop.torch.optimizer.RMSprop",),
        {axis: "alpha" if axis == "decay" else axis for axis in AXES},
        {**_SWITCHES, **_BESIDES, "fused": None, "approximate": False},
        True,
    ),
    "pytorch": Layout(("torch.optim.rmsprop.RMSprop",), {**_PLAIN, "maximize": "maximize"}, _SWITCHES, True),
    "timm": Layout(("timm.optim.rmsprop_tf.RMSpropTF",), {**_PLAIN, "lr_in_momentum": "lr_in_momentum"}, {"foreach": None}, True),
    "sb3": Layout(("stable_baselines3.common.sb2_compat.rmsprop_tf_like.RMSpropTFLike",), _PLAIN, {}, False),
    "bitsandbytes": Layout(
        tuple(f"bitsandbytes.optim.rmsprop.RMSprop{bits}" for bits in ("", "32bit", "8bit")),
        {"eps": "eps", "weight_decay": "weight_decay"},
        {},
        False,
    ),
}
# What timm's groups say besides, and what bitsandbytes' do.
_DECOUPLED, _CAUTION, _CORRECTED, _BETAS = "decoupled_decay", "caution", "corrected_weight_decay", "betas"
_OWN = {"params", "param_names", "lr", "dialect", _DECOUPLED, _CAUTION, _CORRECTED, "max_lr_snapshot", _BETAS}
_OWN |= {UNORDERED} | {key for layout in LAYOUTS.values() for key in (*layout.axes.values(), *layout.options)}
# Axes that an old release may not have yet.
_LATER = ("momentum", "centered", "maximize", "lr_in_momentum")
# Keys of other optimizers: those of what they keep of a parameter, the more telling ones first, and those of their groups.
_ENTRIES = {
    "exp_inf": "Adamax",
    "mu_product": "NAdam",
    "exp_avg_sq": "Adam",
    "exp_avg": "Lion or another optimizer with momentum alone",
    "acc_delta": "Adadelta",
    "sum": "Adagrad",
    "step_size": "Rprop",
    "ax": "ASGD",
    "state2": "bitsandbytes' Adam",
}
_GROUPS = {
    "amsgrad": "Adam",
    "dampening": "SGD",
    "rho": "Adadelta",
    "lr_decay": "Adagrad",
    "lambd": "ASGD",
    "etas": "Rprop",
}


def kind_of_class(optimizer: Any) -> Kind | None:
    """Return the kind of an optimizer by its class, or None."""
    for one in type(optimizer).__mro__:
        for name, layout in LAYOUTS.items():
            if f"{one.__module__}.{one.__qualname__}" in layout.classes:
                return KINDS[name]
    return None


def kind_of_keys(groups: Iterable[Mapping[str, Any]], entries: Iterable[Any], said: Kind | None) -> Kind:
    """Return the kind of a state_dict by the keys of its groups and entries, or ask for it.

    Args:
        groups: its param groups.
        entries: what it holds of each parameter.
        said: the kind that a caller said it is.

    Raises:
        UsageError: that has to be said, or it is another kind than was said.
        ConversionError: it is the state of another optimizer.
    """
    keys = {str(key) for group in groups for key in group}
    held = {str(key) for entry in entries if isinstance(entry, Mapping) for key in unwrapped(entry)}
    for there, others in ((held, _ENTRIES), (keys, _GROUPS)):
        for key, other in others.items():
            if key in there:
                raise ConversionError(f"this is the state of {other}, by its {key!r}; RMSprop cannot go on from it")
    found = _told_by(keys)
    if not found:
        raise ConversionError(f"this is no state of RMSprop: its groups have {', '.join(sorted(keys)) or 'nothing'}")
    if said is not None and said.name not in found:
        raise UsageError(f"this is a state of {KINDS[found[0]].optimizer} by its keys, and not of {said.optimizer}")
    if said is None and len(found) > 1:
        choices = " or ".join(f'kind="{name}" ({KINDS[name].optimizer})' for name in found)
        raise UsageError(f"states of several optimizers have these keys; say which it is: {choices}")
    if said is None and found == ("bitsandbytes",) and "state1" not in held:
        raise UsageError(
            f'these groups have the keys of many optimizers; if they are of {KINDS[found[0]].optimizer}, say kind="{found[0]}"'
        )
    return said or KINDS[found[0]]


def _told_by(keys: set[str]) -> tuple[str, ...]:
    """Return the kinds whose state_dicts have such keys."""
    if {"dialect", "eps_place"} & keys:
        return ("rmsprop.torch",)
    if {_DECOUPLED, "lr_in_momentum"} & keys:
        return ("timm",)
    if {"alpha", "centered"} <= keys:
        # Before 1.12 PyTorch had none of these, and neither has Stable-Baselines3, which began as a copy.
        return ("pytorch",) if {*_SWITCHES, "maximize"} & keys else ("sb3", "pytorch")
    if _BETAS in keys:
        return ("bitsandbytes",)
    return ()


def unwrapped(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry of bitsandbytes with what its state_dict puts one level down, away from FSDP; any other as it is."""
    wrapped = entry.get("__bnb_optimizer_quant_state__")
    return {**entry, **wrapped} if isinstance(wrapped, Mapping) else entry


def rule_of(group: Mapping[str, Any], kind: Kind, where: str) -> Rule:
    """Return the rule that a group means.

    Args:
        group: its entries.
        kind: whose it is.
        where: what messages call it.

    Raises:
        ConversionError: a value is missing or not allowed, or does what no rule does.
    """
    axes = {}
    for axis, key in LAYOUTS[kind.name].axes.items():
        if key in group:
            axes[axis] = _value(group[key], f"{key!r} of {where}")
        elif axis not in _LATER:
            raise ConversionError(f"{where} lacks {key!r}; the state was cut short or changed")
    try:
        if kind.name == "rmsprop.torch":
            return rule_from({"name": _value(group.get("dialect"), f"'dialect' of {where}"), **axes})
        if kind.name == "bitsandbytes":
            axes["decay"] = _first_beta(group, axes["eps"], where)
        if kind.name == "timm" and _on(group, _DECOUPLED, where):
            axes["weight_decay_form"] = "decoupled_lr"
        rule = dialect(kind.dialect, **axes)
    except (TypeError, ValueError) as error:
        raise ConversionError(f"{where}: {error}") from None
    if _on(group, _CAUTION, where) and rule.momentum:
        raise ConversionError(f"{where} has caution=True, which masks the step by its sign; no rule of RMSprop does")
    if _on(group, _CORRECTED, where) and rule.weight_decay and rule.weight_decay_form == "decoupled_lr":
        raise ConversionError(f"{where} has corrected_weight_decay=True, by lr²/max_lr; rules decay weights by lr or by 1")
    return rule_from(axes_of(rule.replace(centered_form="difference") if rule.centered else rule))


def _value(value: Any, what: str) -> Any:
    """Return a word, a switch or a number."""
    if isinstance(value, bool) or (isinstance(value, str) and len(value) < 100):
        return value
    return number(value, what)


def check_config(optimizer: Any) -> None:
    """Refuse what a live optimizer of bitsandbytes does besides its groups, which its state_dict would not tell."""
    for at, group in enumerate(optimizer.param_groups):
        for k in range(len(group["params"])):
            config = optimizer.get_config(at, k, group)
            for key in ("lr", "betas", "eps", "weight_decay"):
                if config[key] != group[key]:
                    raise ConversionError(
                        f"{key} of parameter {k} of group {at} is overridden with {config[key]!r} by GlobalOptimManager; give the "
                        "parameter a group of its own before"
                    )
            for key in ("max_unorm", "skip_zeros"):
                if config[key]:
                    raise ConversionError(f"this optimizer steps with {key}={config[key]!r}, which no rule of RMSprop does")


def refuse_complex(kind: Kind, complex_: bool) -> None:
    """Refuse complex parameters where they are squared as they are, (a + bi)², or not taken at all."""
    if complex_ and kind.name in ("timm", "sb3", "bitsandbytes"):
        raise ConversionError(
            f"{kind.optimizer} takes complex parameters neither by their parts nor by their modulus; use {kind.instead!r}"
        )


def _on(group: Mapping[str, Any], key: str, where: str) -> bool:
    """Return a switch that a group may lack."""
    value = group.get(key, False)
    if not isinstance(value, bool):
        raise ConversionError(f"{key!r} of {where} must be True or False, got a {type(value).__name__}")
    return value


def _first_beta(group: Mapping[str, Any], eps: float, where: str) -> float:
    """Return the decay that bitsandbytes keeps in the place of Adam's first beta; the second one, of momentum, it does not use."""
    betas = group.get(_BETAS)
    if not isinstance(betas, list | tuple) or len(betas) != 2:
        raise ConversionError(f"'betas' of {where} must be (alpha, momentum)")
    decay = number(betas[0], f"'betas' of {where}")
    if decay == 0 or eps == 0:
        raise ConversionError(f"{where} has betas[0]={decay:g} and eps={eps:g}: it is of bitsandbytes' Adagrad, SGD or Lion")
    return decay


def options_of(group: Mapping[str, Any], kind: Kind, where: str) -> dict[str, Any]:
    """Return what a group keeps besides its rule: its optimizer's options, and what its owner or a schedule has put there.

    Raises:
        ConversionError: a value is not plain, so that no file could hold it.
    """
    layout = LAYOUTS[kind.name]
    left = [10_000]
    return {
        str(key): _plain(value, f"{key!r} of {where}", left)
        for key, value in group.items()
        if key in layout.options or (isinstance(key, str) and key not in _OWN)
    }


def _plain(value: Any, what: str, left: list[int], depth: int = 3) -> Any:
    """Return a copy of plain values that JSON holds as they are; a tensor of one element becomes a number."""
    left[0] -= 1
    if left[0] >= 0 and (
        value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))
    ):
        return value
    if left[0] >= 0 and depth and isinstance(value, list | tuple):
        return [_plain(one, what, left, depth - 1) for one in value]
    if left[0] >= 0 and depth and isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(one, what, left, depth - 1) for key, one in value.items()}
    if left[0] >= 0 and isinstance(value, torch.Tensor):
        return number(value, what)
    raise ConversionError(f"{what} is a {type(value).__name__} that is no plain value; take it out of the group before")


def group_of(group: Group, kind: Kind, *, kin: bool, defaults: bool) -> dict[str, Any]:
    """Return a group's entries, but for its parameters, as an optimizer keeps them.

    Args:
        group: in a rule of that optimizer's.
        kind: whose entries.
        kin: whether the state is of an optimizer of PyTorch's world, whose owner's own entries are kept.
        defaults: whether to spell out options that the state does not have; otherwise they are a target's own.

    Raises:
        ConversionError: the state has an option that changes what a step does, and the optimizer has none like it.
    """
    layout, rule = LAYOUTS[kind.name], group.rule
    found: dict[str, Any] = dict(layout.options) if defaults else {}
    for key, value in group.options.items():
        if key in layout.options or (kin and key not in _OWN):
            found[key] = value
        elif value != (off := {**_BESIDES, **_KERAS}.get(key, value)):
            raise ConversionError(
                f"{kind.optimizer} has no {key}, and the state's optimizer stepped with {key}={value!r}; set it to {off!r} there "
                f"before{'' if key in _KERAS else ', or use ' + repr(kind.instead)}"
            )
    found |= {"lr": group.lr} if group.lr is not None else {}
    found |= {key: getattr(rule, axis) for axis, key in layout.axes.items()}
    if kind.name == "rmsprop.torch":
        found["dialect"] = axes_of(rule)["name"]
    if kind.name == "timm":
        found[_DECOUPLED] = rule.weight_decay > 0 and rule.weight_decay_form != "coupled"
        found |= {_CAUTION: False, _CORRECTED: False}
    if kind.name == "bitsandbytes":
        found[_BETAS] = (rule.decay, 0.0)
    return found
