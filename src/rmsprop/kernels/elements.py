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

STREAMS = ("p", "g", "v", "m", "b", "e")
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
# Stored types that no processor computes in; they are taken as the bits that they are.
HALVES = ("float16", "bfloat16")


def load(stored: str, computed: str, stream: str) -> Any:
    """Return a compiled function of (address of element 0, index) that gives an element of a stream.

    Args:
        stored: dtype name in memory: one of TYPES or HALVES.
        computed: dtype name of the result, one of TYPES and not narrower.
        stream: one of STREAMS, or "table".
    """
    result = TYPES[computed]

    @intrinsic
    def load_element(typingctx: Any, address: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _pointer(context, builder, args, stored)
            value = builder.load(pointer, align=_alignment(context, stored))
            _alone(builder, value, stream)
            if stored == "bfloat16":
                value = builder.shl(builder.zext(value, ir.IntType(32)), ir.Constant(ir.IntType(32), 16))
                value = builder.bitcast(value, ir.FloatType())
            elif stored == "float16":
                value = builder.bitcast(value, ir.HalfType())
            element = context.get_value_type(result)
            return value if value.type == element else builder.fpext(value, element)

        return result(types.int64, types.int64), codegen

    return load_element


def store(stored: str, computed: str, stream: str) -> Any:
    """Return a compiled function of (address of element 0, index, value) that puts an element; arguments as for `load`."""
    operand = TYPES[computed]

    @intrinsic
    def store_element(typingctx: Any, address: Any, index: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = _pointer(context, builder, args[:2], stored)
            value = args[2]
            if stored == "float16":
                value = builder.bitcast(builder.fptrunc(value, ir.HalfType()), ir.IntType(16))
            elif stored == "bfloat16":
                value = _nearest_bfloat16(builder, value)
            _alone(builder, builder.store(value, pointer, align=_alignment(context, stored)), stream)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, operand), codegen

    return store_element


@intrinsic
def bits(typingctx: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the bits of a float32 as an integer."""
    return types.int32(types.float32), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def number(typingctx: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the float32 with the bits of the lower half of an integer."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(builder.trunc(args[0], ir.IntType(32)), ir.FloatType())

    return types.float32(types.int64), codegen


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
            line = builder.bitcast(_pointer(context, builder, args, stored), byte)
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
    bits = 16 if stored in HALVES else np.dtype(stored).itemsize * 8
    result: Any = {16: types.int16, 32: types.int32, 64: types.int64}[bits]

    @intrinsic
    def load_magnitude(typingctx: Any, address: Any, index: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.IntType(bits)
            value = builder.load(builder.gep(builder.inttoptr(args[0], kind.as_pointer()), [args[1]]), align=bits // 8)
            return builder.and_(value, ir.Constant(kind, (1 << (bits - 1)) - 1))

        return result(types.int64, types.int64), codegen

    return load_magnitude


def _kind(context: Any, stored: str) -> Any:
    """Return LLVM's type of a stored element."""
    return ir.IntType(16) if stored in HALVES else context.get_value_type(TYPES[stored])


def _pointer(context: Any, builder: Any, args: Any, stored: str) -> Any:
    """Return a pointer to element `index` of the array at `address`."""
    address, index = args
    return builder.gep(builder.inttoptr(address, ir.PointerType(_kind(context, stored))), [index])


def _alignment(context: Any, stored: str) -> int:
    """Return the alignment that NumPy and PyTorch promise for an aligned array of the stored type."""
    return 2 if stored in HALVES else int(context.get_abi_alignment(_kind(context, stored)))


def _nearest_bfloat16(builder: Any, value: Any) -> Any:
    """Return the bits of the bfloat16 nearest to a float32, ties to even: its upper half, after half an ulp is added."""
    word, half = ir.IntType(32), ir.IntType(16)
    raw = builder.bitcast(value, word)
    upper = builder.lshr(raw, ir.Constant(word, 16))
    odd = builder.and_(upper, ir.Constant(word, 1))
    rounded = builder.lshr(builder.add(raw, builder.add(odd, ir.Constant(word, 0x7FFF))), ir.Constant(word, 16))
    # Adding to the bits of NaN could give infinity or zero; the topmost bit of its fraction keeps it NaN.
    quiet = builder.or_(upper, ir.Constant(word, 0x40))
    return builder.trunc(builder.select(builder.fcmp_unordered("uno", value, value), quiet, rounded), half)


def _alone(builder: Any, access: Any, stream: str) -> None:
    """Tell LLVM that this access touches the memory of its own stream only."""
    module = builder.module
    domain = module.add_metadata(["rmsprop"])
    scopes = {name: module.add_metadata([f"rmsprop {name}", domain]) for name in _SCOPES}
    access.set_metadata("alias.scope", module.add_metadata([scopes[stream]]))
    access.set_metadata("noalias", module.add_metadata([scopes[name] for name in _SCOPES if name != stream]))
