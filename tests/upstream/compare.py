"""How far an upstream and ours are apart.

A step is compared in two ways, neither of which replaces the other: from the upstream's own p and state of the step before, where
an ulp is that of max(|before|, |after|), and for v that of v; and free-running, from the first step to the last without being set
back, where drift shows. There an error once made stays in p and decays in m and b, so that the ulp is that of the largest value so
far, which decays at the array's own rate.

What the upstream's rounding leaves open is added to the ulp: see `doubt.py`. Where that has no bound, because the upstream's v - m²
is below 0 or about to be, nothing can be compared; ours must be finite there all the same.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rmsprop.kernels.precision import floor
from tests.upstream.doubt import Doubt
from tests.upstream.gradients import rates
from tests.upstream.ours import Ours
from tests.upstream.ulps import judge
from tests.upstream.upstreams import Case, Process

NAMES = ("p", "v", "m", "b")
LIMIT = {"p": 4.0, "v": 2.0}  # ulp within which a step is called exact
FAR = 64.0  # ulp within which a free run is called close
EVERY = 5  # steps between two looks at the free run
NOTHING = np.empty(0)


@dataclass
class Worst:
    """The largest errors of a run."""

    limits: dict[str, float]
    bare: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))  # in ulp
    error: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))  # in ulp + doubt
    beyond: int = 0  # values of p or v more than limits off, in ulp
    unknown: int = 0  # values of p or v that cannot be compared
    seen: int = 0  # values of p or v
    finite: bool = True  # whether ours was so everywhere

    @property
    def share(self) -> float:
        return self.beyond / self.seen

    @property
    def state(self) -> float:
        return max(self.error[name] for name in "vmb")

    @property
    def parameter(self) -> float:
        return self.error["p"]

    def add(
        self, name: str, ours: np.ndarray, theirs: np.ndarray, size: np.ndarray, doubt: np.ndarray | None, below: float
    ) -> None:
        """Take in the values of one array after one step.

        Args:
            name: of the array.
            ours: its values.
            theirs: the upstream's.
            size: whose ulp is the unit.
            doubt: what is open besides.
            below: a difference that does not count.
        """
        limit, open_ = self.limits.get(name, np.inf), NOTHING if doubt is None else doubt
        error, bare, beyond, unknown = judge(real(ours), real(theirs), size, open_, below, limit)
        self.error[name], self.bare[name] = max(self.error[name], error), max(self.bare[name], bare)
        if name in LIMIT:
            self.beyond, self.unknown, self.seen = self.beyond + beyond, self.unknown + unknown, self.seen + len(size)


def real(array: np.ndarray) -> np.ndarray:
    """Return the real numbers that an array holds."""
    return array.view(array.real.dtype)


def measure(process: Process, case: Case, n: int, steps: int, **axes: Any) -> tuple[Worst, Worst]:
    """Step an upstream and ours, and return the largest errors from step to step, and those of the free run.

    Args:
        process: the upstream.
        case: which options.
        n: elements.
        steps: how many.
        axes: what ours is told differently.
    """
    if steps % EVERY:
        raise ValueError(f"steps must be a multiple of {EVERY}, got {steps}; the last one is looked at")
    stream = process.run(case, n, steps)
    before = next(stream)
    doubts, single, free = Doubt(case.rule, case.real), Ours(case, before["p"], **axes), Ours(case, before["p"], **axes)
    before |= {slot.argument: np.full_like(before["p"], slot.initial) for slot in case.rule.slots}
    stepwise, drift = Worst(LIMIT), Worst(dict.fromkeys(LIMIT, FAR))
    lasting = {"p": 1.0, "v": case.rule.decay, "m": case.rule.decay, "b": case.rule.momentum}
    largest, total = dict[str, np.ndarray](), dict[str, np.ndarray]()
    for t, (lr, after) in enumerate(zip(rates(steps), stream, strict=True), 1):
        if t > 1:
            single.write(before, t - 1)
        single.step(after["g"], lr)
        free.step(after["g"], lr)
        doubt, one = doubts(before, after, lr, t), single.read(t)
        run = free.read(t) if t % EVERY == 0 else {}
        for name in one:
            theirs = after[name]
            new = np.abs(real(theirs))
            size = new if name == "v" else np.maximum(np.abs(real(before[name])), new)
            below = 2 * floor(case.real)  # ours flushes state below floor to 0, upstreams what they add to it
            stepwise.add(name, one[name], theirs, size, doubt.get(name), below)
            if name == "v":
                largest[name] = size
            elif name in largest:
                largest[name] *= new.dtype.type(lasting[name])
                np.maximum(largest[name], size, out=largest[name])
            else:
                largest[name] = size
            if name in doubt and name in total:
                total[name] *= lasting[name]
                total[name] += doubt[name]
            elif name in doubt:
                total[name] = doubt[name]
            if name in run:
                drift.add(
                    name, run[name], theirs, largest[name], total.get(name), below / (1 - lasting[name] if name != "p" else 1)
                )
        drift.finite &= bool(np.isfinite(free.p).all())
        before = after
    return stepwise, drift
