"""Guard bytes around every buffer that the fused pass reads or writes, and tiles that cover each element once."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from hypothesis import example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from rmsprop.kernels.gpu import build  # noqa: E402
from rmsprop.kernels.gpu.build import TILE, tile_map  # noqa: E402
from rmsprop.torch import RMSprop  # noqa: E402
from tests.gpu.harness import Guards, Twins, compiled_pass, guard, same  # noqa: E402
from tests.torch.harness import gradients, parameters  # noqa: E402

EVERYTHING = {"centered": True, "momentum": 0.9, "weight_decay": 0.1, "ema_decay": 0.9, "alpha": 0.9, "eps": 1e-3}


def sizes():
    """Return sizes at and around those of a tile."""
    tile = build.TILE
    return [(), (0,), (1,), (2,), (3, 5), (tile - 1,), (tile,), (tile + 1,), (2 * tile,)]


CLIPPED = {"max_norm": 1e6, "on_nonfinite": "skip"}
GUARDED = {
    "plain": (torch.float32, {}, (0,)),
    "p and g apart": (torch.float32, {}, (0, 1)),
    "everything, all shifted": (torch.float32, EVERYTHING, (1, 0, 0, 3, 2)),
    "bfloat16": (torch.bfloat16, EVERYTHING, (0,)),
    "bfloat16, shifted": (torch.bfloat16, EVERYTHING, (0, 1, 7)),
    "float16, shifted": (torch.float16, {}, (3, 0)),
    "float64, shifted": (torch.float64, EVERYTHING, (0, 1)),
    "complex64, shifted": (torch.complex64, EVERYTHING, (0, 1)),
    "modulus": (torch.complex64, {**EVERYTHING, "dialect": "optimisers-jl"}, (0, 1, 1)),
    "clipped and looked at": (torch.float32, CLIPPED, (0, 1)),
}


@pytest.mark.parametrize(("dtype", "options", "shifts"), GUARDED.values(), ids=GUARDED)
def test_nothing_is_written_beside_a_tensor(device, dtype, options, shifts):
    twins = Twins(device, sizes(), dtype, **options)
    first, second = gradients(twins.host, 2)
    twins.step(first)  # makes the state
    guards = Guards()
    for p, g in zip(twins.far, second, strict=True):
        p.grad = g.to(device)
    guard(twins.ours, guards, itertools.cycle(shifts))
    twins.ours.step()
    guards.check()
    for p, g in zip(twins.host, second, strict=True):
        p.grad = g.clone()
    with compiled_pass():
        twins.theirs.step()
    if "max_norm" not in options:
        twins.check()
    for p, g in zip(twins.far, second, strict=True):
        assert same(p.grad, g)  # is read only


def test_guard_bytes_tell_of_a_write(device):
    guards = Guards()
    x = guards.around(torch.zeros(5, device=device))
    guards.check()
    torch.as_strided(x, (6,), (1,), x.storage_offset())[5] = 1.0
    with pytest.raises(AssertionError, match="4 bytes after a tensor of 20 bytes were written to"):
        guards.check()


def test_a_step_that_is_skipped_writes_nothing_at_all(device):
    twins = Twins(device, sizes(), on_nonfinite="skip", centered=True, ema_decay=0.9)
    first, second = gradients(twins.host, 2)
    twins.step(first)
    second[-1][0] = float("nan")
    twins.step(second)
    twins.check()
    assert twins.ours.skipped == 1
    assert all(entry["step"] == 1 for entry in twins.ours.state.values())


@given(st.lists(st.one_of(st.integers(0, 3 * TILE), st.sampled_from([0, 1, TILE - 1, TILE, TILE + 1])), max_size=40))
@example([])
@example([0, 0])
@example([TILE] * 3)
def test_tiles_cover_each_element_once(sizes):
    tiles = tile_map(sizes)
    assert tiles.dtype == np.int32
    covered = [np.zeros(size, np.int8) for size in sizes]
    for tensor, number in tiles.tolist():
        first = number * TILE
        assert first < sizes[tensor]  # no program is idle
        covered[tensor][first : first + TILE] += 1
    assert all((one == 1).all() for one in covered)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_any_sizes_have_the_bits_of_the_compiled_pass(sizes, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RMSPROP_INTERPRET", "1")
        patch.setenv("TRITON_INTERPRET", "1")
        twins = Twins(torch.device("cpu"), [(size,) for size in sizes], lr=0.01)
        twins.run(1, seed)


def test_offsets_beyond_31_bits_are_those_of_64():
    """The map of a tensor of 2³³ elements is small, and its last tile begins where 32 bits do not reach."""
    size = 2**33 + 5
    tiles = tile_map([7, size])
    assert len(tiles) == 2 + size // TILE
    tensor, number = tiles[-1].tolist()
    assert tensor == 1
    assert number * TILE == 2**33
    firsts = tiles[1:, 1].astype(np.int64) * TILE
    assert (np.diff(firsts) == TILE).all()


@pytest.mark.parametrize("parameter_first", [True, False])
def test_parameters_that_share_memory_are_refused(device, parameter_first):
    whole = torch.zeros(10, device=device)
    views = [whole[:6], whole[5:]]
    params = [torch.nn.Parameter(view) for view in (views if parameter_first else views[::-1])]
    with pytest.raises(ValueError, match=r"share|overlap"):
        RMSprop(params, fused=True)
    with pytest.raises(ValueError, match="more than once"):
        RMSprop([torch.nn.Parameter(torch.zeros(1, device=device).expand(4))], fused=True)


def test_a_gradient_in_the_memory_of_its_parameter_is_read_before_it_changes(device):
    (host,) = parameters([(2 * build.TILE,)])
    far = torch.nn.Parameter(host.detach().clone().to(device))
    far.grad, host.grad = far.detach(), host.detach()
    ours, theirs = RMSprop([far], lr=0.1, fused=True), RMSprop([host], lr=0.1)
    for _ in range(2):
        ours.step()
        with compiled_pass():
            theirs.step()
        assert same(far, host)
