"""Loads and stores for compiled kernels: one element at an address, converted between its stored type and the arithmetic's.

Each stream (parameter, gradient, each state array) has an alias scope of its own. The optimizer keeps overlapping arrays away, so
LLVM may take the streams as distinct; otherwise it gives up vectorizing beyond three, as its run-time overlap checks multiply.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

STREAMS = ("p", "g", "v", "m", "b")
# "table" is what a kernel reads beside them: addresses, sizes, scalars.
_SCOPES = (*STREAMS, "table")

# Stored types, by the name of the NumPy dtype, and what Numba calls the ones that it can compute in.
TYPES: dict[str, Any] = {
    "float32": types.float32,
    "float64": types.float64,
    "complex64": types.complex64,
    "complex128": types.complex128,
    "int64": types.int64,
}


def load(stored: str, computed: str, stream: str) -> Any:
    """Return a compiled function of (address of element 0, index) that gives an element of a stream.

    Args:
        stored: dtype name in memory: one of TYPES or "float16".
        computed: dtype name of the result, one of TYPES.
        stream: one of STREAMS, or "table".
    """
    result = TYPES[computed]

    @intrinsic
    def load_element(typingctx: Any, address: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            element = context.get_value_type(result)
            pointer = _pointer(context, builder, args, stored, element)
            value = builder.load(pointer, align=_alignment(context, stored, element))
            _alone(builder, value, stream)
            if stored == "float16":
                value = builder.fpext(builder.bitcast(value, ir.HalfType()), element)
            return value

        return result(types.int64, types.int64), codegen

    return load_element


def store(stored: str, computed: str, stream: str) -> Any:
    """Return a compiled function of (address of element 0, index, value) that puts an element; arguments as for `load`."""
    operand = TYPES[computed]

    @intrinsic
    def store_element(typingctx: Any, address: Any, index: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            element = context.get_value_type(operand)
            pointer = _pointer(context, builder, args[:2], stored, element)
            value = args[2]
            if stored == "float16":
                value = builder.bitcast(builder.fptrunc(value, ir.HalfType()), ir.IntType(16))
            _alone(builder, builder.store(value, pointer, align=_alignment(context, stored, element)), stream)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, operand), codegen

    return store_element


def converts_float16() -> bool:
    """Return whether the processor that Numba compiles for converts float16; otherwise LLVM calls a function that is not there."""
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return not triple.startswith(("x86_64", "i386", "i686")) or "+f16c" in features


def prefetch(stored: str, written: bool) -> Any:
    """Return a compiled function of (address of element 0, index) that asks for the cache line of an element.

    Args:
        stored: as for `load`.
        written: whether the line will be written to, or read only.
    """

    @intrinsic
    def prefetch_line(typingctx: Any, address: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
            element = None if stored == "float16" else context.get_value_type(TYPES[stored])
            line = builder.bitcast(_pointer(context, builder, args, stored, element), byte)
            kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
            function = builder.module.declare_intrinsic("llvm.prefetch", (byte,), kind)
            # written or not; to stay in every level of cache; data, not instructions
            builder.call(function, [line, *(ir.Constant(flag, value) for value in (int(written), 3, 1))])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), codegen

    return prefetch_line


def magnitude(stored: str) -> Any:
    """Return a compiled function of (address of element 0, index) that gives the bits of a real number without its sign.

    As integers these are in the order of the numbers' magnitudes, with infinity above all numbers and NaN above infinity.
    """
    bits = np.dtype(stored).itemsize * 8
    result: Any = {16: types.int16, 32: types.int32, 64: types.int64}[bits]

    @intrinsic
    def load_magnitude(typingctx: Any, address: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.IntType(bits)
            value = builder.load(builder.gep(builder.inttoptr(args[0], kind.as_pointer()), [args[1]]), align=bits // 8)
            return builder.and_(value, ir.Constant(kind, (1 << (bits - 1)) - 1))

        return result(types.int64, types.int64), codegen

    return load_magnitude


def _pointer(context: Any, builder: Any, args: Any, stored: str, element: Any) -> Any:
    """Return a pointer to element `index` of the array at `address`."""
    address, index = args
    kind = ir.IntType(16) if stored == "float16" else element
    return builder.gep(builder.inttoptr(address, ir.PointerType(kind)), [index])


def _alignment(context: Any, stored: str, element: Any) -> int:
    """Return the alignment that NumPy promises for an aligned array of the stored type."""
    return 2 if stored == "float16" else int(context.get_abi_alignment(element))


def _alone(builder: Any, access: Any, stream: str) -> None:
    """Tell LLVM that this access touches the memory of its own stream only."""
    module = builder.module
    domain = module.add_metadata(["rmsprop"])
    scopes = {name: module.add_metadata([f"rmsprop {name}", domain]) for name in _SCOPES}
    access.set_metadata("alias.scope", module.add_metadata([scopes[stream]]))
    access.set_metadata("noalias", module.add_metadata([scopes[name] for name in _SCOPES if name != stream]))
