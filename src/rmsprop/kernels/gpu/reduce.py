"""One number of a whole model's gradients: what clipping by norm and the refusal of bad gradients are decided by."""

from typing import Any

# What these functions read besides their arguments; `build` gives it to copies of them.
tl: Any = None  # triton.language
load: Any = None
part: Any = None
combine: Any = None
SIZE = TILE = 0  # as in `sweep`


def reduce(table: Any, arrays: Any, tiles: Any, results: Any, tensors: Any) -> None:
    """Take one number of a tile, by `part`: the sum of its squares, or its largest magnitude.

    Args:
        table: as for `sweep`; the sizes are read.
        arrays: (tensors,) int64: addresses of what is looked at.
        tiles: as for `sweep`.
        results: (programs,) float64, written: each tile's number. Tiles depend on the sizes alone, so that their sum does, too.
        tensors: number of tensors.
    """
    program = tl.program_id(0).to(tl.int64)
    tensor = tl.load(tiles + 2 * program).to(tl.int64)
    first = tl.load(tiles + 2 * program + 1).to(tl.int64) * TILE
    size = tl.load(table + SIZE * tensors + tensor)
    at = tl.load(arrays + tensor)
    if (at % 16 == 0) & (first + TILE <= size):
        tl.store(results + program, part(load(at, first, size, True)))
    else:
        tl.store(results + program, part(load(at, first, size, False)))


def sum_of_squares(x: Any) -> Any:
    """Return the sum of the squares of a tile, in double precision."""
    wide = x.to(tl.float64)
    return tl.reduce(wide * wide, 0, combine)


def largest(x: Any) -> Any:
    """Return the largest magnitude in a tile, infinity if there is NaN."""
    size = tl.where(x == x, tl.abs(x), float("inf"))
    return tl.reduce(size, 0, combine).to(tl.float64)


def add(a: Any, b: Any) -> Any:
    """Return the sum."""
    return a + b


def greater(a: Any, b: Any) -> Any:
    """Return the greater one."""
    return tl.maximum(a, b)
