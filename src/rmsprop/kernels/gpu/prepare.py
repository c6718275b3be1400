"""What only the device knows about a step, made into the scalars of `sweep` on the device: nothing waits for the host."""

from typing import Any

# What these functions read besides their arguments; `build` gives it to copies of them.
tl: Any = None  # triton.language
biases: Any = None
power: Any = None
where: Any = None
WIDTH = 0  # tensors of a program
REAL: Any = None  # the arithmetic's type
BIAS_CORRECTION = GAIN_ON_DEVICE = SKIPPABLE = False
LR_ON_DEVICE = INNER_BY_LR = OUTER_BY_LR = DECAY_BY_LR = False  # which scalars are multiplied by lr
INNER = OUTER = DECAY = GAIN = SKIPPED = COMMON = PLACE = 0  # as in `sweep`


def prepare(
    table: Any,
    numbers: Any,
    counts: Any,
    lr: Any,
    scale: Any,
    skip: Any,
    tensors: Any,
    inner: Any,
    outer: Any,
    weight_decay: Any,
    decay: Any,
    gain: Any,
) -> None:
    """Make the scalars of a step, and count it.

    Args:
        table: as for `sweep`.
        numbers: (COMMON + 3·tensors,) in the arithmetic's type, written: inner, outer, weight_decay, gain, whether to skip the
            step; correction, unbias and carried of each tensor.
        counts: float32: steps that each tensor of the batch has taken; incremented, unless the step is skipped.
        lr: of one element: the learning rate (LR_ON_DEVICE).
        scale: of one element: what the gradients are multiplied by (GAIN_ON_DEVICE).
        skip: of one element: whether to leave everything as it is (SKIPPABLE).
        tensors: number of tensors.
        inner: as `rule.Scalars` has it, in double precision, as are outer and weight_decay; for lr = 1 where that is on the device.
        outer: see inner.
        weight_decay: see inner.
        decay: weight of the past.
        gain: what the gradients are multiplied by, where the host knows it.
    """
    k = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)
    there = k < tensors
    inner = tl.full((), inner, tl.float64)
    outer = tl.full((), outer, tl.float64)
    weight_decay = tl.full((), weight_decay, tl.float64)
    gain = tl.full((), gain, tl.float64)
    skipped = tl.full((), 0, tl.int32)
    if LR_ON_DEVICE:
        rate = tl.load(lr).to(tl.float64)
        inner = inner * rate if INNER_BY_LR else inner
        outer = outer * rate if OUTER_BY_LR else outer
        weight_decay = weight_decay * rate if DECAY_BY_LR else weight_decay
    if GAIN_ON_DEVICE:
        gain = tl.load(scale).to(tl.float64)
    if SKIPPABLE:
        skipped = tl.load(skip).to(tl.int32)
    if tl.program_id(0) == 0:
        tl.store(numbers + INNER, inner.to(REAL))
        tl.store(numbers + OUTER, outer.to(REAL))
        tl.store(numbers + DECAY, weight_decay.to(REAL))
        tl.store(numbers + GAIN, gain.to(REAL))
        tl.store(numbers + SKIPPED, skipped.to(REAL))
    place = tl.load(table + PLACE * tensors + k, there, 0)
    count = tl.load(counts + place, there, 0.0)
    if BIAS_CORRECTION:
        prior, correction, divisor = biases(tl.full((WIDTH,), decay, tl.float64), count, where)
        # as in `Rule.arranged`
        tl.store(numbers + COMMON + k, correction.to(REAL), there)
        tl.store(numbers + COMMON + tensors + k, (1.0 / divisor).to(REAL), there)
        tl.store(numbers + COMMON + 2 * tensors + k, (prior / correction).to(REAL), there)
    tl.store(counts + place, count + (skipped == 0).to(tl.float32), there)


def integer_power(base: Any, exponent: Any) -> Any:
    """Return base to a whole power of less than 2²⁵, by squaring."""
    result = tl.full((WIDTH,), 1.0, tl.float64)
    left = exponent.to(tl.int32)
    for _ in range(25):
        result = tl.where((left & 1) != 0, result * base, result)
        base = base * base
        left = left >> 1
    return result
