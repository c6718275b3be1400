"""The rivals: RMSprop in any dialect and those that it is compared with, behind one protocol.

A rival is a frozen value: a name, its hyper-parameters, `init` and `step`. Both are pure functions of arrays of any shape, so that
one call takes a step of many runs at once, each with its own learning rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rmsprop.dialects import dialect as find_dialect
from rmsprop.errors import UsageError
from rmsprop.expression.hints import near
from rmsprop.kernels.reference import update_for
from rmsprop.rule import Rule, checked

Array = NDArray[np.float64]
State = dict[str, Array]

_ARTICLE = find_dialect("article")


class Rival(Protocol):
    """What takes steps.

    Attributes:
        name: what it is called.
        lr: the learning rate that its users begin with, or None where there is none.
    """

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def lr(self) -> float | None:
        """The learning rate that its users begin with."""

    def init(self, p: Array) -> State:
        """Return the state before the first step.

        Args:
            p: (...) parameters.
        """

    def step(self, p: Array, g: Array, state: State, lr: Any, t: int) -> tuple[Array, State]:
        """Return the parameters and the state after a step; what was given stays as it was.

        Args:
            p: (...) parameters.
            g: (...) gradient of the loss there.
            state: from `init` or the last step.
            lr: learning rate, ≥ 0: a number, or an array that is broadcast against p.
            t: number of this step, counted from 1.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class SGD:
    """Gradient descent: p ← p - lr·g.

    Example:
        >>> SGD().step(np.array([1.0]), np.array([2.0]), {}, 0.25, 1)
        (array([0.5]), {})

    Source: Robbins and Monro (1951), https://doi.org/10.1214/aoms/1177729586.
    """

    name: str = "sgd"
    lr: float | None = 1e-3

    def init(self, p: Array) -> State:
        """Return no state."""
        return {}

    def step(self, p: Array, g: Array, state: State, lr: Any, t: int) -> tuple[Array, State]:
        """Return p - lr·g."""
        return p - lr * g, {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Momentum:
    """Heavy ball: b ← μ·b + g, p ← p - lr·b; Nesterov's form steps along g + μ·b instead of b.

    Args:
        momentum: μ, weight of the past, in [0, 1).
        nesterov: whether to look ahead.

    Source: Polyak (1964); Sutskever et al. (2013), https://proceedings.mlr.press/v28/sutskever13.html, in PyTorch's form.
    """

    name: str = "momentum"
    momentum: float = 0.9
    nesterov: bool = False
    lr: float | None = 1e-3

    def __post_init__(self) -> None:
        """Refuse a weight that would never forget."""
        checked("momentum", self.momentum)

    def init(self, p: Array) -> State:
        """Return a buffer of 0."""
        return {"b": np.zeros_like(p)}

    def step(self, p: Array, g: Array, state: State, lr: Any, t: int) -> tuple[Array, State]:
        """Return p - lr·b, or p - lr·(g + μ·b)."""
        b = self.momentum * state["b"] + g
        return p - lr * (g + self.momentum * b if self.nesterov else b), {"b": b}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adagrad:
    """The sum of all squares: s ← s + g², p ← p - lr·g / (√s + ε).

    Args:
        eps: ε, > 0.

    Source: Duchi, Hazan and Singer (2011), https://jmlr.org/papers/v12/duchi11a.html, with PyTorch's ε.
    """

    name: str = "adagrad"
    eps: float = 1e-10
    lr: float | None = 1e-2

    def __post_init__(self) -> None:
        """Refuse an ε that lets 0/0 through."""
        checked("eps", self.eps)

    def init(self, p: Array) -> State:
        """Return a sum of 0."""
        return {"s": np.zeros_like(p)}

    def step(self, p: Array, g: Array, state: State, lr: Any, t: int) -> tuple[Array, State]:
        """Return p - lr·g / (√s + ε)."""
        s = state["s"] + g * g
        return p - lr * (g / (np.sqrt(s) + self.eps)), {"s": s}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adadelta:
    """Steps in the unit of the parameters: v ← ρ·v + (1-ρ)·g², Δ = √(d+ε) / √(v+ε)·g, d ← ρ·d + (1-ρ)·Δ², p ← p - lr·Δ.

    Args:
        decay: ρ, weight of the past, in [0, 1).
        eps: ε, > 0; it sets the length of the first steps.

    Source: Zeiler (2012), https://arxiv.org/abs/1212.5701, with PyTorch's lr, ρ and ε.
    """

    name: str = "adadelta"
    decay: float = 0.9
    eps: float = 1e-6
    lr: float | None = 1.0

    def __post_init__(self) -> None:
        """Refuse numbers that no step can be taken with."""
        checked("decay", self.decay)
        checked("eps", self.eps)

    def init(self, p: Array) -> State:
        """Return means of 0."""
        return {"v": np.zeros_like(p), "d": np.zeros_like(p)}

    def step(self, p: Array, g: Array, state: State, lr: Any, t: int) -> tuple[Array, State]:
        """Return p - lr·Δ."""
        v = self.decay * state["v"] + (1 - self.decay) * (g * g)
        delta = np.sqrt(state["d"] + self.eps) / np.sqrt(v + self.eps) * g
        return p - lr * delta, {"v": v, "d": self.decay * state["d"] + (1 - self.decay) * (delta * delta)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """Two unbiased means: m ← β₁·m + (1-β₁)·g, v ← β₂·v + (1-β₂)·g², p ← p - lr·m/(1-β₁ᵗ) / (√(v/(1-β₂ᵗ)) + ε).

    Args:
        momentum: β₁, weight of the past in the mean of g, in [0, 1).
        decay: β₂, weight of the past in the mean of g², in [0, 1).
        eps: ε, > 0.

    Source: Kingma and Ba (2014), https://arxiv.org/abs/1412.6980.
    """

    name: str = "adam"
    momentum: float = 0.9
    decay: float = 0.999
    eps: float = 1e-8
    lr: float | None = 1e-3

    def __post_init__(self) -> None:
        """Refuse numbers that no step can be taken with."""
        checked("momentum", self.momentum)
        checked("decay", self.decay)
        checked("eps", self.eps)

    def init(self, p: Array) -> State:
        """Return means of 0."""
        return {"m": np.zeros_like(p), "v": np.zeros_like(p)}

    def step(self, p: Array, g: Array, state: State, lr: Any, t: int) -> tuple[Array, State]:
        """Return p - lr·m̂ / (√v̂ + ε)."""
        m = self.momentum * state["m"] + (1 - self.momentum) * g
        v = self.decay * state["v"] + (1 - self.decay) * (g * g)
        denominator = np.sqrt(v / (1 - self.decay**t)) + self.eps
        return p - lr / (1 - self.momentum**t) * (m / denominator), {"m": m, "v": v}


@dataclass(frozen=True, slots=True, kw_only=True)
class RMSprop:
    """RMSprop in a dialect; its step is `rmsprop.rule.update`, bound to NumPy.

    Args:
        rule: the dialect.

    Example:
        >>> p, state = RMSprop().step(np.array([1.0]), np.array([2.0]), RMSprop().init(np.array([1.0])), 0.01, 1)
        >>> p.round(6), {name: array.round(6) for name, array in state.items()}
        (array([0.968377]), {'v': array([0.4])})

    Source: the rule's own; see `rmsprop.dialects`.
    """

    name: str = "rmsprop"
    rule: Rule = _ARTICLE

    @property
    def lr(self) -> float | None:
        """The dialect's own learning rate."""
        return self.rule.lr

    def init(self, p: Array) -> State:
        """Return what the rule's slots start from, by their argument in `update`."""
        return {slot.argument: np.full_like(p, slot.initial) for slot in self.rule.slots}

    def step(self, p: Array, g: Array, state: State, lr: Any, t: int) -> tuple[Array, State]:
        """Return what the rule returns."""
        update = update_for(self.rule, "float64")
        p, v, m, b = update(p, g, state["v"], state.get("m", g), state.get("b", g), *self.rule.scalars(lr, t))
        return p, {name: new for name, new in zip("vmb", (v, m, b), strict=True) if name in state}


_RIVALS: tuple[Rival, ...] = (
    RMSprop(),
    SGD(),
    Momentum(),
    Momentum(name="nesterov", nesterov=True),
    Adagrad(),
    Adadelta(),
    Adam(),
)
_BY_NAME = {rival.name: rival for rival in _RIVALS}


def rival_names() -> tuple[str, ...]:
    """Return the names that `rival` knows.

    Example:
        >>> rival_names()
        ('rmsprop', 'sgd', 'momentum', 'nesterov', 'adagrad', 'adadelta', 'adam')
    """
    return tuple(_BY_NAME)


def rival(name: str, dialect: str | Rule = "article", **hyper: Any) -> Rival:
    """Return a rival by name.

    Args:
        name: one of `rival_names()`.
        dialect: of RMSprop; the others have none.
        hyper: hyper-parameters to change: fields of the rival, or axes of RMSprop's rule.

    Raises:
        UsageError: the name, the dialect or a hyper-parameter is not known, or a value is not allowed.

    Example:
        >>> rival("adam", decay=0.99).decay
        0.99
        >>> rival("rmsprop", "tf1", momentum=0.9).rule.square_init
        1.0
    """
    if name not in _BY_NAME:
        raise UsageError(f"optimizer must be one of {', '.join(_BY_NAME)}, got {name!r}{near(name, _BY_NAME)}")
    known = _BY_NAME[name]
    try:
        if isinstance(known, RMSprop):
            rule = find_dialect(dialect, **hyper)
            return RMSprop(name=name if rule == known.rule else f"{name} {rule.name}", rule=rule)
        return replace(known, **hyper)  # type: ignore[type-var]  # each of them is a dataclass
    except (TypeError, ValueError) as error:
        raise UsageError(str(error)) from None
