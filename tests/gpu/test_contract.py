"""The contract of the fused pass: every dialect and axis × dtype, many shapes in one launch, the bits of the NumPy reference."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from rmsprop.parameters import COMPUTED  # noqa: E402
from rmsprop.torch import RMSprop  # noqa: E402
from tests.cases import LRS, RULES, gradients, parameters  # noqa: E402
from tests.gpu.harness import Twins, difference, moved, same  # noqa: E402
from tests.kernels.implementations import IMPLEMENTATIONS  # noqa: E402

SHAPES = ((), (0,), (1,), (7,), (3, 5), (2, 1, 9), (129,))
FEW = ((0,), (23,))  # for the interpreter, which takes some 20 ms for each tile


@pytest.mark.parametrize("dtype", COMPUTED)
@pytest.mark.parametrize("name", RULES)
def test_one_launch_has_the_bits_of_the_reference(device, name, dtype):
    rule, rng = RULES[name], np.random.default_rng(1)
    shapes = SHAPES if device.type != "cpu" or name in ("pytorch", "everything") else FEW
    starts = [parameters(rng, shape, dtype) for shape in shapes]
    grads = [gradients(rng, shape, dtype) for shape in shapes]
    reference = IMPLEMENTATIONS["reference"]()
    wanted = [reference(rule, p, each, LRS) for p, each in zip(starts, grads, strict=True)]

    params = [torch.nn.Parameter(moved(torch.from_numpy(p), device)) for p in starts]
    optimizer = RMSprop(params, lr=LRS[0], dialect=rule, fused=True)
    for t, lr in enumerate(LRS):
        optimizer.param_groups[0]["lr"] = lr
        for p, each in zip(params, grads, strict=True):
            p.grad = moved(torch.from_numpy(each[t]), device)
        optimizer.step()
        for k, p in enumerate(params):
            step = wanted[k][t]
            found = {"p": p, **{slot.name: optimizer.state[p][slot.name] for slot in rule.slots}}
            assert found.keys() == step.keys()
            for key, array in step.items():
                exact = torch.from_numpy(array)
                assert same(found[key], exact), f"step {t}, {key} of shape {shapes[k]}: {difference(found[key], exact)}"


@pytest.mark.parametrize("name", RULES)
def test_bfloat16_has_the_bits_of_the_compiled_pass(device, name):
    Twins(device, SHAPES if device.type != "cpu" else FEW, torch.bfloat16, lr=0.01, dialect=RULES[name]).run()
