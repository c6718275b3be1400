"""Parameters that a kernel takes together on their own memory, whatever device that is on, and which of them a step takes how."""

from array import array
from collections.abc import Sequence
from itertools import chain
from operator import is_, itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rmsprop.kernels.columns import ROWS
from rmsprop.kernels.precision import REAL, largest_gradient
from rmsprop.rule import Rule
from rmsprop.torch import shards
from rmsprop.torch.addresses import CHANGED, Places
from rmsprop.torch.memory import fitting, joined, still
from rmsprop.torch.sparse import Rows, densified
from rmsprop.torch.state import COMPUTED, Entry, in_parts, name


class Single(NamedTuple):
    """A parameter that goes by itself, through dense copies."""

    k: int
    arrays: list[Tensor | None]  # p, v, m and b
    gradient: Tensor
    rows: Rows | None  # those that a sparse gradient has; None for all


class Route(NamedTuple):
    """How one step runs over a batch."""

    present: list[int] | None  # which parameters the compiled pass takes; None for all
    gradients: Sequence[Tensor | None]  # of those
    addresses: Any  # of the gradients: an array of 64-bit integers
    singles: list[Single]


class Batch:
    """Some parameters of one group, dtype and device with their state.

    Args:
        rule: the group's.
        group: the group's options.
        params: the parameters, each with complete state.
        entries: their state.
        loose: whether parameters have gaps in memory, or another order than their state; they go one by one, through copies.
        counting: the device that counts the steps.
    """

    def __init__(
        self, rule: Rule, group: dict[str, Any], params: list[Tensor], entries: list[Entry], loose: bool, counting: Any = "cpu"
    ) -> None:
        """Note where everything lies."""
        self.params, self.entries, self.group, self.loose = params, entries, group, loose
        self.mesh = shards.mesh_of(params[0])
        self.dtype = params[0].dtype
        computed = name(COMPUTED[self.dtype])
        self.real = REAL.get(computed, computed)
        apart = in_parts(self.dtype, rule)
        self.computed = self.real if apart else computed
        self.stored = self.real if apart else name(self.dtype)
        self.averaged = group["ema_decay"] is not None
        self.stochastic = group["stochastic_rounding"] and self.dtype in (torch.float16, torch.bfloat16)
        slots = {slot.argument: slot.name for slot in rule.slots} | ({"e": "ema"} if self.averaged else {})
        self.names = [slots[row] for row in ROWS if row in slots]
        self.rows = [ROWS.index(row) for row in ROWS if row in slots]
        self._fetch = itemgetter(*self.names, "step")
        held = list(map(self._fetch, entries))
        self.states: list[list[Tensor]] = [list(column) for column in zip(*held, strict=True)][:-1]
        self._join(counting)

    def _join(self, device: Any) -> None:
        """Bring the counts of steps together on a device, and note what the kernel is to find where."""
        self.counts = joined(self.entries, device)
        self._held = list(chain.from_iterable(map(self._fetch, self.entries)))
        local = self._local(self.params)
        columns = [] if self.loose else [local, *(self._local(column) for column in self.states)]
        self.places = Places(columns, self.entries, (*self.names, "step") if self.mesh is None else ())

    def _table(self, numbers: int) -> tuple[Any, Any]:
        """Return the addresses of the arrays in ROWS, (5, tensors) int64, and the sizes.

        Args:
            numbers: how many of them an element of a parameter counts for.
        """
        params = [] if self.loose else self._local(self.params)
        table = np.zeros((len(ROWS), len(params)), np.int64)
        table[[] if self.loose else [0, *self.rows]] = self.places.table
        return table, np.array([p.numel() * numbers for p in params], np.int64)

    def tune(self, rule: Rule) -> None:
        """Take another rule of the same branches and state."""
        self.rule = rule
        self.limit = largest_gradient(rule, self.real)
        # The gradient that is squared has weight_decay·p in it.
        self.parameter_limit = self.limit / rule.weight_decay if rule.switches["COUPLED"] else np.inf

    def holds(self) -> bool:
        """Return whether the state is still the tensors that were found there, as far as `route` does not see to it."""
        if self.mesh is None and not self.loose:
            return True
        if not still(self._fetch, self.entries, self._held):
            return False
        return self.mesh is None or self.loose or all(map(is_, self._local(self.params), self.places.columns[0]))

    def route(self) -> Route | int | None:
        """Find the gradients of a step.

        Returns:
            None if there are none; CHANGED if parameters or state are no longer where the table has them.

        Raises:
            RuntimeError: one is sparse and the group does not say what to do about it.
            ValueError: one does not fit its parameter.
        """
        gradients: Sequence[Tensor | None] = [p.grad for p in self.params]
        if self.mesh is not None:
            gradients = self._local(gradients)
        if not self.loose:
            found = self.places.found(gradients)
            if not isinstance(found, int):
                return Route(None, gradients, found, [])
            if found == CHANGED:
                return CHANGED
        present: list[int] = []
        singles: list[Single] = []
        taken: list[Tensor] = []
        for k, (p, g) in enumerate(zip(self._local(self.params), gradients, strict=True)):
            if g is None:
                continue
            if not g.is_sparse and self.places.holds(g):
                g = g.clone()  # it would change under the step
            if g.layout != torch.strided:
                g = densified(g, p, self.group["sparse"])
            if g.is_sparse:
                rows = Rows(g)
                arrays = [None if a is None else rows.of(a) for a in (p, *self._arrays(k)[:3])]
                singles.append(Single(k, arrays, fitting(g.values(), rows.of(p)), rows))
            elif self.loose:
                dense = p.detach().clone(memory_format=torch.contiguous_format)
                arrays = [dense, *(None if a is None else a.contiguous() for a in self._arrays(k))]
                singles.append(Single(k, arrays, fitting(g, dense), None))
            else:
                present.append(k)
                taken.append(fitting(g, p))
        if not present and not singles:
            return None
        return Route(present, taken, array("q", [g.data_ptr() for g in taken]), singles)

    def _arrays(self, k: int) -> list[Tensor | None]:
        """Return v, m, b and the average of parameter k, None for those that are not kept."""
        held = dict(zip(self.rows, (self._local(column)[k] for column in self.states), strict=True))
        return [held.get(row) for row in range(1, len(ROWS))]

    def _local(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """Return the part of distributed tensors that lies in this process; others as they are."""
        return tensors if self.mesh is None else shards.local(tensors)


def plain(p: Tensor, group: dict[str, Any]) -> str | None:
    """Return why a parameter cannot go through a kernel of this package on any device, or None if it may."""
    if group["fused"] is False:
        return "fused=False"
    if group["differentiable"]:
        return "differentiable=True"
    local = shards.local([p])[0] if shards.mesh_of(p) is not None else p
    if type(local) not in (Tensor, torch.nn.Parameter, torch.nn.Buffer):
        return f"it is a {type(p).__name__}"
    if local.is_conj() or local.is_neg():
        return "it is conjugated or negated lazily"
    return None if local.layout == torch.strided else f"its layout is {p.layout}"
