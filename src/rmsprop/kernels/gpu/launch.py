"""Triton itself: whether it is there, what it compiles, and how that is launched with little of the host's time."""

import os
from collections.abc import Callable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

OLDEST = (3, 4)  # what older ones call their compiler's parts differs


def interpreted() -> bool:
    """Return whether kernels run in Triton's interpreter, on the CPU's memory, as tests have it."""
    return os.environ.get("RMSPROP_INTERPRET", "0") == "1" and os.environ.get("TRITON_INTERPRET", "0") == "1"


def unavailable() -> str | None:
    """Return why there is no Triton to compile with, and what helps; None if there is."""
    try:
        import triton
    except ImportError:
        return "Triton is not installed; pip install triton"
    release = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if release < OLDEST:
        return f"Triton {triton.__version__} is too old; pip install 'triton>={'.'.join(map(str, OLDEST))}'"
    return None


@cache
def broken(kind: str) -> str | None:
    """Return why Triton cannot compile for a kind of device, and what helps; None if it can.

    Args:
        kind: type of the device, as PyTorch calls it.
    """
    from rmsprop.kernels.gpu import build

    try:
        build.reduce_for("float32", squares=False).compiled()
    except Exception as error:
        found = " ".join(str(error).split())[:200]
        return f"Triton cannot compile for this {kind} device ({type(error).__name__}: {found}); install a version for it"
    return None


@cache
def modules() -> tuple[ModuleType, ModuleType]:
    """Return triton and triton.language."""
    import triton
    import triton.language

    return triton, triton.language


class Kernel:
    """A kernel, compiled for each device that it is launched on, at the first time there.

    Args:
        function: what `triton.jit` returned.
        signature: Triton's types of its arguments, by their names, in their order.
        warps: threads of a program, in 32.
        fused: whether products and sums may be fused: faster, and rounded otherwise than on a CPU.
    """

    def __init__(self, function: Any, signature: Mapping[str, str], warps: int, *, fused: bool = False) -> None:
        """Compile nothing yet."""
        self.function, self.signature = function, dict(signature)
        self.options = {"num_warps": warps, "enable_fp_fusion": fused}
        self.interpreted = interpreted()
        self._compiled: dict[int, Any] = {}

    def compiled(self, target: Any = None) -> Any:
        """Return what Triton makes of it.

        Args:
            target: a `triton.backends.compiler.GPUTarget`; by default the current device.
        """
        triton, _ = modules()
        source = triton.compiler.ASTSource(fn=self.function, signature=self.signature, constexprs={}, attrs={})
        return triton.compile(source, target=target, options=self.options)

    def ready(self, device: int) -> Any:
        """Return the kernel compiled for a device.

        Args:
            device: number of the current device.
        """
        if device not in self._compiled:
            self._compiled[device] = self.compiled()
        return self._compiled[device]

    def __call__(self, device: int, programs: int, *arguments: Any) -> None:
        """Launch it on the current stream.

        Args:
            device: number of the current device.
            programs: how many programs to run.
            arguments: numbers, and tensors as `argument` returns them.
        """
        if programs == 0:
            return
        if self.interpreted:
            with np.errstate(all="ignore"):  # a GPU has no such warnings
                self.function[(programs,)](*arguments)
        else:
            # What `triton.jit` would do besides, at each launch, is to look at every argument's type and value.
            self.ready(device)[(programs, 1, 1)](*arguments)


def argument() -> Callable[[Any], Any]:
    """Return what turns a tensor into an argument of kernels: into its address, or for the interpreter into itself."""
    return (lambda tensor: tensor) if interpreted() else (lambda tensor: tensor.data_ptr())
