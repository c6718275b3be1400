"""The rule under Triton, in its interpreter: the same function, the same bits."""

import importlib

import numpy as np
import pytest

import rmsprop
from rmsprop.kernels.precision import floor
from rmsprop.rule import bind, rebound
from tests.cases import LRS, RULES, gradients, parameters

SIZE = 100


@pytest.fixture(scope="module")
def triton():
    torch = pytest.importorskip("torch", reason="Triton's interpreter takes PyTorch tensors, and PyTorch is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        triton = pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux only")
        yield triton, importlib.import_module("triton.language"), torch


def sqrt(x):
    return tl.sqrt_rn(x)


def flush(z):
    return tl.where(tl.abs(z) < LEAST, 0.0, z)


def kernel(p, g, v, m, b, scalars, n):
    i = tl.arange(0, WIDTH)
    mask = i < n
    new_p, new_v, new_m, new_b = update(
        tl.load(p + i, mask),
        tl.load(g + i, mask),
        tl.load(v + i, mask),
        tl.load(m + i, mask),
        tl.load(b + i, mask),
        tl.load(scalars),
        tl.load(scalars + 1),
        tl.load(scalars + 2),
        tl.load(scalars + 3),
        tl.load(scalars + 4),
        tl.load(scalars + 5),
        tl.load(scalars + 6),
        tl.load(scalars + 7),
        tl.load(scalars + 8),
        tl.load(scalars + 9),
    )
    tl.store(p + i, new_p, mask)
    tl.store(v + i, new_v, mask)
    tl.store(m + i, new_m, mask)
    tl.store(b + i, new_b, mask)


tl = update = LEAST = WIDTH = None  # given to the copies of these functions


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")  # the difference form, where v - m² is negative
@pytest.mark.parametrize("name", RULES)
def test_interpreter_has_the_bits_of_numpy(triton, name):
    triton, tl, torch = triton
    rule = RULES[name].replace(complex_form="parts")
    names = {"tl": tl, "LEAST": tl.constexpr(floor("float32"))}
    primitives = {f.__name__: triton.jit(rebound(f, names)) for f in (sqrt, flush)}
    step = bind(rule, **primitives, compile=triton.jit, wrap=tl.constexpr, tl=tl)
    launch = triton.jit(rebound(kernel, {"update": step, "tl": tl, "WIDTH": tl.constexpr(128)}))

    rng = np.random.default_rng(0)
    p, grads = parameters(rng, (SIZE,), "float32"), gradients(rng, (SIZE,), "float32")
    initial = {slot.argument: slot.initial for slot in rule.slots}
    tensors = {"p": torch.tensor(p)} | {c: torch.full((SIZE,), initial.get(c, 0.0)) for c in "vmb"}
    optimizer = rmsprop.RMSprop(p, LRS.__getitem__, rule)
    for t, (g, lr) in enumerate(zip(grads, LRS, strict=True), 1):
        optimizer.step(g)
        scalars = torch.tensor(np.array(rule.scalars(lr, t), np.float32))
        launch[(1,)](tensors["p"], torch.tensor(g), *(tensors[c] for c in "vmb"), scalars, SIZE)
        assert tensors["p"].numpy().tobytes() == p.tobytes()
        for slot in rule.slots:
            assert tensors[slot.argument].numpy().tobytes() == optimizer.state[slot.name].tobytes(), slot.name
