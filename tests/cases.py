"""What the contract is tested over, and the truth that it is tested against."""

from collections.abc import Sequence
from typing import Any

import mpmath
import numpy as np

import rmsprop
from rmsprop import Rule
from rmsprop.rule import bind

# Every dialect as it is, and every axis away from its default, alone and in company.
RULES: dict[str, Rule] = {name: rmsprop.dialect(name) for name in rmsprop.dialect_names()} | {
    "momentum": rmsprop.dialect("article", momentum=0.9),
    "momentum, lr outside": rmsprop.dialect("pytorch", momentum=0.9),
    "nesterov": rmsprop.dialect("article", momentum=0.9, nesterov=True),
    "nesterov, lr outside": rmsprop.dialect("pytorch", momentum=0.9, nesterov=True),
    "centered": rmsprop.dialect("pytorch", centered=True),
    "centered by difference": rmsprop.dialect("pytorch", centered=True, centered_form="difference"),
    "centered, momentum": rmsprop.dialect("tf1", centered=True, momentum=0.9),
    "bias correction": rmsprop.dialect("optax", bias_correction=True),
    "bias correction, centered": rmsprop.dialect("optax", bias_correction=True, centered=True),
    "bias correction, centered by difference": rmsprop.dialect(
        "optax", bias_correction=True, centered=True, centered_form="difference", eps=1e-3
    ),
    "keras-legacy, momentum": rmsprop.dialect("keras-legacy", momentum=0.9),
    "mxnet, centered": rmsprop.dialect("mxnet", centered=True),
    "coupled decay": rmsprop.dialect("pytorch", weight_decay=0.1),
    "coupled decay, maximize": rmsprop.dialect("pytorch", weight_decay=0.1, maximize=True),
    "decoupled decay": rmsprop.dialect("article", weight_decay=0.01, weight_decay_form="decoupled"),
    "decoupled decay by lr": rmsprop.dialect("keras", weight_decay=0.1),
    "everything": rmsprop.dialect(
        "optax", centered=True, momentum=0.9, nesterov=True, bias_correction=True, weight_decay=0.1, maximize=True
    ),
    "modulus, everything": rmsprop.dialect(
        "optimisers-jl", centered=True, momentum=0.9, weight_decay=0.1, weight_decay_form="decoupled_lr"
    ),
}
LRS = (0.01, 0.01, 0.003, 0.02, 0.005)


def gradients(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, steps: int = len(LRS)) -> list[np.ndarray]:
    """Return gradients that differ by many orders of magnitude, with zeros and repeats among them."""
    kind = np.dtype(dtype)
    spread = 2 if dtype == "float16" else 6
    found = []
    for _ in range(steps):
        g = rng.standard_normal(shape) * 10.0 ** rng.integers(-spread, spread, shape)
        if kind.kind == "c":
            g = g + 1j * rng.standard_normal(shape)
        g = np.where(rng.random(shape) < 0.1, 0, g)
        found.append(np.asarray(g, dtype=kind))
    return found


def parameters(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Return parameters of the order of 1."""
    p = rng.standard_normal(shape)
    if np.dtype(dtype).kind == "c":
        p = p + 1j * rng.standard_normal(shape)
    return np.asarray(p, dtype=dtype)


def truth(rule: Rule, p: np.ndarray, grads: Sequence[np.ndarray], lrs: Sequence[float]) -> list[dict[str, np.ndarray]]:
    """Return p and the state after each step, by the rule in 60 digits, as arrays of mpmath numbers.

    The scalars are those of the rule in double precision. A complex parameter under "parts" is two real ones. A float16 parameter
    is rounded after each step to what memory holds.
    """
    if np.iscomplexobj(p) and rule.complex_form == "parts":
        real = truth(rule, p.real, [g.real for g in grads], lrs)
        imag = truth(rule, p.imag, [g.imag for g in grads], lrs)
        return [{name: one[name] + 1j * other[name] for name in one} for one, other in zip(real, imag, strict=True)]
    with mpmath.workdps(60):
        step = bind(rule, sqrt=mpmath.sqrt)
        exact = np.frompyfunc(mpmath.mpmathify, 1, 1)
        initial = {slot.argument: slot.initial for slot in rule.slots}
        state: dict[str, Any] = {"p": exact(p.astype(complex) if np.iscomplexobj(p) else p.astype(float))}
        state |= {name: exact(np.full(p.shape, initial.get(name, 0.0))) for name in "vmb"}
        history = []
        for t, (g, lr) in enumerate(zip(grads, lrs, strict=True), 1):
            scalars = [mpmath.mpf(s) for s in rule.scalars(lr, t)]
            wide = exact(g.astype(complex) if np.iscomplexobj(g) else g.astype(float))
            each = np.frompyfunc(lambda *x: step(*x, *scalars), 5, 4)  # noqa: B023  # called at once
            state = dict(zip("pvmb", each(state["p"], wide, state["v"], state["m"], state["b"]), strict=True))
            if p.dtype == np.float16:
                state["p"] = exact(state["p"].astype(float).astype(p.dtype).astype(float))
            names = {slot.name: slot.argument for slot in rule.slots}
            history.append({"p": state["p"]} | {name: state[argument] for name, argument in names.items()})
        return history


def ulps(got: np.ndarray, exact: np.ndarray, scale: np.ndarray) -> float:
    """Return the largest distance between two arrays, in ulp of the numbers in scale; a complex number counts by its parts.

    Args:
        got: the result, in the dtype whose ulp counts.
        exact: what it should be: mpmath numbers or any array.
        scale: magnitudes whose ulp is the unit.
    """
    if np.iscomplexobj(got):
        scale = np.asarray(scale)
        real, imag = np.frompyfunc(lambda z: z.real, 1, 1), np.frompyfunc(lambda z: z.imag, 1, 1)
        size = np.maximum(abs(scale.real), abs(scale.imag))
        return max(ulps(got.real, real(exact), size), ulps(got.imag, imag(exact), size))
    if got.size == 0:
        return 0.0
    info = np.finfo(got.dtype)
    unit = np.maximum(np.spacing(np.abs(np.asarray(scale, got.dtype))), info.smallest_normal * info.eps)
    with mpmath.workdps(60):
        far = np.frompyfunc(lambda a, b, u: float(abs(mpmath.mpmathify(a) - b) / mpmath.mpf(float(u))), 3, 1)
        return float(np.max(far(got.astype(float), exact, unit.astype(float)).astype(float)))
