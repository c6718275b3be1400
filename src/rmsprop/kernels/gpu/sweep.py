"""The rule on a GPU: one launch over all tensors of a model, one program for each tile of each tensor."""

from typing import Any

# What these functions read besides their arguments; `build` gives it to copies of them.
tl: Any = None  # triton.language
update: Any = None
widen: Any = None
narrow: Any = None
blend: Any = None
scatter: Any = None
noise: Any = None
seeded: Any = None
held: Any = None
tile: Any = None
load_p: Any = None
load_g: Any = None
load_v: Any = None
load_m: Any = None
load_b: Any = None
load_e: Any = None
store_p: Any = None
store_v: Any = None
store_m: Any = None
store_b: Any = None
store_e: Any = None
CENTERED = MOMENTUM = SCALED = AVERAGED = STOCHASTIC = ON_DEVICE = False
TILE = 0
REAL: Any = None  # the arithmetic's type

# Rows of a table: addresses of p, v, m, b and of the moving average of p; numbers in each tensor; which of a batch's it is.
SIZE, PLACE = 5, 6
TABLE_ROWS = 7

# What `prepare` leaves in its numbers before a row of each correction for all tensors.
INNER, OUTER, DECAY, GAIN, SKIPPED = 0, 1, 2, 3, 4
COMMON = 5


def sweep(
    table: Any,
    gradients: Any,
    tiles: Any,
    numbers: Any,
    counts: Any,
    tensors: Any,
    count: Any,
    inner: Any,
    outer: Any,
    decay: Any,
    fresh: Any,
    eps: Any,
    momentum: Any,
    weight_decay: Any,
    correction: Any,
    unbias: Any,
    carried: Any,
    gain: Any,
    keep: Any,
    rest: Any,
) -> None:
    """Update one tile: that of the program's number.

    Args:
        table: (7, tensors) int64: addresses of p, v, m, b and of the moving average of p, each read only where it is kept; then
            each tensor's numbers, and its place in `counts`.
        gradients: (tensors,) int64: addresses of the gradients.
        tiles: (programs, 2) int32: the tensor that a tile is of, and which of its tiles it is.
        numbers: what `prepare` made (ON_DEVICE).
        counts: float32: steps that each tensor of the batch has taken, this one included (ON_DEVICE).
        tensors: number of tensors.
        count: steps that all of them have taken before this one, where the host knows it.
        inner: as the arguments that follow, up to carried, a field of `rule.Scalars`.
        outer: see inner.
        decay: see inner.
        fresh: see inner.
        eps: see inner.
        momentum: see inner.
        weight_decay: see inner.
        correction: see inner.
        unbias: see inner.
        carried: see inner.
        gain: what the gradients are multiplied by (SCALED).
        keep: weight of the average's past (AVERAGED).
        rest: 1 - keep.
    """
    at = tiles + 2 * tl.program_id(0).to(tl.int64)
    tensor = tl.load(at).to(tl.int64)
    first = tl.load(at + 1).to(tl.int64) * TILE
    size = tl.load(table + SIZE * tensors + tensor)
    at_p = tl.load(table + tensor)
    at_g = tl.load(gradients + tensor)
    at_v = tl.load(table + tensors + tensor)
    at_m = tl.load(table + 2 * tensors + tensor) if CENTERED else at_v
    at_b = tl.load(table + 3 * tensors + tensor) if MOMENTUM else at_v
    at_e = tl.load(table + 4 * tensors + tensor) if AVERAGED else at_v
    # Numbers of the host may come as Python's own in the interpreter.
    decay = tl.full((), decay, REAL)
    fresh = tl.full((), fresh, REAL)
    eps = tl.full((), eps, REAL)
    momentum = tl.full((), momentum, REAL)
    keep = tl.full((), keep, REAL)
    rest = tl.full((), rest, REAL)
    if ON_DEVICE:
        inner = tl.load(numbers + INNER)
        outer = tl.load(numbers + OUTER)
        weight_decay = tl.load(numbers + DECAY)
        gain = tl.load(numbers + GAIN)
        size = tl.where(tl.load(numbers + SKIPPED) != 0, 0, size)  # a step that is skipped finds nothing to write
        correction = tl.load(numbers + COMMON + tensor)
        unbias = tl.load(numbers + COMMON + tensors + tensor)
        carried = tl.load(numbers + COMMON + 2 * tensors + tensor)
    else:
        inner = tl.full((), inner, REAL)
        outer = tl.full((), outer, REAL)
        weight_decay = tl.full((), weight_decay, REAL)
        gain = tl.full((), gain, REAL)
        correction = tl.full((), correction, REAL)
        unbias = tl.full((), unbias, REAL)
        carried = tl.full((), carried, REAL)
    key = tensor
    if STOCHASTIC:
        if ON_DEVICE:
            count = tl.load(counts + tl.load(table + PLACE * tensors + tensor)).to(tl.int64) - 1
        key = seeded(count.to(tl.int64), tensor)
    scalars = (inner, outer, decay, fresh, eps, momentum, weight_decay, correction, unbias, carried, gain, keep, rest)
    addresses = (at_p, at_g, at_v, at_m, at_b, at_e)
    if ((at_p | at_g | at_v | at_m | at_b | at_e) % 16 == 0) & (first + TILE <= size):
        tile(addresses, first, size, True, key, scalars)
    else:
        tile(addresses, first, size, False, key, scalars)


def advance(addresses: Any, first: Any, size: Any, full: Any, key: Any, scalars: Any) -> None:
    """Update one tile of one tensor.

    Args:
        addresses: of p, g, v, m, b and of the moving average of p.
        first: the tile's first element.
        size: elements of the tensor; those from there on are not touched.
        full: whether the tile is full and 16 divides all addresses; a constant.
        key: of the tensor's random bits (STOCHASTIC).
        scalars: those that `sweep` has, from inner on.
    """
    at_p, at_g, at_v, at_m, at_b, at_e = addresses
    inner, outer, decay, fresh, eps, momentum, weight_decay, correction, unbias, carried, gain, keep, rest = scalars
    p = load_p(at_p, first, size, full)
    g = load_g(at_g, first, size, full)
    v = load_v(at_v, first, size, full)
    m = load_m(at_m, first, size, full) if CENTERED else g
    b = load_b(at_b, first, size, full) if MOMENTUM else g
    if AVERAGED:
        e = load_e(at_e, first, size, full)
    if SCALED:
        g = gain * g
    p, v, m, b = update(p, g, v, m, b, inner, outer, decay, fresh, eps, momentum, weight_decay, correction, unbias, carried)
    if STOCHASTIC:
        p = scatter(p, noise(key, first + tl.arange(0, TILE)))
    store_p(at_p, first, size, full, p)
    store_v(at_v, first, size, full, v)
    if CENTERED:
        store_m(at_m, first, size, full, m)
    if MOMENTUM:
        store_b(at_b, first, size, full, b)
    if AVERAGED:
        # What memory holds is averaged, with the rounding of 16-bit parameters.
        store_e(at_e, first, size, full, blend(e, held(p), keep, rest))


def memory(p: Any) -> Any:
    """Return parameters as memory gives them back after they were stored."""
    return widen(narrow(p))
