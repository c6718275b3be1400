"""Every way to run the rule, as one function: (rule, p, gradients, learning rates) to p and the state after each step."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import rmsprop
from rmsprop import Rule, optimizer
from rmsprop.kernels.precision import floor
from rmsprop.parameters import COMPUTED
from rmsprop.rule import bind

Trace = list[dict[str, np.ndarray]]
Implementation = Callable[[Rule, np.ndarray, Sequence[np.ndarray], Sequence[float]], Trace]


def _optimizer(small: int) -> Implementation:
    """Return the NumPy optimizer, with models of up to `small` numbers on the reference and others on the compiled pass."""

    def run(rule: Rule, p: np.ndarray, grads: Sequence[np.ndarray], lrs: Sequence[float]) -> Trace:
        p = p.copy(order="K")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(optimizer, "SMALL", small)
            stepper = rmsprop.RMSprop(p, lrs.__getitem__, rule, on_nonfinite="propagate")
        trace = []
        for g in grads:
            stepper.step(g)
            trace.append({"p": p.copy()} | {slot: array.copy() for slot, array in stepper.state.items()})
        return trace

    return run


def _functional(step: Callable[..., Any], array: Callable[[Any], Any]) -> Implementation:
    """Return a loop around a function that maps arrays to arrays.

    Args:
        step: given (rule, real dtype), returns a function of `update`'s arguments.
        array: makes the framework's array of a NumPy one.
    """

    def run(rule: Rule, p: np.ndarray, grads: Sequence[np.ndarray], lrs: Sequence[float]) -> Trace:
        computed = np.dtype(COMPUTED[p.dtype.name])
        real = np.empty(0, computed).real.dtype
        if computed.kind == "c" and rule.complex_form == "parts":
            one = run(rule, p.real.copy(), [g.real.copy() for g in grads], lrs)
            other = run(rule, p.imag.copy(), [g.imag.copy() for g in grads], lrs)
            return [{k: a[k] + a[k].dtype.type(0) + 1j * b[k] for k in a} for a, b in zip(one, other, strict=True)]
        one_step = step(rule, real)
        initial = {slot.argument: slot.initial for slot in rule.slots}
        state = [array(p.astype(computed)), array(np.full(p.shape, initial["v"], real))]
        state += [array(np.zeros(p.shape, computed)) for _ in "mb"]
        trace = []
        for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), 1):
            scalars = np.array(rule.scalars(lr, t), real)
            state = list(one_step(state[0], array(g.astype(computed)), *state[1:], *scalars))
            state[0] = array(np.asarray(state[0]).astype(p.dtype).astype(computed))
            kept = {"p": np.asarray(state[0]).astype(p.dtype)}
            kept |= {slot.name: np.asarray(state["pvmb".index(slot.argument)]) for slot in rule.slots}
            trace.append(kept)
        return trace

    return run


def _jax() -> Implementation:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy

    def step(rule: Rule, real: np.dtype[Any]) -> Any:
        least = floor(real.name)

        def flush(z: Any) -> Any:
            if jnp.iscomplexobj(z):
                return jax.lax.complex(flush(z.real), flush(z.imag))
            return jnp.where(jnp.abs(z) < least, jnp.zeros_like(z), z)

        return bind(rule, sqrt=jnp.sqrt, flush=flush, compile=jax.jit)

    return _functional(step, jnp.asarray)


def _optax() -> Implementation:
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    optax = pytest.importorskip("optax", reason="optax is not installed")
    jax.config.update("jax_enable_x64", True)
    import rmsprop.optax

    def run(rule: Rule, p: np.ndarray, grads: Sequence[np.ndarray], lrs: Sequence[float]) -> Trace:
        table = jax.numpy.asarray(lrs, np.float64)
        stepper = rmsprop.optax.rmsprop(lambda count: table[count], rule)

        @jax.jit
        def step(p: Any, g: Any, state: Any) -> Any:
            updates, state = stepper.update(g, state, p)
            return optax.apply_updates(p, updates), state

        p, state = jax.numpy.asarray(p), stepper.init(jax.numpy.asarray(p))
        trace = []
        for g in grads:
            # Updates have the dtype of the gradients: in float16 they would be rounded before p is.
            p, state = step(p, jax.numpy.asarray(g.astype(COMPUTED[g.dtype.name])), state)
            trace.append({"p": np.asarray(p)} | {slot.name: np.asarray(getattr(state, slot.name)) for slot in rule.slots})
        return trace

    return run


def _torch(**options: Any) -> Callable[[], Implementation]:
    """Return what makes the PyTorch optimizer with some options; two parameters, so that they may be taken together."""

    def make() -> Implementation:
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        from rmsprop.torch import RMSprop

        def run(rule: Rule, p: np.ndarray, grads: Sequence[np.ndarray], lrs: Sequence[float]) -> Trace:
            pair = [torch.from_numpy(p.copy()).requires_grad_() for _ in range(2)]
            stepper = RMSprop(pair, lr=lrs[0], dialect=rule, **options)
            trace = []
            for g, lr in zip(grads, lrs, strict=True):
                stepper.param_groups[0]["lr"] = lr
                for one in pair:
                    one.grad = torch.from_numpy(g.copy())
                stepper.step()
                state = stepper.state[pair[1]]
                trace.append(
                    {"p": pair[1].detach().numpy().copy()} | {slot.name: state[slot.name].numpy().copy() for slot in rule.slots}
                )
            return trace

        return run

    return make


IMPLEMENTATIONS: dict[str, Callable[[], Implementation]] = {
    "reference": lambda: _optimizer(10**9),
    "compiled": lambda: _optimizer(-1),
    "jax": _jax,
    "torch": _torch(fused=True),
    "torch, tensor by tensor": _torch(fused=False),
    "torch, together": _torch(fused=False, foreach=True),
    "optax": _optax,
}


def chunks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the same numbers in every layout that an array may have."""
    yield array.copy()
    yield np.asfortranarray(array)
    wide = np.zeros((*array.shape[:-1], array.shape[-1] * 2), array.dtype)
    wide[..., ::2] = array
    yield wide[..., ::2]
    yield array[..., ::-1].copy()[..., ::-1]
    yield array.astype(array.dtype.newbyteorder())
