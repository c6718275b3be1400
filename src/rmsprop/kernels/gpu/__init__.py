"""The rule on a GPU, through Triton: one launch over all tensors of a model."""

from typing import Any

from rmsprop.rule import Rule


def compiled(rule: Rule, stored: str, computed: str, *, capability: int = 90, **switches: bool) -> Any:
    """Return the kernel of a step as Triton compiles it for NVIDIA's GPUs, which need not be there.

    Args:
        rule: whose branches to take.
        stored: dtype name of parameters and gradients in memory.
        computed: dtype name of the arithmetic and of the state.
        capability: compute capability, in tenths: 80 for A100, 90 for H100 and H200.
        switches: further fields of `build.Variant`.

    Returns:
        Triton's CompiledKernel: `asm["ptx"]` is what runs.
    """
    from triton.backends.compiler import GPUTarget

    from rmsprop.kernels.gpu import build

    return build.sweep_for(build.Variant(rule, stored, computed, **switches)).compiled(GPUTarget("cuda", capability, 32))
