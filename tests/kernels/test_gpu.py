"""The GPU's kernels by themselves: what they are made of, and that they touch nothing but their tiles."""

import ast
import inspect
import subprocess
import sys

import numpy as np
import pytest

import rmsprop
from rmsprop import Rule
from rmsprop.kernels import gpu
from rmsprop.kernels.gpu import build, launch
from rmsprop.kernels.gpu.spelling import spelled
from rmsprop.rule import rebound, update

pytest.importorskip("triton", reason="Triton is not installed; it exists for Linux only")


def test_nothing_of_triton_is_loaded_until_a_kernel_is_built():
    script = (
        "import sys; sys.modules['triton'] = None\n"
        "from rmsprop.kernels.gpu import build, launch\n"
        "assert launch.unavailable() == 'Triton is not installed; pip install triton', launch.unavailable()\n"
        "assert build.tile_map([5]).tolist() == [[0, 0]]"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_rule_is_the_same_but_for_its_divisions():
    rule = Rule(centered=True, centered_form="difference", bias_correction=True, momentum=0.9)
    names = {name: getattr(rmsprop.rule, name) for name in ("flush", "square")} | rule.switches | {"sqrt": np.sqrt}
    rng = np.random.default_rng(0)
    arrays = rng.random((5, 9))
    arrays[2] += 9  # v
    calls = []

    def divide(a, b):
        calls.append(b)
        return a / b

    function = spelled(update, {ast.Div: "divide"})
    divisions = sum(isinstance(node, ast.Div) for node in ast.walk(ast.parse(inspect.getsource(update))))
    assert inspect.getsource(function).count("divide(") == divisions == 3
    got = rebound(function, names | {"divide": divide})(*arrays, *rule.scalars(0.1, 3))
    wanted = rebound(update, names)(*arrays, *rule.scalars(0.1, 3))
    for one, other in zip(got, wanted, strict=True):
        assert one.tobytes() == other.tobytes()
    assert len(calls) == 3


def test_tiles_cover_each_element_once(monkeypatch):
    monkeypatch.setattr(build, "TILE", 8)
    sizes = [0, 1, 7, 8, 9, 0, 64, 0]
    tiles = build.tile_map(sizes)
    assert tiles.dtype == np.int32
    seen = [(tensor, tile * 8 + i) for tensor, tile in tiles.tolist() for i in range(8) if tile * 8 + i < sizes[tensor]]
    assert seen == [(tensor, i) for tensor, size in enumerate(sizes) for i in range(size)]


def test_approximate_kernels_take_the_hardwares_division(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    rule = rmsprop.dialect("pytorch", momentum=0.9)
    exact, fast = (gpu.compiled(rule, "float32", "float32", approximate=on).asm["ptx"] for on in (False, True))
    for words in ("div.rn.f32", "sqrt.rn.f32"):
        assert words in exact
        assert words not in fast
    assert "fma.rn.f32" in fast
    assert "fma.rn.f32" not in exact


def test_what_is_built_in_the_interpreter_is_not_launched_on_a_gpu(monkeypatch):
    variant = build.Variant(Rule(), "float32", "float32")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    compiled = build.sweep_for(variant)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("RMSPROP_INTERPRET", "1")
    assert launch.interpreted()
    assert build.sweep_for(variant) is not compiled


@pytest.mark.parametrize("offset", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 31, 32, 70])
def test_nothing_outside_of_a_tensor_is_written(monkeypatch, offset, size):
    torch = pytest.importorskip("torch", reason="Triton's interpreter takes PyTorch's tensors, and PyTorch is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("RMSPROP_INTERPRET", "1")
    monkeypatch.setattr(build, "TILE", 32)
    from rmsprop.torch import RMSprop

    wide = torch.full((offset + size + 40,), 7.0)
    p = torch.nn.Parameter(wide[offset : offset + size])
    p.grad = torch.ones(size)
    RMSprop([p], lr=0.1, alpha=0.75, fused=True).step()
    np.testing.assert_allclose(p.detach().numpy(), 6.8, rtol=1e-6)
    assert (wide[:offset] == 7).all()
    assert (wide[offset + size :] == 7).all()


def test_offsets_beyond_32_bits(monkeypatch):
    torch = pytest.importorskip("torch", reason="Triton's interpreter takes PyTorch's tensors, and PyTorch is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setenv("RMSPROP_INTERPRET", "1")
    monkeypatch.setattr(build, "TILE", 32)
    rule, far = Rule(decay=0.75), 2**33  # elements; only those of the last tile are there
    p, g, v = (torch.full((20,), value) for value in (7.0, 1.0, 0.0))
    at_p, at_g, at_v = (t.data_ptr() - 4 * far for t in (p, g, v))
    table = torch.tensor([[at_p], [at_v], [0], [0], [0], [far + 20], [0]])
    tiles = torch.tensor([[0, far // 32]], dtype=torch.int32)
    scalars = np.array((*rule.scalars(0.1, 1), 1.0, 0.0, 1.0), np.float32).tolist()
    kernel = build.sweep_for(build.Variant(rule, "float32", "float32"))
    kernel(0, 1, table, torch.tensor([at_g]), tiles, torch.zeros(1), torch.zeros(1), 1, 0, *scalars)
    np.testing.assert_allclose(p.numpy(), 6.8, rtol=1e-6)
    np.testing.assert_array_equal(v.numpy(), 0.25)
