"""Parameters of one dtype with their state, and which kernel takes which of them in a step.

Arrays that lie dense in memory go through the compiled pass, all in one call. Others, and models too small to repay loading a
compiler, go through the reference. Both give the same bits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop.kernels import reference
from rmsprop.kernels.precision import REAL, largest_gradient
from rmsprop.kernels.threads import share
from rmsprop.layout import Memory, address, dense
from rmsprop.parameters import COMPUTED, Parameters
from rmsprop.rule import Rule, Scalars

Array = NDArray[Any]

# Elements that a further thread must have to itself; below that, waking it costs more than it saves.
GRAIN = 16_384
_WRITTEN = (0, 2, 3, 4)  # rows of the table of addresses: p, v, m, b; row 1 is g's


class Route(NamedTuple):
    """How one step runs over a group: its gradients, and the indices of those that each kernel takes."""

    grads: list[Array | None]
    swept: list[int]  # through the compiled pass
    left: list[int]  # through the reference


class Columns:
    """Some parameters as the kernels read them: addresses, running sizes, and where these lie themselves.

    Args:
        table: (5, tensors) int64: addresses of p, g, v, m and b.
        sizes: (tensors,) int64: elements of each.
        numbers: real numbers in an element.
    """

    def __init__(self, table: Array, sizes: Array, numbers: int) -> None:
        """Sum the sizes, and keep the arrays whose addresses are given out."""
        self.table, self.ends = table, sizes.cumsum()
        self.reals = self.ends * numbers
        self.tensors = len(sizes)
        self.total = int(self.ends[-1])
        self.at_rows = [address(row) for row in table]
        self.at_ends, self.at_reals = address(self.ends), address(self.reals)


class Group:
    """Some parameters of one dtype, updated together.

    Args:
        rule: the dialect.
        parameters: all parameters of the optimizer.
        indices: those of the group, all of one dtype.
        state: for each of the rule's slots, one array for each of all parameters, as `new_state` makes them.
        compiled: whether to compile a kernel, or to stay with NumPy.
    """

    def __init__(
        self, rule: Rule, parameters: Parameters, indices: list[int], state: Mapping[str, Sequence[Array]], compiled: bool
    ) -> None:
        """Lay out the table of addresses that the compiled pass reads."""
        self.rule = rule
        self.indices = indices
        self.params = params = [parameters.arrays[i] for i in indices]
        computed = COMPUTED[params[0].dtype.name]
        self.real = REAL.get(computed, computed)
        self.limit = largest_gradient(rule, self.real)
        # The gradient that is squared has weight_decay·p in it.
        self.parameter_limit = self.limit / rule.weight_decay if rule.switches["COUPLED"] else np.inf
        # Parts of a complex number are two elements of the kernel, its modulus makes it one.
        self.parts = computed in REAL and rule.complex_form == "parts"
        self.computed = self.real if self.parts else computed
        self.dtype = params[0].dtype
        self.stored = self.real if self.parts else self.dtype.name
        self.bounds = [_bits(limit, REAL.get(self.stored, self.stored)) for limit in (self.parameter_limit, self.limit)]
        self.shapes = [p.shape for p in params]
        self.update = reference.update_for(rule, self.real)
        held: dict[str, Sequence[Array | None]] = {slot.argument: [state[slot.name][i] for i in indices] for slot in rule.slots}
        self.state = [held.get(argument, [None] * len(params)) for argument in "vmb"]
        # A gradient with other strides may have its elements in another order; None equals no strides.
        self.strides = [p.strides if compiled and self._sweepable(k) else None for k, p in enumerate(params)]
        if any(strides is not None for strides in self.strides):
            from rmsprop.kernels import cpu  # loads Numba

            self.sweep = cpu.sweep_for(rule, self.stored, self.computed)
            self.scan = cpu.scan_for(REAL.get(self.stored, self.stored))
        # In elements of the sweep, and in real numbers for the scan.
        self.sizes = np.array([p.size * (2 if self.parts else 1) for p in params], np.int64)
        self.numbers = 2 if self.stored in REAL else 1
        self.table = np.zeros((5, len(params)), np.int64)
        for row, arrays in zip(_WRITTEN, (params, *self.state), strict=True):
            self.table[row] = [0 if a is None else address(a) for a in arrays]
        self.columns = Columns(self.table, self.sizes, self.numbers)
        real, whole = np.dtype(self.real), np.dtype(self.computed)
        self.kinds = [whole, whole, real, whole, whole]

    def _sweepable(self, k: int) -> bool:
        """Return whether parameter k and its state lie dense in memory, in one order, and the processor can convert its dtype."""
        p = self.params[k]
        beside = [a for a in (held[k] for held in self.state) if a is not None]
        if not (dense(p) and all(dense(a) and _same_order(p, a) for a in beside)):
            return False
        if self.stored != "float16":
            return True
        from rmsprop.kernels.elements import converts_float16  # loads Numba

        return converts_float16()

    def route(self, grads: Sequence[Any], parameters: Parameters, memory: Memory) -> Route:
        """Check the gradients and note their addresses.

        Args:
            grads: one for each parameter of the group, or None.
            parameters: makes an array that fits of what is not one yet, or refuses it.
            memory: what the step writes to; a gradient that lies in it is copied, as it would change under the step.
        """
        route = Route(list(grads), [], [])
        addresses = []
        for k, g in enumerate(grads):
            if g is None:
                continue
            if not (type(g) is np.ndarray and g.dtype is self.dtype and g.shape == self.shapes[k]):
                g = parameters.fitting(self.indices[k], g)
            elif g.strides == self.strides[k]:  # nearly always so, hence the short way
                low = address(g)
                if low % self.dtype.alignment == 0 and not memory.meets(low, low + g.nbytes):
                    addresses.append(low)
                    route.swept.append(k)
                    continue
            if memory.holds(g):
                g = g.copy()
            route.grads[k] = g
            if self.strides[k] is not None and g.dtype == self.dtype and dense(g) and _same_order(self.params[k], g):
                addresses.append(address(g))
                route.swept.append(k)
            else:
                route.left.append(k)
        if len(addresses) == len(self.params):
            self.table[1] = addresses
        else:
            self.table[1, route.swept] = addresses
        return route

    def beyond(self, route: Route) -> int | None:
        """Return the index of the first gradient with NaN, infinity or a square too large for the arithmetic, if any."""
        if self._scan(1, route.swept):
            for k in route.swept:
                if reference.beyond(_there(route.grads[k]), self.limit):
                    return k
        for k in route.left:
            if reference.beyond(_there(route.grads[k]), self.limit):
                return k
        if self.parameter_limit < np.inf:
            suspects = route.swept if self._scan(0, route.swept) else []
            for k in [*suspects, *route.left]:
                if reference.beyond(self.params[k], self.parameter_limit):
                    return k
        return None

    def advance(self, route: Route, scalars: Scalars) -> None:
        """Take one step along the gradients of a route."""
        values = np.array(scalars, self.real)
        if route.swept:
            columns = self._columns(route.swept)
            numbers = columns.at_rows[0], columns.at_ends, address(values), columns.tensors
            share(lambda first, last: self.sweep(*numbers, first, last), columns.total, GRAIN)
        if route.left:
            with np.errstate(all="ignore"):
                for k in route.left:
                    self._refer(k, _there(route.grads[k]), values)

    def _scan(self, row: int, chosen: list[int]) -> bool:
        """Return whether the parameters (row 0) or the gradients (row 1) hold a number beyond their limit."""
        if not chosen:
            return False
        columns = self._columns(chosen)
        numbers = columns.at_rows[row], columns.at_reals, self.bounds[row], columns.tensors
        found: list[bool] = []
        share(lambda first, last: found.append(self.scan(*numbers, first, last)), columns.total * self.numbers, GRAIN)
        return any(found)

    def _columns(self, chosen: list[int]) -> "Columns":
        """Return what the kernels read of some of the parameters."""
        if len(chosen) == len(self.params):
            return self.columns
        return Columns(np.ascontiguousarray(self.table[:, chosen]), self.sizes[chosen], self.numbers)

    def _refer(self, k: int, g: Array, scalars: Array) -> None:
        """Take one parameter's step with the reference."""
        arrays = [self.params[k], g, *(held[k] for held in self.state)]
        if self.parts:
            for part in ("real", "imag"):
                reference.advance(self.update, [None if a is None else getattr(a, part) for a in arrays], self.kinds, scalars)
        else:
            reference.advance(self.update, arrays, self.kinds, scalars)


def new_state(rule: Rule, p: Array, computed: str) -> dict[str, Array]:
    """Return the state of one parameter before the first step: slot name to array, in the parameter's shape and memory order."""
    state = {}
    for slot in rule.slots:
        kind, initial = computed, complex(slot.initial, slot.initial)
        if computed not in REAL or (slot.real and rule.complex_form == "modulus"):
            kind, initial = REAL.get(computed, computed), slot.initial
        state[slot.name] = np.full_like(p, initial, dtype=kind, subok=False)
    return state


def _bits(limit: float, real: str) -> int:
    """Return the bits of a limit, or of the largest number where the limit is beyond it."""
    kind = np.dtype(real)
    number = kind.type(min(limit, float(np.finfo(kind).max)))
    return int(number.view(f"i{kind.itemsize}"))


def _same_order(p: Array, g: Array) -> bool:
    """Return whether two dense arrays of one shape have their elements in the same order in memory."""
    return (g.flags.c_contiguous and p.flags.c_contiguous) or (g.flags.f_contiguous and p.flags.f_contiguous)


def _there(g: Array | None) -> Array:
    """Return a gradient that a route says is there."""
    assert g is not None
    return g
