"""The gradient transformation: trees of arrays in, the rule over each, trees out."""

from functools import reduce
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmsprop.kernels.precision import REAL, check_precision, largest_gradient
from rmsprop.kernels.xla import advance, scalars_for
from rmsprop.optax.options import Meant
from rmsprop.parameters import COMPUTED
from rmsprop.rule import Rule, Slot

OnNonfinite = Literal["propagate", "skip"]
_COMPUTED = {"bfloat16": "float32", **COMPUTED}


class ScaleByRuleState(NamedTuple):
    """State of `scale_by_rule` and `rmsprop`: trees like the parameters, None for those that the rule does not keep.

    Arrays of 16-bit parameters are float32. Complex parameters have complex means of squares, one for each part, or with
    complex_form="modulus" the real mean of |g|².
    """

    count: jax.Array  # type: ignore[assignment]  # () int32, steps taken; the name hides tuple.count, as in optax's own states
    skipped: jax.Array | None  # () int32, steps not taken because a gradient was not finite; None without on_nonfinite="skip"
    square_avg: Any = None  # v, mean of g²
    variance: Any = None  # v - m², in square_avg's place where the rule is centered in the form "variance"
    grad_avg: Any = None  # m, mean of g
    momentum_buffer: Any = None  # b, mean of lr·g/denominator, or of g/denominator without lr_in_momentum


def transformation(asked: Meant, rate: Any, sign: Literal[1, -1], on_nonfinite: str) -> optax.GradientTransformationExtraArgs:
    """Return the pair of init and update.

    Args:
        asked: the rule and its numbers.
        rate: learning rate: a number, an array or a schedule.
        sign: 1 for updates along the gradient, to be scaled by -lr; -1 for updates to be added to the parameters.
        on_nonfinite: as for `rmsprop`.
    """
    if on_nonfinite not in get_args(OnNonfinite):
        allowed = " or ".join(map(repr, get_args(OnNonfinite)))
        raise ValueError(
            f"on_nonfinite must be {allowed}, got {on_nonfinite!r}; a traced step cannot raise, but counts in `skipped`"
        )
    rule = asked.rule
    names = [slot.name for slot in rule.slots]
    decays = rule.switches["COUPLED"] or rule.switches["DECOUPLED"]

    def init(params: optax.Params) -> ScaleByRuleState:
        for path, p in jax.tree_util.tree_leaves_with_path(params):
            check_precision(rule, _computed(path, p), rate if isinstance(rate, float) else 0.0, flushed=True)
        trees = {slot.name: jax.tree.map(lambda p, slot=slot: _initial(asked, slot, p), params) for slot in rule.slots}
        return ScaleByRuleState(jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32) if on_nonfinite == "skip" else None, **trees)

    def update(
        updates: optax.Updates, state: ScaleByRuleState, params: optax.Params | None = None, **_: Any
    ) -> tuple[optax.Updates, ScaleByRuleState]:
        if decays and params is None:
            raise ValueError("weight decay needs the parameters: call update(updates, state, params)")
        paths: Any
        tree: Any
        paths, tree = jax.tree_util.tree_flatten_with_path(getattr(state, names[0]))
        grads = _like(tree, updates, "updates")
        ps = _like(tree, params, "params") if decays else [None] * len(grads)
        olds = list(zip(*(_like(tree, getattr(state, name), name) for name in names), strict=True))
        wides = [None if g is None else _widened(rule, paths[i][0], g, olds[i]) for i, g in enumerate(grads)]
        lr = rate(state.count) if callable(rate) else rate
        scalars = {real: scalars_for(rule, lr, asked.numbers, state.count, real) for real in {_real(old[0].dtype) for old in olds}}

        moves, news = list(grads), list(olds)
        for i, (wide, p, old) in enumerate(zip(wides, ps, olds, strict=True)):
            if wide is not None:  # an array without a gradient is left alone
                p = None if p is None else jnp.asarray(p).astype(wide.dtype)
                by, news[i] = advance(rule, wide, p, old, scalars[_real(old[0].dtype)])
                moves[i] = (-by if sign == 1 else by).astype(jnp.result_type(grads[i]))
        count: Any = optax.safe_increment(state.count)
        skipped: Any = state.skipped
        if on_nonfinite == "skip":
            ok = _usable(rule, wides)
            moves = [None if u is None else jnp.where(ok, u, jnp.zeros_like(u)) for u in moves]
            news = [tuple(jnp.where(ok, *pair) for pair in zip(new, old, strict=True)) for new, old in zip(news, olds, strict=True)]
            count, skipped = jnp.where(ok, count, state.count), jnp.where(ok, skipped, optax.safe_increment(skipped))
        trees = {name: tree.unflatten([new[k] for new in news]) for k, name in enumerate(names)}
        return tree.unflatten(moves), ScaleByRuleState(count, skipped, **trees)

    return optax.GradientTransformationExtraArgs(init, update)


def _computed(path: Any, p: Any) -> str:
    """Return the dtype in which a parameter is computed, or refuse it."""
    kind = jnp.result_type(p).name
    if kind not in _COMPUTED:
        raise TypeError(
            f"parameter {_name(path)} must be one of {', '.join(_COMPUTED)}, got {kind}; leave it out with optax.masked"
        )
    return _COMPUTED[kind]


def _initial(asked: Meant, slot: Slot, p: Any) -> Any:
    """Return the array of a slot before the first step."""
    kind = jnp.dtype(_COMPUTED[jnp.result_type(p).name])
    value = asked.first if slot.argument == "v" else slot.initial
    if kind.kind == "c" and slot.real:
        if asked.rule.complex_form == "modulus":
            kind = _real(kind)
        else:
            value = value * (1 + 1j)  # a mean for each part
    return jnp.full_like(p, value, kind)


def _real(kind: Any) -> Any:
    """Return the dtype of the real numbers that those of a dtype are made of."""
    return np.dtype(REAL.get(kind.name, kind.name))


def _like(tree: Any, values: Any, what: str) -> list[Any]:
    """Return what another tree has in the places of a tree's leaves; None is there where a parameter has no gradient."""
    try:
        return list(tree.flatten_up_to(values))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{what} must have the structure of the parameters that init was given, {tree}: {error}") from error


def _widened(rule: Rule, path: Any, g: Any, old: tuple[Any, ...]) -> Any:
    """Return a gradient in the dtype of the arithmetic, or refuse it."""
    kind, v = jnp.result_type(g), old[0]
    if not jnp.issubdtype(kind, jnp.inexact):
        raise TypeError(
            f"the gradient of {_name(path)} must be of a floating or complex dtype, got {kind}; leave it out with optax.masked"
        )
    if jnp.shape(g) != v.shape:
        raise ValueError(f"the gradient of {_name(path)} must have shape {v.shape}, got {jnp.shape(g)}")
    complex_ = jnp.issubdtype(kind, jnp.complexfloating)
    # Under "modulus" v is real in any case, and the other arrays tell.
    tells = old if rule.complex_form == "parts" else old[1:]
    if any(jnp.iscomplexobj(array) != complex_ for array in tells):
        wanted, found = ("real", "complex") if complex_ else ("complex", "real")
        raise TypeError(f"the gradient of {_name(path)} must be {wanted} as the parameter is, got {kind}, which is {found}")
    return jnp.asarray(g).astype(jnp.result_type(_real(v.dtype), jnp.complex64) if complex_ else _real(v.dtype))


def _usable(rule: Rule, wides: list[Any]) -> Any:
    """Return whether all gradients, and the squares that the rule takes of them, are finite."""
    parts = [part for g in wides if g is not None for part in ((g.real, g.imag) if jnp.iscomplexobj(g) else (g,))]
    limits = [largest_gradient(rule, jnp.dtype(part.dtype).name) for part in parts]
    return reduce(
        jnp.logical_and, [jnp.all(jnp.abs(part) <= limit) for part, limit in zip(parts, limits, strict=True)], jnp.bool(True)
    )


def _name(path: Any) -> str:
    """Return how a message calls an array of a tree."""
    return jax.tree_util.keystr(path) or "(the only array)"
