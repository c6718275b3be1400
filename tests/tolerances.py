"""The one table of tolerances: what may differ, by how many ulp, and why.

For v the unit is one ulp of v itself. For p it is one ulp of max(|p before|, |p after|): near 0 the ulp of p alone says nothing.
"""

from typing import NamedTuple


class Tolerance(NamedTuple):
    """How far a result may be from what it is compared with."""

    state: float  # ulp of v, m and b
    parameter: float  # ulp of the larger of |p before| and |p after|
    reason: str


# The contract: five steps against the rule in 60 digits. For m, b and p the ulp is that of the largest magnitude so far.
_ROUNDING = "five steps that round every operation and each scalar once"
TOLERANCES: dict[str, Tolerance] = {
    "contract": Tolerance(12, 8, _ROUNDING),
    "contract, coupled": Tolerance(64, 8, f"{_ROUNDING}; g + weight_decay·p may cancel before it is squared"),
}

# Replays of the golden traces, six steps (forty in "constant") without being set back: what was measured, rounded up. The ulp of p
# is that of the largest |p| so far, since an error once made stays; the ulp of m and b decays as they do. NumPy rounds each
# operation by itself, so that the figures are the same on every machine.
_ORDER = "six steps of the same rule, with the factors of lr·g/denominator in another order"
_RSQRT = "the root is taken as an approximate 1/√x, two ulp off in places"
_TORCH = "torch fuses the multiplications and additions of addcmul, lerp and add, and its root is one ulp off in places"
_COUPLED = "coupled weight decay feeds the error of p back into g, which may nearly cancel against it"
_TF1 = "1 - decay is taken in float32, 3 ulp off for .9 and 10 for .99"
_ROUNDED = "the traces hold the hyper-parameters as the upstream rounds them to float32; only the order of operations is left"
_CANCEL = "v - m² shrinks to decay⁴⁰ = 1/68 of v, so that the rounding of v weighs 68 times as much under the root"
_CORRECTED = "at the first step the corrected v - m² is 0 but for rounding, which eps = .1 outweighs only in part"
TOLERANCES |= {
    "golden torch float32": Tolerance(13, 8, f"{_TORCH}; {_COUPLED}"),
    "golden torch float64": Tolerance(4, 4, _TORCH),
    "golden torch float32 constant": Tolerance(8, 93, _CANCEL),
    "golden torch float64 constant": Tolerance(4, 52, _CANCEL),
    "golden timm float32": Tolerance(5, 5, f"{_TORCH}; v moves by (g² - v)·(1 - decay)"),
    "golden timm float64": Tolerance(5, 2, _TORCH),
    "golden sb3 float32": Tolerance(4, 7, f"{_TORCH}; {_COUPLED}"),
    "golden sb3 float64": Tolerance(3, 2, _TORCH),
    "golden bitsandbytes float32": Tolerance(4, 3, _TORCH),
    "golden optax float32": Tolerance(3, 4, f"{_ORDER}; {_RSQRT}"),
    "golden optax float64": Tolerance(4, 4, f"{_ORDER}; {_RSQRT}"),
    "golden optax float32 constant": Tolerance(6, 51, _CANCEL),
    "golden optax float32 moderate": Tolerance(6, 3, _CORRECTED),
    "golden optax float64 moderate": Tolerance(19, 7, _CORRECTED),
    "golden jax-example float32": Tolerance(2, 1, _ORDER),
    "golden jax-example float64": Tolerance(2, 2, _ORDER),
    "golden keras-jax float32": Tolerance(4, 1, _ORDER),
    "golden keras-jax float64": Tolerance(2, 3, _ORDER),
    "golden keras-tensorflow float32": Tolerance(4, 1, _ORDER),
    "golden keras-tensorflow float64": Tolerance(2, 3, _ORDER),
    "golden keras-torch float32": Tolerance(5, 3, f"{_ORDER}, and centered as (v + eps) - m²"),
    "golden keras-torch float64": Tolerance(2, 3, f"{_ORDER}, and centered as (v + eps) - m²"),
    "golden tf-keras float32": Tolerance(4, 4, f"{_ORDER}; {_RSQRT}"),
    "golden tf-keras float64": Tolerance(2, 3, f"{_ORDER}; {_RSQRT}"),
    "golden tf-keras-legacy float32": Tolerance(17, 7, _TF1),
    "golden tf-keras-legacy float64": Tolerance(4, 3, _ROUNDED),
    "golden tensorflow float32": Tolerance(15, 8, f"{_TF1}, and v moves by (g² - v)·(1 - decay)"),
    "golden tensorflow float64": Tolerance(4, 3, _ROUNDED),
    "golden paddle float32": Tolerance(17, 15, f"{_TF1}; {_COUPLED}"),
    "golden paddle float64": Tolerance(5, 2, _ROUNDED),
    "golden mindspore float32": Tolerance(15, 8, _TF1),
    "golden mlx float32": Tolerance(0, 1, _ORDER),
    "golden chainer float32": Tolerance(2, 1, _ORDER),
    "golden chainer float64": Tolerance(1, 2, _ORDER),
    "golden chainer-graves float32": Tolerance(
        6, 2, f"{_ORDER}; v - m² is uncertain by an ulp of v, the more beside a smaller buffer"
    ),
    "golden chainer-graves float64": Tolerance(
        4, 2, f"{_ORDER}; v - m² is uncertain by an ulp of v, the more beside a smaller buffer"
    ),
}

# The live optimizer against torch.optim.RMSprop, and its ways of computing against each other: twelve steps, never set back.
TOLERANCES |= {
    "torch's inputs float32": Tolerance(13, 16, _TORCH),
    "torch's inputs float64": Tolerance(13, 16, _TORCH),
}

# rmsprop.optax against optax.rmsprop: six steps, never set back.
TOLERANCES |= {
    "optax live float32": Tolerance(6, 8, f"{_ORDER}; {_RSQRT}"),
    "optax live float64": Tolerance(6, 8, f"{_ORDER}; {_RSQRT}"),
}

# State carried from one rule to another.
TOLERANCES |= {
    "moved": Tolerance(10, 0, "six steps by each of the two rules; a buffer is then scaled by lr once, m² taken from v once"),
}

# A run of optax.rmsprop that goes on in rmsprop.optax, and the other way round: twenty steps after the state was exactly that.
_GOES_ON = (
    f"twenty steps, p having been larger on the way; the factors come in another order; {_RSQRT}; centered, ours keeps v - m²"
)
TOLERANCES |= {
    "optax moved float32": Tolerance(0, 16, _GOES_ON),
    "optax moved float64": Tolerance(0, 8, _GOES_ON),
}

# Each pair of frameworks: ten steps in one, a move through a file, twenty steps in both. Measured and rounded up.
TOLERANCES |= {
    "pair torch": Tolerance(0, 8, _TORCH),
    "pair optax": Tolerance(0, 8, f"{_ORDER}; {_RSQRT}"),
    "pair keras": Tolerance(0, 8, f"{_ORDER}, and centered as (v + eps) - m² on its torch backend"),
    "pair tensorflow": Tolerance(0, 32, f"{_TF1}, and v moves by (g² - v)·(1 - decay); twenty steps"),
    "readme, TensorFlow to PyTorch": Tolerance(
        0, 256, "gradients of two frameworks, whose products and tanh differ by some ulp and feed on each other for ten steps"
    ),
    "pair numpy": Tolerance(0, 8, "the same rule in other backends, whose compilers fuse multiplications and additions"),
}

# The rivals of the race against torch.optim in float64: sixty steps, never set back.
_FUSED = "torch fuses multiplications and additions, each step of p is rounded once less"
TOLERANCES |= {
    "race, sgd": Tolerance(0, 4, _FUSED),
    "race, momentum": Tolerance(0, 4, f"{_FUSED}; the buffer has the same bits"),
    "race, nesterov": Tolerance(0, 4, f"{_FUSED}; the buffer has the same bits"),
    "race, adagrad": Tolerance(3, 4, f"{_FUSED}, as is the sum"),
    "race, adadelta": Tolerance(12, 4, f"{_FUSED}; the mean of Δ² carries twice the error of each Δ"),
    "race, adam": Tolerance(4, 4, f"{_FUSED}; m moves by (g - m)·(1 - β₁)"),
    "race, rmsprop": Tolerance(4, 4, _TORCH),
}

# Runs of PyTorch's world that move from an upstream to ours, or back, beside the one that stays: twenty steps after ten.
TOLERANCES |= {
    "torch moved float32": Tolerance(0, 16, f"{_TORCH}; {_COUPLED}"),
    "torch moved float64": Tolerance(0, 8, f"{_TORCH}; {_COUPLED}"),
}

# rmsprop.keras against keras.optimizers.RMSprop and TensorFlow 1's, six steps, never set back, and against the NumPy reference.
_KERAS = "Keras squares g in another order, and v - m² is uncertain by an ulp of v"
TOLERANCES |= {
    "keras live torch float32": Tolerance(4, 8, f"{_TORCH}; {_KERAS}"),
    "keras live torch float64": Tolerance(4, 5, f"{_TORCH}; {_KERAS}"),
    "keras live jax float32": Tolerance(4, 2, _KERAS),
    "keras live jax float64": Tolerance(3, 4, _KERAS),
    "keras live tensorflow float32": Tolerance(4, 4, _KERAS),
    "keras live tensorflow float64": Tolerance(3, 4, _KERAS),
    "keras live, TF1": Tolerance(15, 8, f"{_TF1}, and v moves by (g² - v)·(1 - decay)"),
    "keras, NumPy float32": Tolerance(16, 12, f"{_ORDER}; {_COUPLED}; v - m² is uncertain by an ulp of v"),
    "keras, NumPy float64": Tolerance(8, 8, f"{_ORDER}; {_COUPLED}"),
    "keras, NumPy, bias correction, centered by difference": Tolerance(
        8,
        8000,
        "at the first step the corrected v - m² is 0 but for an ulp of g² = 9, which beside eps = .001 is 4,500 ulp",
    ),
}


class Relative(NamedTuple):
    """How far a result may be from what it is compared with, as a share of it."""

    share: float
    reason: str


# Fits to data.
RELATIVE: dict[str, Relative] = {
    "fit, derivative": Relative(1e-9, "some ten operations on values between 1e-3 and 1e3, each of which may cancel three digits"),
    "fit, blocks": Relative(1e-12, "sums of 1e5 terms in another order"),
    "fit, certified stderr": Relative(1e-4, "the certified values have 11 digits, of which an ill-conditioned J keeps some"),
    "fit, certified rss": Relative(1e-9, "the certified values have 11 digits"),
    "fit, optimum": Relative(1e-8, "a polished fit is at rounding's floor, √ulp of RSS"),
    "fit, streamed": Relative(2e-2, "a mini-batch run ends within its last learning rate of the optimum"),
    # The PyTorch optimizer beside PyTorch's own.
    "torch, moved": Relative(2e-5, "fifty steps after a float32 v - m² was taken, and the variance is kept by another recurrence"),
    "torch, moved double": Relative(2e-13, "the same in float64"),
    "torch, clipped": Relative(2e-6, "three float32 steps with the norm summed in another order and precision"),
    "torch, averaged": Relative(1e-6, "four float32 averages, each rounded three times"),
}

# Twelve steps of which six come after a move between Keras's optimizer and ours.
RELATIVE |= {
    "keras, carried": Relative(
        1e-6, "six float32 steps of the same rule in another order of operations, of the largest number of each array"
    ),
    "keras, moved": Relative(2e-5, "two steps after a float32 v - m² was taken, which is an ulp of v off"),
}

# What a report says of an optimizer.
RELATIVE |= {
    "report": Relative(1e-9, "double precision; a step measured as the difference of two parameters loses some six digits"),
    "report, float32": Relative(1e-3, "steps of 1e-3 to 1e-2 of parameters with seven digits, measured as their difference"),
    "report, sampled": Relative(0.02, "of 65,536 elements: a share is known to ± 0.002, a norm of normal numbers to ± 0.3 %"),
}

# rmsprop.optax against optax.rmsprop.
RELATIVE |= {
    "optax, centered and corrected": Relative(
        1e-6,
        "the corrected v - m² is 0 at the first step, where theirs is rounding: √(ulp of v) / eps = √(2e-16·30) / 0.1 of a step",
    ),
}

# The lab.
RELATIVE |= {
    "lab, lines": Relative(
        1e-9, "a formula's line in SymPy's order of operations, of which a centered one may cancel; of 1e-9 of the largest at least"
    ),
}

# The race.
RELATIVE |= {
    "race, gradient": Relative(
        1e-12, "some thirty operations, of which parts may cancel: a share of the largest of loss and slopes"
    ),
}

# The lab.
RELATIVE |= {
    "lab, rounding": Relative(1e-12, "a few operations in double precision, or as many as a run of 150 steps takes"),
    "lab, epsilon": Relative(1e-5, "ε = 1e-8 stands beside a root mean square of 3e-3 or more"),
}


class Upstream(NamedTuple):
    """How far `rmsprop.torch` may be from a live upstream over 10⁶ hostile elements and 100 steps: see upstream/compare.py."""

    state: float  # after a step from the upstream's own state: v, m and b, in ulp and in what its rounding leaves open
    parameter: float  # the same of p
    beyond: float  # share of v and p that is then more than 2 and 4 ulp off, whatever rounding leaves open
    unknown: float  # share of v and p that cannot be compared
    drift: float | None  # p, v, m and b, free-running, in ulp and in what rounding left open on the way; None for no bound
    far: float  # share of p and v that is then more than 64 ulp off
    reason: str


# Measured and rounded up. "plain" is held to 2 ulp of v, and to 4 of p but for steps across 0.
_MOVED = f"{_TORCH}; v moves by (g² - v)·(1 - decay)"
_FACTORS = "the factors of lr·g/denominator come in another order"
_INVERSE = f"{_FACTORS}; {_RSQRT}"
_ACROSS = "a step across 0 is up to twice as long as p before and after, and so is its ulp; free-running, v sums its last roundings"
_OPEN = "v - m², g + weight_decay·p and the buffer cancel, which counts as open only; kept as v - m², v is rounded once more"
_LOOP = f"{_COUPLED}; free-running, that loop is unstable where lr·weight_decay / (√v + eps) > 2, and two roundings part for good"
UPSTREAM: dict[str, Upstream] = {
    "upstream torch float32 plain": Upstream(2, 8, 3e-6, 0, 72, 3e-6, f"{_TORCH}; {_ACROSS}"),
    "upstream torch float32 cancelling": Upstream(8, 8, 0.2, 1e-5, 78, 0.2, f"{_TORCH}; {_OPEN}"),
    "upstream torch float32 coupled": Upstream(5, 8, 3e-3, 1e-5, None, 0.02, f"{_TORCH}; {_LOOP}"),
    "upstream torch float64 coupled": Upstream(5, 2, 2e-3, 0, None, 0.02, f"{_TORCH}; {_LOOP}"),
    "upstream timm float32 plain": Upstream(2, 10, 9e-6, 0, 93, 3e-6, f"{_MOVED}; {_ACROSS}"),
    "upstream timm float32 cancelling": Upstream(8, 8, 0.06, 0, 97, 0.07, f"{_MOVED}; {_OPEN}"),
    "upstream timm float32 coupled": Upstream(6, 8, 0.01, 0, 570, 0.03, f"{_MOVED}; {_OPEN}"),
    "upstream timm float64 cancelling": Upstream(5, 3, 2e-3, 0, 38, 0.06, f"{_MOVED}; {_OPEN}"),
    "upstream sb3 float32 plain": Upstream(2, 8, 3e-6, 0, 120, 3e-6, f"{_TORCH}; {_ACROSS}"),
    "upstream sb3 float32 cancelling": Upstream(8, 8, 9e-4, 0, 120, 3e-5, f"{_TORCH}; {_OPEN}"),
    "upstream sb3 float32 coupled": Upstream(5, 8, 2e-3, 0, 190, 3e-6, f"{_TORCH}; {_OPEN}"),
    "upstream sb3 float64 coupled": Upstream(5, 2, 3e-4, 0, 48, 3e-6, f"{_TORCH}; {_OPEN}"),
    "upstream bitsandbytes float32 plain": Upstream(2, 8, 3e-6, 0, 72, 3e-6, f"{_TORCH}; {_ACROSS}"),
    "upstream bitsandbytes float32 coupled": Upstream(3, 8, 6e-4, 0, None, 0.02, f"{_TORCH}; {_LOOP}"),
    "upstream keras-torch float32 plain": Upstream(2, 8, 3e-6, 0, 32, 0, f"{_FACTORS}; {_ACROSS}"),
    "upstream keras-torch float32 cancelling": Upstream(8, 8, 0.1, 0, 260, 0.2, f"{_FACTORS}; {_OPEN}"),
    "upstream keras-torch float64 cancelling": Upstream(8, 3, 5e-3, 0, 55, 0.2, f"{_FACTORS}; {_OPEN}"),
    "upstream keras-jax float32 plain": Upstream(2, 8, 1e-6, 0, 21, 0, f"{_FACTORS}; {_ACROSS}"),
    "upstream keras-jax float32 cancelling": Upstream(7, 8, 0.02, 0, 220, 0.2, f"{_FACTORS}; {_OPEN}"),
    "upstream keras-tensorflow float32 plain": Upstream(2, 8, 1e-6, 0, 21, 0, f"{_FACTORS}; {_ACROSS}"),
    "upstream keras-tensorflow float32 cancelling": Upstream(7, 8, 0.02, 0, 220, 0.2, f"{_FACTORS}; {_OPEN}"),
    "upstream tf-keras float32 plain": Upstream(2, 8, 4e-6, 0, 24, 0, f"{_INVERSE}; {_ACROSS}"),
    "upstream tf-keras float32 cancelling": Upstream(9, 8, 0.02, 0, 220, 0.2, f"{_INVERSE}; {_OPEN}"),
    "upstream tf-keras-legacy float32 plain": Upstream(5, 10, 0.02, 0, 33, 0, f"{_TF1}; {_ACROSS}"),
    "upstream tf-keras-legacy float32 cancelling": Upstream(42, 8, 0.2, 2e-5, 89, 0.2, f"{_TF1}; {_OPEN}"),
    "upstream tf-keras-legacy float64 cancelling": Upstream(5, 2, 3e-3, 0, 35, 0.08, f"{_ROUNDED}; {_OPEN}"),
    "upstream optax float32 plain": Upstream(2, 10, 3e-6, 0, 39, 0, f"{_INVERSE}; {_ACROSS}"),
    "upstream optax float32 cancelling": Upstream(24, 8, 0.1, 0.06, 46, 0.2, f"{_INVERSE}; {_OPEN}"),
    "upstream optax float64 cancelling": Upstream(29, 6, 0.2, 2e-4, 60, 0.3, f"{_INVERSE}; {_OPEN}"),
    "upstream jax-example float32 plain": Upstream(2, 8, 1e-6, 0, 32, 0, f"{_FACTORS}; {_ACROSS}"),
    "upstream jax-example float32 cancelling": Upstream(5, 8, 3e-5, 0, 25, 3e-6, f"{_FACTORS}; {_OPEN}"),
    "upstream jax-example float64 cancelling": Upstream(5, 3, 3e-5, 0, 25, 3e-6, f"{_FACTORS}; {_OPEN}"),
    "upstream tensorflow float32 plain": Upstream(8, 10, 9e-3, 0, 48, 0, f"{_TF1}; {_ACROSS}"),
    "upstream tensorflow float32 cancelling": Upstream(42, 8, 0.08, 0, 89, 0.07, f"{_TF1}; {_OPEN}"),
    "upstream tensorflow float64 cancelling": Upstream(7, 2, 2e-3, 0, 42, 0.05, f"{_ROUNDED}; {_OPEN}"),
}
