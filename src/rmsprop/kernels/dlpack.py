"""Where a framework's tensors lie, read in one compiled loop through DLPack's C exchange interface.

Asking a tensor for its address, dtype, shape and strides from Python costs half a microsecond and more, which for small tensors is
more than the step itself. A type with `__dlpack_c_exchange_api__` publishes a C function that answers all of it in some 50 ns.

Source: DLPack 1.3, dlpack.h, "DLPackExchangeAPI", https://github.com/dmlc/dlpack.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from rmsprop.kernels import elements
from rmsprop.kernels.compile import OPTIONS, compiled
from rmsprop.rule import rebound

# DLPack's code of each kind of number.
CODES = {"float": 2, "bfloat": 4, "complex": 5}
MAJOR = 1
DEVICES = {"cpu": 1, "cuda": 2, "xpu": 14}  # kDLCPU, kDLCUDA, kDLOneAPI
# Where the function stands in the table, in words: the version, an older table, and three others come before.
_READ = 5

# What the kernels read besides their arguments; `compiled` replaces them in a copy of each function.
whole = elements.load("int64", "int64", "table")
put = elements.store("int64", "int64", "v")
ask: Any = None  # int function(PyObject *tensor, DLTensor *room)
forgive: Any = None
stack: Any = None
place: Any = None
get: Any = None  # PyObject *function(PyObject *mapping, PyObject *key), which lends what it finds, and sets no error otherwise

# Words of what `check` is told.
READ, CLEAR, NOTHING, LOOK, COUNT, ROWS, NAMES, OBJECTS, EXPECTED, DTYPES, SHAPES, OFFSETS, ENTRIES, KEYS = range(14)
SPANS, LOWS, HIGHS, BYTES, SEEN, DEVICE = range(14, 20)
FITS, CHANGED = -1, -2


def check(told: int, gradients: int) -> int:
    """Look at every tensor that a step touches, and turn gradients from Python objects into the addresses of their memory.

    Args:
        told: address of int64 words: addresses of the C function that describes a tensor, of `PyErr_Clear`, of None and of
            `PyDict_GetItem`; number of parameters, of rows of tensors that belong to them, themselves the first, and of names;
            then addresses of int64 arrays: of the rows' Python objects, (rows, count), and after them of further objects with
            names, so that those of all names are (names, count) from the second row on; of where the rows' memory is expected,
            (rows, count); of the DLPack dtypes of the gradients and of each row; of each parameter's number of dimensions, shape
            and strides; of where in it each begins; of the dicts that hold the objects, (count,); of their names there; then the
            number of spans of memory that the step writes to, the addresses of their starts in ascending order and of the largest
            end up to each, of the bytes of each gradient, and of where each was the last time, which this changes; then the
            device, as `described_device` has it.
        gradients: address of a (count,) int64 array: addresses of the gradients' Python objects, overwritten.

    Returns:
        FITS; CHANGED, if something but a gradient is not as expected; or the number of the first gradient that does not fit.
    """
    # Loaded once: the compiler must expect every call of Python's to change all memory.
    read, clear, nothing, look = whole(told, READ), whole(told, CLEAR), whole(told, NOTHING), whole(told, LOOK)
    count, objects, expected, dtypes = whole(told, COUNT), whole(told, OBJECTS), whole(told, EXPECTED), whole(told, DTYPES)
    shapes, offsets, entries, keys = whole(told, SHAPES), whole(told, OFFSETS), whole(told, ENTRIES), whole(told, KEYS)
    lows, highs, sizes, seen = whole(told, LOWS), whole(told, HIGHS), whole(told, BYTES), whole(told, SEEN)
    device = whole(told, DEVICE)
    room = stack()
    for key in range(whole(told, NAMES)):
        name = whole(keys, key)
        for k in range(count):
            if get(look, whole(entries, k), name) != whole(objects, (key + 1) * count + k):
                return CHANGED
    for row in range(whole(told, ROWS)):
        dtype = whole(dtypes, row + 1)
        for k in range(count):
            at = shapes + 8 * whole(offsets, k)
            if place(read, clear, whole(objects, row * count + k), device, dtype, at, room) != whole(expected, row * count + k):
                return CHANGED
    dtype = whole(dtypes, 0)
    for k in range(count):
        if whole(gradients, k) == nothing:
            return k
        address = place(read, clear, whole(gradients, k), device, dtype, shapes + 8 * whole(offsets, k), room)
        if address < 0:
            return k
        if address != whole(seen, k):
            # What the step writes to is no place for a gradient: it would change before it is read.
            low, high = 0, whole(told, SPANS)
            while low < high:
                middle = (low + high) // 2
                if whole(lows, middle) < address + whole(sizes, k):
                    low = middle + 1
                else:
                    high = middle
            if low and whole(highs, low - 1) > address:
                return k
            put(seen, k, address)
        put(gradients, k, address)
    return FITS


def place_of(read: int, clear: int, tensor: int, device: int, dtype: int, shape: int, room: int) -> int:
    """Return the address of a tensor's memory, or -1 if its device, dtype, shape or strides are others than expected.

    Args:
        read: as `check` is told, as is clear.
        clear: address of `PyErr_Clear`.
        tensor: address of the Python object.
        device: its DLPack device.
        dtype: its DLPack code, bits and lanes.
        shape: address of its number of dimensions, its shape and its strides.
        room: address of six words for its description.
    """
    if ask(read, tensor, room) != 0:
        forgive(clear)
        return -1
    dimensions = whole(shape, 0)
    if whole(room, 1) != device or whole(room, 2) != (dtype << 32 | dimensions):
        return -1
    size = 1
    for d in range(dimensions):
        if whole(whole(room, 3), d) != whole(shape, 1 + d):
            return -1
        size *= whole(shape, 1 + d)
    if size > 1:
        for d in range(dimensions):
            if whole(shape, 1 + d) > 1 and whole(whole(room, 4), d) != whole(shape, 1 + dimensions + d):
                return -1
    address: int = whole(room, 0) + whole(room, 5)
    return address


def described_dtype(name: str) -> int:
    """Return a dtype's DLPack code, bits and lanes as the structure has them in one word.

    Example:
        >>> hex(described_dtype("bfloat16"))
        '0x11004'
    """
    kind = name.rstrip("0123456789")
    return CODES[kind] | int(name[len(kind) :]) << 8 | 1 << 16


def described_device(kind: str, index: int) -> int | None:
    """Return a device as the structure has it in one word, two 32-bit fields; None for kinds that are not known here.

    Example:
        >>> hex(described_device("cuda", 3))
        '0x300000002'
    """
    code = DEVICES.get(kind)
    return None if code is None else code | index << 32


@cache
def functions(kind: type) -> tuple[int, ...] | None:
    """Return the first words of what `check` is told about tensors of a type, or None if it publishes no C interface."""
    capsule = getattr(kind, "__dlpack_c_exchange_api__", None)
    if capsule is None:
        return None
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = pointer(capsule, b"dlpack_exchange_api")
    if (ctypes.c_uint32 * 2).from_address(table)[0] != MAJOR:
        return None
    read = (ctypes.c_void_p * (_READ + 1)).from_address(table)[_READ]
    own = (ctypes.pythonapi.PyErr_Clear, ctypes.pythonapi.PyDict_GetItem)
    clear, look = (ctypes.cast(function, ctypes.c_void_p).value for function in own)
    assert read is not None
    assert clear is not None
    assert look is not None
    return read, clear, id(None), look


@cache
def checker() -> Callable[[int, int], int]:
    """Return `check`, compiled. It holds the GIL, as the C function needs it."""
    locked = {**OPTIONS, "nogil": False}
    one = numba.njit(**locked)(rebound(place_of, {"ask": _calling(types.int32), "forgive": _forgive, "whole": whole}))
    constants = {name: value for name, value in globals().items() if name.isupper() and isinstance(value, int)}
    names = {"place": one, "get": _calling(types.int64), "stack": _stack, "whole": whole, "put": put, **constants}
    kernel: Callable[[int, int], int] = compiled(check, names, (), (types.int64,) * 2, nogil=False)
    return kernel


def _calling(result: Any) -> Any:
    """Return a compiled function of (address of a C function of two pointers, one, the other) that calls it.

    Args:
        result: Numba's type of what the C function returns.
    """

    @intrinsic
    def call(typingctx: Any, function: Any, one: Any, other: Any) -> tuple[Any, Callable[..., Any]]:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.FunctionType(context.get_value_type(result), [ir.IntType(64)] * 2)
            return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])

        return result(types.int64, types.int64, types.int64), codegen

    return call


@intrinsic
def _forgive(typingctx: Any, function: Any) -> tuple[Any, Callable[..., Any]]:
    """Call void function(void)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def _stack(typingctx: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the address of six words on the stack."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(64), 6))  # type: ignore[no-untyped-call]
        return builder.ptrtoint(words, ir.IntType(64))

    return types.int64(), codegen
