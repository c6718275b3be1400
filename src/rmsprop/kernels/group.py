"""Parameters of one dtype with their state, and which kernel takes which of them in a step.

Arrays that lie dense in memory go through the compiled pass, all in one call. Others, and models too small to repay loading a
compiler, go through the reference. Both give the same bits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rmsprop.kernels import reference
from rmsprop.kernels.columns import ROWS, Columns, Numbers, limit_bits
from rmsprop.kernels.precision import REAL, largest_gradient
from rmsprop.layout import Memory, address, dense
from rmsprop.parameters import COMPUTED, Parameters
from rmsprop.rule import Rule, Scalars

Array = NDArray[Any]


class Route(NamedTuple):
    """How one step runs over a group: its gradients, and the indices of those that each kernel takes."""

    grads: list[Array | None]
    swept: list[int]  # through the compiled pass
    addresses: list[int]  # of the gradients of those
    left: list[int]  # through the reference


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
        stored_real = REAL.get(self.stored, self.stored)
        self.bounds = [limit_bits(limit, stored_real) for limit in (self.parameter_limit, self.limit)]
        self.shapes = [p.shape for p in params]
        self.update = reference.update_for(rule, self.real)
        held: dict[str, Sequence[Array | None]] = {slot.argument: [state[slot.name][i] for i in indices] for slot in rule.slots}
        self.state = [held.get(argument, [None] * len(params)) for argument in "vmb"]
        # A gradient with other strides may have its elements in another order; None equals no strides.
        self.strides = [p.strides if compiled and self._sweepable(k) else None for k, p in enumerate(params)]
        if any(strides is not None for strides in self.strides):
            from rmsprop.kernels import cpu  # loads Numba

            self.sweep = cpu.sweep_for(rule, self.stored, self.computed)
            self.scan = cpu.scan_for(stored_real)
        table = np.zeros((len(ROWS), len(params)), np.int64)
        for row, arrays in enumerate((params, *self.state)):
            table[row] = [0 if a is None else address(a) for a in arrays]
        sizes = np.array([p.size * (2 if self.parts else 1) for p in params], np.int64)
        self.columns = Columns(table, sizes, numbers=2 if self.stored in REAL else 1)
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
        route = Route(list(grads), [], [], [])
        addresses = route.addresses
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
        return route

    def beyond(self, route: Route) -> int | None:
        """Return the index of the first gradient with NaN, infinity or a square too large for the arithmetic, if any."""
        if self._scan(route, self.bounds[1], gradients=True):
            for k in route.swept:
                if reference.beyond(_there(route.grads[k]), self.limit):
                    return k
        for k in route.left:
            if reference.beyond(_there(route.grads[k]), self.limit):
                return k
        if self.parameter_limit < np.inf:
            suspects = route.swept if self._scan(route, self.bounds[0], gradients=False) else []
            for k in [*suspects, *route.left]:
                if reference.beyond(self.params[k], self.parameter_limit):
                    return k
        return None

    def advance(self, route: Route, scalars: Scalars) -> None:
        """Take one step along the gradients of a route."""
        values = np.array((*scalars, 1.0, 0.0, 0.0), self.real)  # no gain, no average
        if route.swept:
            self._columns(route).sweep(self.sweep, np.array(route.addresses, np.int64), Numbers(values))
        if route.left:
            with np.errstate(all="ignore"):
                for k in route.left:
                    self._refer(k, _there(route.grads[k]), values[: len(scalars)])

    def _scan(self, route: Route, bound: int, gradients: bool) -> bool:
        """Return whether the gradients, or the parameters, of the compiled pass hold a number beyond a bound."""
        if not route.swept:
            return False
        columns = self._columns(route)
        return columns.beyond(self.scan, np.array(route.addresses, np.int64) if gradients else columns.table[0], bound)

    def _columns(self, route: Route) -> Columns:
        """Return what the kernels read of the parameters that go through the compiled pass."""
        return self.columns if len(route.swept) == len(self.params) else self.columns.chosen(route.swept)

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


def _same_order(p: Array, g: Array) -> bool:
    """Return whether two dense arrays of one shape have their elements in the same order in memory."""
    return (g.flags.c_contiguous and p.flags.c_contiguous) or (g.flags.f_contiguous and p.flags.f_contiguous)


def _there(g: Array | None) -> Array:
    """Return a gradient that a route says is there."""
    assert g is not None
    return g
