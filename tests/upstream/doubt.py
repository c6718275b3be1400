"""What an upstream's own rounding leaves open.

Three operations cannot be held to a number of ulp of their result, because they cancel: the subtraction v - m², the addition of
coupled weight decay to g, and that of the newest term to the momentum buffer. What they lose is measured on the rule itself, in
double precision: by how far p, v, m and b move when v, g or the buffer moves by one ulp of what was rounded. Where the means are
corrected, 1 - decay^t is rounded too, after it cancelled: v then moves by eight. In float64 the doubt is itself rounded by as much
as it moves; there v and g move by four times as much.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numba
import numpy as np

import rmsprop
from rmsprop.rule import bind
from tests.upstream.ulps import OPTIONS, table, ulp
from tests.upstream.upstreams import Arrays

NAMES = ("p", "v", "m", "b")
THREADS = ThreadPoolExecutor(2)


class Doubt:
    """By how much the results of a step from an upstream's state may move."""

    def __init__(self, rule: rmsprop.Rule, real: str) -> None:
        self.rule, self.units, self.wide = rule, table(real), 4.0 if real == "float64" else 1.0
        self.any = rule.centered or rule.momentum > 0 or rule.switches["COUPLED"]
        form: dict[str, Any] = {"centered_form": "difference"} if rule.centered else {}  # as every upstream subtracts
        self.loop = _loop(rule.replace(**form).branches) if self.any else None

    def __call__(self, before: Arrays, after: Arrays, lr: float, t: int) -> Arrays:
        """Return the doubt of p, v, m and b as far as there is one; infinite or NaN where there is no bound.

        Args:
            before: p and state before step t.
            after: g of the step, and p and state after it.
            lr: of the step.
            t: counted from 1.
        """
        if self.loop is None:
            return {}
        names = ("p", *(slot.argument for slot in self.rule.slots))
        # An array that the rule does not keep is never read; any other stands in for it.
        old, new = ({name: arrays.get(name, arrays["v"]) for name in NAMES} for arrays in (before, after))
        out = {name: np.zeros(len(after["g"])) for name in names}
        moved = [out.get(name, np.empty(0)) for name in NAMES]
        arrays, scalars = [after["g"], *old.values(), new["v"], new["b"]], tuple(self.rule.scalars(lr, t))

        def work(part: slice) -> None:
            self.loop(*(array[part] for array in arrays), scalars, self.units, self.wide, *(array[part] for array in moved))

        middle = len(after["g"]) // 2
        list(THREADS.map(work, (slice(0, middle), slice(middle, None))))
        return {name: by for name, by in out.items() if name in "pb" or self.rule.switches["COUPLED"]}


@cache
def _loop(rule: rmsprop.Rule) -> Any:
    """Return the loop over all elements for the rules with these branches."""
    step = bind(rule, sqrt=math.sqrt, flush=numba.njit(**OPTIONS)(lambda z: z), compile=numba.njit(**OPTIONS))
    centered, coupled, momentum = rule.centered, rule.switches["COUPLED"], rule.momentum > 0
    spread = 8.0 if rule.bias_correction else 1.0
    many = 1024.0  # p is linear in the buffer: a longer way shows more digits

    @numba.njit(**OPTIONS)
    def loop(g, p, v, m, b, new_v, new_b, scalars, units, wide, of_p, of_v, of_m, of_b):  # type: ignore[no-untyped-def]
        decay, mu, weight = scalars[2], scalars[5], scalars[6]
        for i in range(len(g)):
            x, y, w, a, c = float(p[i]), float(g[i]), float(v[i]), float(m[i]), float(b[i])
            base = step(x, y, w, a, c, *scalars)
            by = wide * spread * ulp(new_v[i], units) / decay if centered and new_v[i] != 0 else 0.0
            near = wide * ulp(max(abs(y), abs(weight * x)), units) if coupled else 0.0
            late = many * ulp(max(abs(c), abs(new_b[i])), units) / mu if momentum else 0.0
            for sign in (1.0, -1.0):
                if centered:
                    result = step(x, y, w + sign * by, a, c, *scalars)
                    of_p[i] = larger(of_p[i], result[0] - base[0])
                    if momentum:
                        of_b[i] = larger(of_b[i], result[3] - base[3])
            if coupled:
                most = (0.0, 0.0, 0.0, 0.0)
                for sign in (1.0, -1.0):
                    result = step(x, y + sign * near, w, a, c, *scalars)
                    most = (
                        larger(most[0], result[0] - base[0]),
                        larger(most[1], result[1] - base[1]),
                        larger(most[2], result[2] - base[2]),
                        larger(most[3], result[3] - base[3]),
                    )
                of_p[i] += most[0]
                of_v[i] += most[1]
                if centered:
                    of_m[i] += most[2]
                if momentum:
                    of_b[i] += most[3]
            if momentum:
                of_p[i] += abs(step(x, y, w, a, c + late, *scalars)[0] - base[0]) / many

    return loop


@numba.njit(**OPTIONS)
def larger(most: float, change: float) -> float:
    """Return the larger magnitude, and NaN where one is."""
    change = abs(change)
    return most if most != most or most > change else change
