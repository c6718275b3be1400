"""The optimizers of tf_keras: `tf_keras.optimizers.RMSprop` and `tf_keras.optimizers.legacy.RMSprop`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rmsprop.checkpoint.canonical import Array, State
from rmsprop.checkpoint.errors import ConversionError, UsageError, missing_extra
from rmsprop.checkpoint.keras.config import Said, refuse_differences, said
from rmsprop.checkpoint.keras.layout import Layout, filled, group, one_count
from rmsprop.checkpoint.keras.live import fitting, names_of
from rmsprop.checkpoint.keras.names import of_state
from rmsprop.checkpoint.kinds import KINDS, Kind, Told
from rmsprop.checkpoint.moving import moved
from rmsprop.checkpoint.tensorflow.read import SLOTS
from rmsprop.rule import Rule


class _Live(NamedTuple):
    """An optimizer that was built."""

    optimizer: Any
    kind: Kind
    said: Said
    layout: Layout
    blocks: dict[str, list[Any]]
    names: list[str]


def capture(source: Any, kind: Kind | None, told: Told) -> State:
    """Return the state of an optimizer of tf_keras, new or legacy, outside a tf.function; that of TF1 is in its Saver's files only.

    Args:
        source: the optimizer, which has to have its variables; of a LossScaleOptimizer the one within.
        kind: ignored, as the optimizer tells.
        told: nothing is needed but names, where variables have the same names.

    Raises:
        UsageError: it is another optimizer, or something was said that it holds itself.
        ConversionError: it has no variables yet, or leaves some parameters out of weight decay.
    """
    live = _live(source)
    told.refuse_rule(live.kind.optimizer)
    names = live.names if told.names is None else list(told.names)
    if len(names) != len(live.names):
        raise UsageError(f"the optimizer has {len(live.names)} parameters, got {len(names)} names")
    step = int(live.optimizer.iterations.numpy())
    blocks = {block: [_array(v) for v in variables] for block, variables in live.blocks.items()}
    one = group(live.layout, _rate(live, step), step, names, blocks, live.said.options)
    return State((one,), 0, live.kind.optimizer, told.allow_nan)


def restore(target: Any, state: State) -> Any:
    """Put a state into an optimizer of tf_keras, which has to have its rule: `keras.arguments(state, "tf-keras")` makes such a one.

    It takes the learning rate unless it has a schedule, or a decay, which is one.

    Args:
        target: the optimizer, which has to have its variables.
        state: a state of the same parameters.

    Raises:
        UsageError: it is another optimizer.
        ConversionError: it has no variables yet, or the state is of another rule or other parameters; nothing was changed.
    """
    live = _live(target)
    what = live.kind.optimizer
    shapes = {name: tuple(v.shape) for name, v in zip(live.names, live.blocks[live.layout.blocks[-1]], strict=True)}
    there = moved(state, live.kind).arranged([live.names], shapes).groups[0]
    step = one_count(there.parameters, what)
    own = _as_kept(live.said.rule, there.rule) if live.kind.name == "keras-legacy" else live.said.rule
    refuse_differences(state, there.rule, own, live.kind, "all parameters", begun=step > 0)
    variables = [v for block in live.layout.blocks for v in live.blocks[block]]
    arrays = filled(live.layout, there.parameters, what)
    values = [fitting(a, v.dtype.name, v.name) for a, v in zip(arrays, variables, strict=True)]
    for variable, value in zip(variables, values, strict=True):
        variable.assign(_tensor(value, variable))
    live.optimizer.iterations.assign(step)
    if live.said.lr is not None and there.lr is not None:
        live.optimizer.learning_rate = there.lr
    return target


def _live(source: Any) -> _Live:
    """Return an optimizer's parts, or refuse another one than RMSprop, and one that was not built."""
    try:
        import tf_keras
    except ImportError as error:
        raise missing_extra("tf_keras", "tf_keras") from error
    optimizer = getattr(source, "inner_optimizer", source)
    if isinstance(optimizer, tf_keras.optimizers.legacy.RMSprop):
        kind = KINDS["keras-legacy"]
        variables, built = list(optimizer.weights), len(optimizer.weights) > 1
    elif isinstance(optimizer, tf_keras.optimizers.RMSprop):
        kind = KINDS["tf-keras"]
        variables, built = list(optimizer.variables), bool(getattr(optimizer, "_built", False))
    else:
        raise UsageError(
            f"a {type(optimizer).__name__} is none of {KINDS['tf-keras'].optimizer} and {KINDS['keras-legacy'].optimizer}; the "
            "state of TF1's optimizer is read from the files of its Saver"
        )
    if not built:
        raise ConversionError(
            "the optimizer has no variables yet; call optimizer.build(model.trainable_variables) first, or for the legacy one "
            "optimizer._create_all_weights(model.trainable_variables)"
        )
    config = optimizer.get_config()
    try:
        told = said(config, kind)
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"the optimizer's own arguments are not those of a rule: {error}") from None
    layout = Layout(told.rule, False, told.averaged, False)
    if kind.name == "keras-legacy":
        blocks = {block: [v for v in variables if f"/{SLOTS[block]}:" in v.name] for block in layout.blocks}
    else:
        out = [getattr(optimizer, name, None) for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_names")]
        if told.rule.weight_decay and any(out):
            raise ConversionError(
                "which parameters are left out of weight decay cannot be read from tf_keras, which keeps no list of them"
            )
        blocks = layout.parted(variables)
    called = [v.name for v in blocks[layout.rule.slots[0].name]]
    names = of_state(called, []) or []
    names = names if len(names) == len(called) else [str(i) for i in range(len(called))]
    return _Live(optimizer, kind, told, layout, blocks, names_of(names))


def _as_kept(own: Rule, rule: Rule) -> Rule:
    """Return the legacy optimizer's rule with what it rounds to float32 as it was before, where that is the other rule's."""
    same = {axis: getattr(rule, axis) for axis in ("decay", "momentum") if np.float32(getattr(rule, axis)) == getattr(own, axis)}
    return own.replace(**same)


def _rate(live: _Live, step: int) -> float:
    """Return the learning rate of the last step."""
    if live.said.lr is not None:
        return live.said.lr
    if live.kind.name == "tf-keras":
        return float(live.optimizer.learning_rate.numpy())
    rate = live.optimizer._get_hyper("learning_rate")
    last = max(step - 1, 0)
    value = float(np.asarray(rate(last) if callable(rate) and not hasattr(rate, "assign") else rate))
    config: Mapping[str, Any] = live.optimizer.get_config()
    return value / (1.0 + float(config["decay"]) * last)


def _array(variable: Any) -> Array:
    """Return a variable's numbers, copied; those of 16 bits as float32, which holds them all."""
    array = np.array(variable.numpy())
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


def _tensor(value: Array, variable: Any) -> Any:
    """Return a value that a variable takes."""
    import tensorflow as tf

    return tf.cast(value, variable.dtype)
