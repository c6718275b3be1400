"""More than 2³¹ elements: offsets of 64 bits, checked by value."""

from pathlib import Path

import numpy as np
import pytest

import rmsprop
from rmsprop.kernels import cpu

FAR = 2**31


def test_the_sweep_reaches_beyond_31_bits():
    """Only the pages around 2³¹ are ever touched, so that this takes hardly any memory."""
    size = FAR + 100
    p, g, v = np.zeros(size, np.float16), np.zeros(size, np.float16), np.zeros(size, np.float32)
    g[FAR - 4 : FAR + 4] = [1, 2, 3, 4, 5, 6, 7, 8]
    rule = rmsprop.Rule(decay=0.75)
    pointers, gradients = np.array([p.ctypes.data, v.ctypes.data, 0, 0, 0]), np.array([g.ctypes.data])
    ends, scalars = np.array([size]), np.array((*rule.scalars(0.5, 1), 1, 0, 0), np.float32)
    sweep = cpu.sweep_for(rule, "float16", "float32")
    numbers = (array.ctypes.data for array in (pointers, gradients, ends, scalars))
    sweep(*numbers, 0, 1, FAR - 4, FAR + 4)
    assert v[FAR - 4 : FAR + 4].tolist() == [0.25 * n * n for n in range(1, 9)]
    assert p[FAR - 4 : FAR + 4].tolist() == [-1.0] * 8
    assert not p[:8].any()
    assert not v[FAR + 4 : FAR + 12].any()
    scan = cpu.scan_for("float16")
    assert scan(gradients.ctypes.data, ends.ctypes.data, int(np.float16(7.5).view(np.int16)), 1, FAR - 4, FAR + 4)
    assert not scan(gradients.ctypes.data, ends.ctypes.data, int(np.float16(8.5).view(np.int16)), 1, FAR - 4, FAR + 4)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="the free memory is told by Linux only")
def test_a_step_on_more_than_two_to_the_31_elements():
    size = FAR + 1000
    need = size * (2 + 2 + 4) / 2**30 + 2
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))) / 2**20
    if free < need:
        pytest.skip(f"needs {need:.0f} GiB of free memory, {free:.0f} are there")
    p, g = np.zeros(size, np.float16), np.ones(size, np.float16)
    marks = [0, 1, 2**30, FAR - 1, FAR, FAR + 1, size - 1]
    g[marks] = [2, 3, 4, 5, 6, 7, 8]
    optimizer = rmsprop.RMSprop(p, lr=0.5, decay=0.75)
    optimizer.step(g)
    v = optimizer.state["square_avg"]
    assert v[marks].tolist() == [0.25 * n * n for n in (2, 3, 4, 5, 6, 7, 8)]
    assert p[marks].tolist() == [-1.0] * len(marks)
    for first in range(0, size, 2**28):
        part = slice(first, first + 2**28)
        assert (p[part] == -1).all()
        assert np.count_nonzero(v[part] != 0.25) == sum(first <= mark < first + 2**28 for mark in marks)
