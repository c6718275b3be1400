"""Loads and stores of a tile of one tensor, converted between the type in memory and the arithmetic's.

A full tile of a tensor at an address that 16 divides is moved 16 bytes at a time; others element by element, under a mask.
"""

from typing import Any

# What these functions read besides their arguments; `build` gives it to copies of them.
tl: Any = None  # triton.language
widen: Any = None
narrow: Any = None
load_half: Any = None  # `load` and `store` of half a tile
store_half: Any = None
TILE = 0  # elements
POINTER: Any = None  # Triton's type of a pointer to what memory holds
STORED: Any = None  # the type in memory
COMPUTED: Any = None  # the arithmetic's


def load(at: Any, first: Any, size: Any, full: Any) -> Any:
    """Return a tile's elements.

    Args:
        at: address of element 0 of the tensor.
        first: the tile's first element.
        size: elements of the tensor.
        full: whether the tile is full and the address divisible by 16; a constant.
    """
    i = first + tl.arange(0, TILE)
    return widen(tl.load(aligned(at) + i) if full else tl.load(at.to(POINTER) + i, i < size, 0))


def store(at: Any, first: Any, size: Any, full: Any, x: Any) -> None:
    """Put a tile's elements; arguments as for `load`."""
    i = first + tl.arange(0, TILE)
    if full:
        tl.store(aligned(at) + i, narrow(x))
    else:
        tl.store(at.to(POINTER) + i, narrow(x), i < size)


def aligned(at: Any) -> Any:
    """Return an address that 16 divides as a pointer that is known for it."""
    return tl.multiple_of(at.to(POINTER), 16)


def load_joint(at: Any, first: Any, size: Any, full: Any) -> Any:
    """Return elements of which each belongs to two neighbours, the parts of a complex number; arguments count the parts."""
    x = load_half(at, first // 2, size // 2, full)
    return tl.reshape(tl.join(x, x), [TILE])


def store_joint(at: Any, first: Any, size: Any, full: Any, x: Any) -> None:
    """Put elements of which each belongs to two neighbours; arguments as for `load_joint`."""
    x, _ = tl.split(tl.reshape(x, [TILE // 2, 2]))
    store_half(at, first // 2, size // 2, full, x)


def converted(x: Any) -> Any:
    """Return what memory holds as the arithmetic's type."""
    return x.to(COMPUTED)


def stored(x: Any) -> Any:
    """Return numbers as memory holds them: the nearest there, ties to even."""
    return x.to(STORED)


def widened_bfloat16(x: Any) -> Any:
    """Return the numbers whose upper halves are given."""
    return (x.to(tl.uint32) << 16).to(tl.float32, bitcast=True)


def nearest_bfloat16(x: Any) -> Any:
    """Return the bits of the bfloat16 nearest to a float32, ties to even, by the arithmetic that the CPU's pass does it with.

    Not every device that Triton compiles for converts bfloat16.
    """
    raw = x.to(tl.uint32, bitcast=True)
    upper = raw >> 16
    rounded = (raw + (upper & 1) + 0x7FFF) >> 16
    # Adding to the bits of NaN could give infinity or zero; the topmost bit of its fraction keeps it NaN.
    return tl.where(x != x, upper | 0x40, rounded).to(tl.uint16)
