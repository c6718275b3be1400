"""What the checkpoint tests share: states to write, and when two are the same."""

from typing import Any

import numpy as np

import rmsprop
from rmsprop.checkpoint import State
from tests.cases import gradients, parameters

SHAPES = {"matrix": (3, 4), "scalar": (), "empty": (0, 2), "one": (1,)}


def trained(rule: rmsprop.Rule, dtype: str = "float32", steps: int = 3, lr: float = 0.01) -> rmsprop.RMSprop:
    """Return an optimizer over parameters of several shapes that has taken some steps."""
    rng = np.random.default_rng(7)
    params = {name: parameters(rng, shape, dtype) for name, shape in SHAPES.items()}
    optimizer = rmsprop.RMSprop(params, lr, rule, on_nonfinite="propagate")
    grads = {name: gradients(rng, shape, dtype, steps) for name, shape in SHAPES.items()}
    for t in range(steps):
        optimizer.step({name: g[t] for name, g in grads.items()})
    return optimizer


def assert_same(one: State, other: State) -> None:
    """Assert that two states are equal to the last bit."""
    assert (one.skipped, len(one.groups)) == (other.skipped, len(other.groups))
    for a, b in zip(one.groups, other.groups, strict=True):
        assert (a.rule, a.lr, dict(a.options)) == (b.rule, b.lr, dict(b.options))
        assert [(p.name, p.step, list(p.slots)) for p in a.parameters] == [(p.name, p.step, list(p.slots)) for p in b.parameters]
        for p, q in zip(a.parameters, b.parameters, strict=True):
            for slot in p.slots:
                assert_bits(p.slots[slot], q.slots[slot])


def assert_bits(one: Any, other: Any) -> None:
    """Assert that two arrays are equal to the last bit, and of one dtype and shape."""
    one, other = np.asarray(one), np.asarray(other)
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert one.tobytes() == other.tobytes()
