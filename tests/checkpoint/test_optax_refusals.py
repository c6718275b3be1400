"""What is refused of optax's states, what the message says to do, and that nothing has changed then."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import rmsprop
import rmsprop.optax
from rmsprop import checkpoint
from rmsprop.checkpoint import ConversionError, UsageError
from rmsprop.checkpoint.optax import arguments
from tests.checkpoint.optaxes import draw, same

P = {"w": jnp.ones(3, "float32"), "b": jnp.zeros((), "float32")}
LABELS = {"w": "a", "b": "b"}


def rms(**options: Any) -> Any:
    return optax.rmsprop(0.1, **options).init(P)


INJECTED = optax.inject_hyperparams(optax.rmsprop)(0.1, momentum=0.5)
ORDERLESS = optax.chain(optax.scale_by_rms(), optax.clip(1.0), optax.trace(0.9), optax.scale(-0.1))
MOMENTUM = {"lr": 0.1, "step": 0, "momentum": 0.9}
SAID: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no lr": (rms(), {"step": 3}, r"a state of optax\.rmsprop holds no learning rate; say the one of its last step, as lr=0\.01"),
    "no step": (rms(), {"lr": 0.1}, r"does not count its steps; say them, as step=1000"),
    "no momentum": (
        rms(momentum=0.9),
        {"lr": 0.1, "step": 0},
        r"keeps a momentum buffer; say its momentum, as momentum=0\.9 or --set momentum=0\.9",
    ),
    "momentum": (
        rms(),
        MOMENTUM,
        r"momentum is 0\.9, and this state of optax keeps no momentum buffer; say what its constructor was",
    ),
    "centered": (rms(), {"lr": 0.1, "step": 0, "centered": True}, r"centered was said to be True, and .* that of centered=False"),
    "uncentered": (rms(centered=True), {"lr": 0.1, "step": 0, "centered": False}, "that of centered=True; leave it out"),
    "bias": (rms(), {"lr": 0.1, "step": 0, "bias_correction": True}, "that of bias_correction=False; leave it out"),
    "form": (rms(centered=True), {"lr": 0.1, "step": 0, "centered_form": "variance"}, "that of centered_form='difference'"),
    "a rule": (rms(), {"lr": 0.1, "step": 0, "dialect": rmsprop.Rule(centered=True)}, "that of centered=False"),
    "order": (rms(momentum=0.9), {**MOMENTUM, "lr_in_momentum": False}, "that of lr_in_momentum=True; leave it out"),
    "no order": (ORDERLESS.init(P), MOMENTUM, r"the order of .* does not show .* say lr_in_momentum=True if it does, as in optax"),
    "step twice": (rms(bias_correction=True), {"lr": 0.1, "step": 0}, "this state of optax holds step itself; leave it out"),
    "lr twice": (INJECTED.init(P), {"lr": 0.1}, "this state of optax holds lr itself; leave it out"),
    "decay twice": (INJECTED.init(P), {"decay": 0.9}, "this state of optax holds decay itself; leave it out"),
    "decay": (rms(), {"lr": 0.1, "step": 0, "decay": 2.0}, r"decay must be in \[0, 1\), got 2\.0"),
    "kind": (
        rms(),
        {"lr": 0.1, "step": 0, "kind": "rmsprop.optax"},
        r"is of optax\.rmsprop, and was said to be of rmsprop\.optax\.rms",
    ),
    "nothing": (
        (optax.EmptyState(),),
        {},
        "there is no state of RMSprop in it: none of scale_by_rms, scale_by_stddev or scale_by_rule",
    ),
    "two": (
        optax.named_chain(("a", optax.rmsprop(0.1)), ("b", optax.rmsprop(0.1))).init(P),
        {},
        "there are states of several optimizers, 'a', 'b'; pass one of them",
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_said_must_be_what_was_done(name: str) -> None:
    state, told, message = SAID[name]
    with pytest.raises(UsageError, match=message):
        checkpoint.capture(state, **told)


def taken(state: Any) -> Any:
    """Return a state after a step that MultiSteps has only gathered for."""
    return state._replace(mini_step=jnp.int32(1))


HELD: dict[str, tuple[Any, str]] = {
    "adam": (
        optax.adam(0.1).init(P),
        r"ScaleByAdamState is no state of RMSprop, and would be lost; take the part that is RMSprop's",
    ),
    "adam beside": (
        optax.partition({"a": optax.rmsprop(0.1), "b": optax.adam(0.1)}, LABELS).init(P),
        r"ScaleByAdamState .* lost \(under 'b'\); .* such as state\.inner_states\['label'\] of optax\.partition",
    ),
    "momentum of sgd": (
        optax.partition({"a": optax.rmsprop(0.1), "b": optax.sgd(0.1, 0.9)}, LABELS).init(P),
        r"TraceState holds a momentum buffer of something else than g/denominator: .* in the same chain \(under 'b'\)",
    ),
    "momentum ahead": (optax.chain(optax.trace(0.9), optax.rmsprop(0.1)).init(P), "it must come once, after the RMSprop state"),
    "two in a chain": (optax.chain(optax.rmsprop(0.1), optax.rmsprop(0.1)).init(P), "two RMSprop states stand in one chain"),
    "two buffers": (
        optax.chain(rmsprop.optax.scale_by_rule(), optax.trace(0.9)).init(P),
        "a second momentum buffer, optax's TraceState",
    ),
    "an average": (optax.chain(optax.ema(0.9), optax.rmsprop(0.1)).init(P), "EmaState is no state of RMSprop"),
    "gathered": (taken(optax.MultiSteps(optax.rmsprop(0.1), 2).init(P)), "gathered gradients that it has not stepped with yet"),
    "a batch": (
        jax.vmap(optax.rmsprop(0.1, bias_correction=True).init)(jax.tree.map(lambda x: jnp.stack([x, x]), P)),
        r"the count of steps must be one real number, got int32 of shape \(2,\); of a batch of states, as jax\.vmap makes",
    ),
    "other names": ((optax.ScaleByRStdDevState(mu=P, nu={"w": P["w"]}),), r"'b' is not in all trees of the state"),
    "integers": (
        (optax.ScaleByRmsState(nu={"w": jnp.arange(3)}),),
        r"'square_avg' of 'w' must be an array of real or complex numbers",
    ),
    "negative": ((optax.ScaleByRmsState(nu={"w": -jnp.ones(3)}),), "has negative values, which a mean of squares cannot have"),
    "not finite": ((optax.ScaleByRmsState(nu={"w": jnp.nan * jnp.ones(3)}),), "is not finite; .* pass allow_nan=True"),
    "imaginary": ((optax.ScaleByRmsState(nu={"w": 1j * jnp.ones(3)}),), "has an imaginary part, which no step leaves behind"),
    "one name": ((optax.ScaleByRmsState(nu={"a/b": P["w"], "a": {"b": P["w"]}}),), "two arrays are called 'a/b': a key holds '/'"),
}


@pytest.mark.parametrize("name", HELD)
def test_what_is_held_must_be_rmsprops(name: str) -> None:
    state, message = HELD[name]
    with pytest.raises(ConversionError, match=message):
        checkpoint.capture(state, lr=0.1, **({} if name == "a batch" else {"step": 3}))


def test_a_traced_state_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"cannot be captured while it is traced; call capture outside of jit, scan, vmap and grad"
    ):
        jax.jit(lambda state: checkpoint.capture(state, lr=0.1, step=0) and state)(rms())


def captured(dtype: str = "float32", lr: float = 0.1, step: int = 4, late: int = 0, **axes: Any) -> checkpoint.State:
    rule = rmsprop.dialect("optax", **axes)
    p = {"w": np.ones(3, dtype), "b": np.zeros((), dtype)}
    arrays = {name: {slot.name: np.full_like(a, 0.1) for slot in rule.slots} for name, a in p.items()}
    steps = {"w": step, "b": step + late}
    parameters = tuple(checkpoint.Parameter(name, steps[name], slots) for name, slots in arrays.items())
    return checkpoint.State((checkpoint.Group(rule, lr, parameters),))


MISFITS: dict[str, tuple[Any, checkpoint.State, str]] = {
    "centered": (
        rms(),
        captured(centered=True),
        r"the state's rule has centered=True, and the target centered=False; construct .* with",
    ),
    "bias": (
        rms(),
        captured(bias_correction=True),
        r"has bias_correction=True, and the target bias_correction=False; construct the",
    ),
    "no bias": (rms(bias_correction=True), captured(), "has bias_correction=False, and the target bias_correction=True"),
    "momentum": (rms(), captured(momentum=0.9), r"has momentum=0\.9, and the target keeps no momentum buffer; construct the"),
    "no momentum": (rms(momentum=0.9), captured(), "has momentum=0, and the target keeps a momentum buffer"),
    "decay of weights": (rms(), captured(weight_decay=0.1), r"no option for it.* use 'rmsprop\.optax', which takes every rule"),
    "lr = 0": (rms(momentum=0.9), captured(momentum=0.9, lr_in_momentum=False, lr=0.0), "cannot move at lr = 0"),
    "finer": (
        rms(),
        captured("float64"),
        r"'square_avg' of 'b' would be rounded from float64 to float32; call init with parameters of f",
    ),
    "numbers": (
        optax.inject_hyperparams(optax.rmsprop)(0.5).init(jax.tree.map(lambda x: x.astype(jnp.bfloat16), P)),
        captured(),
        "would be rounded from float32 to bfloat16",
    ),
    "shape": (
        optax.rmsprop(0.1).init({"w": jnp.ones(2, "float32"), "b": P["b"]}),
        captured(),
        r"has shape \(3,\) and 'w' has \(2,\)",
    ),
    "names": (optax.rmsprop(0.1).init({"w": P["w"], "c": P["b"]}), captured(), "the state lacks 'c'; map the names"),
    "steps": (
        rmsprop.optax.rmsprop(0.1).init(P),
        captured(late=3),
        "has taken 4 to 7 with them; use rmsprop.torch, which counts each",
    ),
    "bare": (
        rms(),
        checkpoint.State((checkpoint.Group(rmsprop.dialect("optax"), 0.1, tuple(checkpoint.Parameter(n, 0, {}) for n in P)),)),
        "the state has no arrays for 'b', which no step has reached yet",
    ),
    "variance": (optax.chain(optax.clip(1.0)).init(P), captured(), "there is no state of RMSprop in it"),
    "count": (rms(bias_correction=True), captured(bias_correction=True, step=2**40), "and the target's int32 ends at 2147483647"),
    "complex": (
        optax.rmsprop(0.1, centered=True).init({"w": 1j * P["w"], "b": 1j * P["b"]}),
        captured(centered=True),
        "'grad_avg' of 'b' is real, and the target's is complex; the parameters differ",
    ),
    "gathered": (taken(optax.MultiSteps(optax.rmsprop(0.1), 2).init(P)), captured(), "restore into what its init returns"),
    "adam": (optax.adam(0.1).init(P), captured(), "ScaleByAdamState is no state of RMSprop"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_a_target_is_refused(name: str) -> None:
    target, state, message = MISFITS[name]
    before = jax.tree.map(lambda x: x + 0 if x.dtype != bool else x, target)
    with pytest.raises((ConversionError, UsageError), match=message):
        checkpoint.restore(target, state)
    assert same(before, target)


def test_numbers_of_16_bits_must_be_exact() -> None:
    p = jax.tree.map(lambda x: x.astype(jnp.bfloat16), P)
    target = optax.inject_hyperparams(optax.rmsprop)(0.5, decay=0.75, eps=2**-10).init(p)
    state = checkpoint.capture(target)
    assert same(checkpoint.restore(target, state), target)
    group = state.groups[0]
    other = checkpoint.State((checkpoint.Group(group.rule.replace(decay=0.9), group.lr, group.parameters),))
    with pytest.raises(ConversionError, match="decay would be rounded from float64 to bfloat16"):
        checkpoint.restore(target, other)


def test_double_precision_needs_x64() -> None:
    with jax.enable_x64(True):
        target = optax.rmsprop(0.1).init({"w": jnp.ones(3, "float64"), "b": jnp.zeros((), "float64")})
    with jax.enable_x64(False), pytest.raises(ConversionError, match=r"only under jax\.enable_x64\(\); restore the state under it"):
        checkpoint.restore(target, captured("float64"))


def test_complex_parts_have_no_place_in_optax() -> None:
    optimizer = rmsprop.optax.rmsprop(0.1, "pytorch")
    state = checkpoint.capture(optimizer.init({"w": 1j * P["w"], "b": 1j * P["b"]}), lr=0.1, dialect="optax", complex_form="parts")
    with pytest.raises(ConversionError, match="has complex_form='modulus' and no option for it"):
        checkpoint.restore(rms(), state)


def test_arguments() -> None:
    assert arguments(captured(momentum=0.5, centered=True, eps_place="outside"), to="optax") == {
        "learning_rate": 0.1,
        "decay": 0.9,
        "eps": 1e-8,
        "initial_scale": 0.0,
        "eps_in_sqrt": False,
        "centered": True,
        "momentum": 0.5,
        "nesterov": False,
        "bias_correction": False,
    }
    state = captured(momentum=0.5, weight_decay=0.25)
    assert arguments(state) == {"learning_rate": 0.1, "dialect": state.groups[0].rule}
    rmsprop.optax.rmsprop(**arguments(state))
    with pytest.raises(ConversionError, match=r"has weight_decay=0\.0 and no option for it"):
        arguments(state, to="optax")
    with pytest.raises(UsageError, match=r"to must be 'rmsprop\.optax' or 'optax', got 'pytorch'"):
        arguments(state, to="pytorch")


def test_a_look_asks_for_nothing() -> None:
    from rmsprop.checkpoint.kinds import Told
    from rmsprop.checkpoint.optax import capture

    unsaid: list[str] = []
    state = capture(ORDERLESS.init(draw(0, "float32")), None, Told(unsaid=unsaid))
    assert list(dict.fromkeys(unsaid)) == ["lr", "step", "rule", "momentum", "lr_in_momentum"]
    assert state.groups[0].lr is None
