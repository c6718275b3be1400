"""Where a framework's tensors lie, read in one compiled loop through DLPack's C exchange interface.

Asking a tensor for its address, dtype, shape and strides from Python costs a microsecond, which for small tensors is more than the
step itself. A type with `__dlpack_c_exchange_api__` publishes a C function that answers all of it at once, in some 100 ns.

Source: DLPack 1.3, dlpack.h, "DLPackExchangeAPI", https://github.com/dmlc/dlpack.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from rmsprop.kernels import elements
from rmsprop.kernels.compile import compiled
from rmsprop.layout import address

Array = NDArray[Any]

# DLPack's code of each kind of number.
CODES = {"float": 2, "bfloat": 4, "complex": 5}
MAJOR = 1
CPU = 1  # kDLCPU, device 0: two 32-bit fields in one word
# Where the functions stand in the table, in words: the version, an older table, and three others come before.
_READ = 5

# What `gather` reads besides its arguments.
whole = elements.load("int64", "int64", "table")
put = elements.store("int64", "int64", "v")
ask: Any = None
forgive: Any = None


def gather(
    read: int, clear: int, nothing: int, objects: int, count: int, dtype: int, shapes: int, offsets: int, room: int, found: int
) -> int:
    """Note the addresses of tensors; return how many fit before the first that does not.

    Args:
        read: address of the C function that describes a tensor.
        clear: address of `PyErr_Clear`.
        nothing: address of None, which is no tensor.
        objects: address of a (count,) int64 array: addresses of the Python objects.
        count: number of tensors.
        dtype: their DLPack code and bits, as `described_dtype` has them.
        shapes: address of an int64 array: for each tensor its number of dimensions, its shape and its strides.
        offsets: address of a (count,) int64 array: where in shapes each begins.
        room: address of 6 words to work in.
        found: address of a (count,) int64 array: where the addresses go.
    """
    for k in range(count):
        if whole(objects, k) == nothing:
            return k
        if ask(read, whole(objects, k), room) != 0:
            forgive(clear)
            return k
        at = whole(offsets, k)
        dimensions = whole(shapes, at)
        if whole(room, 1) != CPU or whole(room, 2) != (dtype << 32 | dimensions):
            return k
        shape, strides, size = whole(room, 3), whole(room, 4), 1
        for d in range(dimensions):
            if whole(shape, d) != whole(shapes, at + 1 + d):
                return k
            size *= whole(shape, d)
        if size > 1:
            for d in range(dimensions):
                if whole(shape, d) > 1 and whole(strides, d) != whole(shapes, at + 1 + dimensions + d):
                    return k
        put(found, k, whole(room, 0) + whole(room, 5))
    return count


def described_dtype(name: str) -> int:
    """Return a dtype's DLPack code, bits and lanes as the structure has them in one word.

    Example:
        >>> hex(described_dtype("bfloat16"))
        '0x11004'
    """
    kind = name.rstrip("0123456789")
    return CODES[kind] | int(name[len(kind) :]) << 8 | 1 << 16


@cache
def reader(kind: type) -> Callable[..., int] | None:
    """Return `gather` for tensors of a type without its first two arguments, or None where the type has no C interface."""
    capsule = getattr(kind, "__dlpack_c_exchange_api__", None)
    if capsule is None:
        return None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(capsule, b"dlpack_exchange_api")
    if (ctypes.c_uint32 * 2).from_address(table)[0] != MAJOR:
        return None
    read = (ctypes.c_void_p * (_READ + 1)).from_address(table)[_READ]
    clear = ctypes.cast(ctypes.pythonapi.PyErr_Clear, ctypes.c_void_p).value
    kernel = compiled(
        gather, {"whole": whole, "put": put, "ask": _ask, "forgive": _forgive, "CPU": CPU}, (), (types.int64,) * 10, nogil=False
    )

    def addresses(objects: Array, count: int, dtype: int, shapes: int, offsets: int, found: Array) -> int:
        room = np.empty(6, np.int64)
        fitting: int = kernel(read, clear, id(None), address(objects), count, dtype, shapes, offsets, address(room), address(found))
        return fitting

    return addresses


@intrinsic
def _ask(typingctx: Any, function: Any, tensor: Any, room: Any) -> tuple[Any, Callable[..., Any]]:
    """Call int function(PyObject *tensor, DLTensor *room)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(64)] * 2)
        return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

    return types.int32(types.int64, types.int64, types.int64), codegen


@intrinsic
def _forgive(typingctx: Any, function: Any) -> tuple[Any, Callable[..., Any]]:
    """Call void function(void)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), codegen
