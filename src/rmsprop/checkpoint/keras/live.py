"""Live optimizers of Keras 3: `keras.optimizers.RMSprop` and `rmsprop.keras.RMSprop`, on any backend."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from rmsprop.checkpoint.canonical import Array, Group, State
from rmsprop.checkpoint.errors import ConversionError, UsageError
from rmsprop.checkpoint.keras.config import Said, one_rate, refuse_differences, said
from rmsprop.checkpoint.keras.layout import PENDING, Layout, filled, group, one_count, steps
from rmsprop.checkpoint.kinds import KINDS, Kind, Told
from rmsprop.checkpoint.moving import carried, moved


class _Live(NamedTuple):
    """An optimizer that was built."""

    wrapper: Any  # the LossScaleOptimizer around it, or None
    optimizer: Any
    kind: Kind
    said: Said
    layout: Layout
    blocks: dict[str, list[Any]]
    names: list[str]
    decayed: list[bool]  # whether weight decay reaches each parameter

    @property
    def parts(self) -> list[list[str]]:
        """The names of parameters with weight decay, and of those without, unless there are none."""
        parts = [[name for name, on in zip(self.names, self.decayed, strict=True) if on is way] for way in (True, False)]
        return [part for part in parts if part]


def capture(source: Any, kind: Kind | None, told: Told) -> State:
    """Return the state of an optimizer of Keras.

    A LossScaleOptimizer's scale goes along as an option. Variables that Keras overwrites with their gradients have no state.

    Args:
        source: the optimizer, which has to be built.
        kind: ignored, as the optimizer tells.
        told: nothing is needed but names, where variables have the same paths.

    Raises:
        UsageError: it is another optimizer, or something was said that it holds itself.
        ConversionError: it was not built, or has gathered gradients for a step that is not taken yet.
    """
    live = _live(source)
    told.refuse_rule(live.kind.optimizer)
    names = live.names if told.names is None else list(told.names)
    if len(names) != len(live.names):
        raise UsageError(f"the optimizer has {len(live.names)} parameters, got {len(names)} names")
    blocks = {block: [_array(v) for v in variables] for block, variables in live.blocks.items()}
    batches = int(_array(live.optimizer.variables[0]))
    step = steps(batches, live.said.every, blocks.get(PENDING, ()), live.kind.optimizer)
    options: dict[str, Any] = dict(live.said.options)
    if live.wrapper is not None:
        scale, counter = live.wrapper.dynamic_scale, live.wrapper.step_counter
        options["loss_scale"] = {"dynamic_scale": float(_array(scale)), "step_counter": int(_array(counter))}
    groups = []
    for on in (True, False):
        chosen = [i for i, way in enumerate(live.decayed) if way is on]
        rule = live.said.rule if on else live.said.rule.replace(weight_decay=0.0)
        held = {block: [arrays[i] for i in chosen] for block, arrays in blocks.items()}
        if chosen:
            layout = live.layout._replace(rule=rule)
            groups.append(group(layout, _rate(live.optimizer, batches), step, [names[i] for i in chosen], held, options))
    return State(tuple(groups), 0, live.kind.optimizer, told.allow_nan)


def restore(target: Any, state: State) -> Any:
    """Put a state into an optimizer of Keras.

    The optimizer has to have the state's rule, which decides about its variables: `arguments(state)` makes such a one. It takes the
    learning rate unless it has a schedule. A moving average of the parameters that it does not keep is left out.

    Args:
        target: the optimizer, which has to be built.
        state: a state of the same parameters.

    Raises:
        UsageError: it is another optimizer.
        ConversionError: it was not built, or the state is of another rule or other parameters; nothing was changed.
    """
    live = _live(target)
    what = live.kind.optimizer
    shapes = {name: tuple(v.shape) for name, v in zip(live.names, live.blocks[live.layout.blocks[-1]], strict=True)}
    arranged = moved(state, live.kind).arranged(live.parts, shapes)
    # Both forms of the variance mean the same, and ours keeps the one that it was made with.
    form = {"centered_form": live.said.rule.centered_form}
    arranged = arranged.replace(groups=tuple(carried(g, g.rule.replace(**form)) if g.rule.centered else g for g in arranged.groups))
    step = one_count(list(arranged.parameters), what)
    for there in arranged.groups:
        one_rate(there, arranged.groups[0])
        _check_rule(live, state, there, step)
    held = {p.name: p for p in arranged.parameters}
    ordered = [held[name] for name in live.names]
    variables = [v for block in live.layout.blocks for v in live.blocks[block]]
    values = [fitting(a, _dtype(v), v.path) for a, v in zip(filled(live.layout, ordered, what), variables, strict=True)]
    count, counter = step * live.said.every, live.optimizer.variables[0]
    if count > np.iinfo(_dtype(counter)).max:
        raise ConversionError(f"{what} counts batches in {_dtype(counter)}, and this state has {count}")
    loss_scale = state.groups[0].options.get("loss_scale") if live.wrapper is not None and state.groups else None
    lr = arranged.groups[0].lr if arranged.groups else None
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    counter.assign(count)
    if live.layout.rate and lr is not None:
        live.optimizer.learning_rate = lr
    if loss_scale is not None:
        live.wrapper.dynamic_scale.assign(float(loss_scale["dynamic_scale"]))
        live.wrapper.step_counter.assign(int(loss_scale["step_counter"]))
    return target


def fitting(array: Array, dtype: str, what: str) -> Array:
    """Return an array that a variable takes without rounding, or refuse it.

    Args:
        array: the array.
        dtype: name of the variable's dtype; bfloat16 is taken as float32, of which it has the upper half.
        what: what a message calls the variable.
    """
    if np.iscomplexobj(array):
        raise ConversionError(f"{what!r} keeps real numbers, and the state has complex ones")
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            cast = (np.asarray(array, np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
        else:
            cast = np.asarray(array, dtype)
    if not np.array_equal(cast, array, equal_nan=True):
        raise ConversionError(
            f"{what!r} is {dtype}, and would round the state's {array.dtype}; train in {array.dtype}, or use rmsprop.keras, which "
            "keeps the state of 16-bit variables in float32"
        )
    return cast


def _live(source: Any) -> _Live:
    """Return an optimizer's parts, or refuse another one than RMSprop, and one that was not built."""
    import keras

    wrapper = source if isinstance(source, keras.optimizers.LossScaleOptimizer) else None
    optimizer = source if wrapper is None else wrapper.inner_optimizer
    ours = any(cls.__module__.startswith("rmsprop.keras") for cls in type(optimizer).__mro__)
    if not ours and not isinstance(optimizer, keras.optimizers.RMSprop):
        raise UsageError(
            f"a {type(optimizer).__name__} is none of keras.optimizers.RMSprop and rmsprop.keras.RMSprop, whose states are known"
        )
    kind = KINDS["rmsprop.keras" if ours else "keras"]
    if not source.built or not optimizer.built:
        raise ConversionError("the optimizer has no variables yet; call optimizer.build(model.trainable_variables) first")
    try:
        told = said(optimizer.get_config(), kind)
    except (KeyError, TypeError, ValueError) as error:
        raise ConversionError(f"the optimizer's own arguments are not those of a rule: {error}") from None
    rate = isinstance(optimizer._learning_rate, keras.Variable)
    layout = Layout(told.rule, rate, told.averaged, told.every > 1)
    # Keras has no public way to an optimizer's parameters.
    trained = [v for v in optimizer._trainable_variables if not getattr(v, "overwrite_with_gradient", False)]
    if told.every > 1 and len(trained) != len(optimizer._trainable_variables):
        raise ConversionError("gathered gradients of variables that are overwritten with their gradients are not known to be read")
    blocks = layout.parted(optimizer.variables)
    decayed = [told.rule.weight_decay == 0 or bool(optimizer._use_weight_decay(v)) for v in trained]
    return _Live(wrapper, optimizer, kind, told, layout, blocks, names_of([v.path for v in trained]), decayed)


def names_of(paths: Sequence[str]) -> list[str]:
    """Return names that are all different: the paths of variables, or their indices.

    >>> names_of(["dense/kernel", "dense/bias"]), names_of(["w", "w"])
    (['dense/kernel', 'dense/bias'], ['0', '1'])
    """
    return list(paths) if len(set(paths)) == len(paths) else [str(i) for i in range(len(paths))]


def _check_rule(live: _Live, state: State, there: Group, step: int) -> None:
    """Refuse an optimizer that would step some parameters otherwise than by their rule."""
    if not there.parameters:
        return
    on = live.decayed[live.names.index(there.parameters[0].name)]
    rule = live.said.rule if on else live.said.rule.replace(weight_decay=0.0)
    names = "all parameters" if len(there.parameters) == len(live.names) else ", ".join(p.name for p in there.parameters[:3])
    refuse_differences(state, there.rule, rule, live.kind, names, begun=step > 0)


def _rate(optimizer: Any, batches: int) -> float:
    """Return the learning rate of the last step; of a schedule what it had for the last batch."""
    import keras

    rate = optimizer._learning_rate
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = rate(max(batches - 1, 0))
    elif callable(rate) and not isinstance(rate, keras.Variable):
        rate = rate()
    return float(_array(rate))


def _array(value: Any) -> Array:
    """Return a variable's or a tensor's numbers, copied; those of 16 bits as float32, which holds them all."""
    import keras

    array = np.array(keras.ops.convert_to_numpy(value))
    return array.astype(np.float32) if array.dtype.name in ("float16", "bfloat16") else array


def _dtype(variable: Any) -> str:
    """Return the name of a variable's dtype."""
    import keras

    return str(keras.backend.standardize_dtype(variable.dtype))
