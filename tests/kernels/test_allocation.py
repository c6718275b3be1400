"""What a step allocates: nothing of the size of a parameter."""

import tracemalloc

import numpy as np
import pytest

import rmsprop

SIZE = 2_000_000


@pytest.mark.parametrize("policy", ["raise", "propagate"])
@pytest.mark.parametrize("kind", ["float16", "float32", "complex64"])
@pytest.mark.parametrize(
    ("layout", "allowed"),
    [
        ("dense", 100_000),  # addresses, scalars, what the threads hold
        ("strided", 2_000_000),  # blocks of 8,192 elements for each array and each operation of the reference
    ],
)
def test_a_step_makes_no_temporary_of_the_size_of_a_parameter(policy, kind, layout, allowed):
    stride = 2 if layout == "strided" else 1
    p, g = np.ones(SIZE * stride, kind)[::stride], np.ones(SIZE * stride, kind)[::stride]
    optimizer = rmsprop.RMSprop(p, centered=True, momentum=0.9, weight_decay=0.01, on_nonfinite=policy)
    optimizer.step(g)
    tracemalloc.start()
    try:
        optimizer.step(g)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < allowed < p.nbytes
