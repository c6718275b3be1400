"""Parameters on the CPU: one compiled pass over all tensors of a group and dtype, on their own memory."""

import os
from array import array
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.graph import increment_version

from rmsprop.kernels.columns import ROWS, Columns, Numbers, limit_bits
from rmsprop.kernels.precision import REAL
from rmsprop.rule import Rule, average
from rmsprop.torch import shards
from rmsprop.torch.batch import Batch, Route, Single
from rmsprop.torch.state import Entry, in_parts, parts

Array = NDArray[Any]


class Fused(Batch):
    """Some parameters of one group and dtype with their state; arguments as for `Batch`."""

    on_host = True

    def __init__(self, rule: Rule, group: dict[str, Any], params: list[Tensor], entries: list[Entry], loose: bool) -> None:
        """Lay out the table of addresses that the compiled pass reads."""
        super().__init__(rule, group, params, entries, loose)
        self._counted, self._counts_at = self.counts.numpy(), self.counts.data_ptr()  # NumPy adds in a fifth of the time
        self.columns = Columns(*self._table(2 if in_parts(self.dtype, rule) else 1), numbers=2 if self.stored in REAL else 1)
        self._some: tuple[list[int], Columns] | None = None
        self.tune(rule)

    def tune(self, rule: Rule) -> None:
        """Take another rule of the same branches and state."""
        from rmsprop.kernels import cpu  # loads Numba

        super().tune(rule)
        self._scalars: tuple[Any, Numbers] | None = None
        stored = REAL.get(self.stored, self.stored)
        self._scan, self._squares, self._stored = cpu.scan_for, cpu.squares_for, stored
        self._kernels: dict[tuple[bool, bool], Any] = {}

    def _kernel(self, scaled: bool, averaged: bool) -> Any:
        """Return the compiled pass, with or without a factor of the gradients and an average of the parameters."""
        from rmsprop.kernels.cpu import sweep_for

        if (scaled, averaged) not in self._kernels:
            self._kernels[scaled, averaged] = sweep_for(
                self.rule, self.stored, self.computed, scaled=scaled, averaged=averaged, stochastic=self.stochastic
            )
        return self._kernels[scaled, averaged]

    def squares(self, route: Route) -> float:
        """Return the sum of the squares of all gradients."""
        total = self._columns(route).squares(self._squares(self._stored), route.addresses, torch.get_num_threads())
        total += sum(float(parts(one.gradient).double().square().sum()) for one in route.singles)
        return float(shards.total(total, self.mesh, self.params[0])) if self.mesh is not None else total

    def beyond(self, route: Route, gain: float, *, gradients: bool = True) -> bool:
        """Return whether a gradient is not finite, or so large that its square is not; or a parameter in its weight decay.

        Args:
            route: of the step.
            gain: what the gradients will be multiplied by.
            gradients: whether to look at the gradients, too.
        """
        columns, threads = self._columns(route), torch.get_num_threads()
        found = False
        if gradients:
            limit = self.limit / gain
            found = columns.beyond(self._scan(self._stored), route.addresses, limit_bits(limit, self._stored), threads)
            found = found or any(not (parts(one.gradient).abs() <= limit).all() for one in route.singles)
        if self.parameter_limit < np.inf:
            bits = limit_bits(self.parameter_limit, self._stored)
            found = found or columns.beyond(self._scan(self._stored), columns.table[0], bits, threads)
        return bool(shards.anywhere(found, self.mesh)) if self.mesh is not None else found

    def advance(self, route: Route, lr: float | Tensor, gain: float, *, scaled: bool, skip: Any = None) -> None:
        """Take one step.

        Args:
            route: of the step.
            lr: learning rate.
            gain: what the gradients are multiplied by first.
            scaled: whether the step multiplies them at all.
            skip: not used here; what is skipped on the host is not begun.
        """
        lr = lr.item() if isinstance(lr, Tensor) else lr
        every = route.present is None
        touched = [] if every else [*(route.present or ()), *(one.k for one in route.singles)]
        counts = [0.0]
        if self.rule.bias_correction or self.stochastic:
            counts = (self.counts if every else self.counts[touched]).tolist()
        if min(counts) == max(counts):
            self._sweep(self._columns(route), route.addresses, self._numbers(lr, gain, int(counts[0]) + 1), counts[0], scaled)
        else:
            self._sweep_by_count(route, lr, gain, scaled)
        for one in route.singles:
            count = int(self.counts[one.k])
            self._single(one, self._numbers(lr, gain, count + 1), count, scaled)
        if every:
            if self.counts.data_ptr() == self._counts_at:
                self._counted += 1.0
            else:  # moved to shared memory, under the view
                self.counts.add_(1.0)
            increment_version(self.params)
        else:
            self.counts[touched] += 1.0
            increment_version([self.params[k] for k in touched])

    def _sweep(self, columns: Columns, addresses: Any, scalars: Numbers, count: float, scaled: bool) -> None:
        """Run the compiled pass."""
        columns.sweep(self._kernel(scaled, self.averaged), addresses, scalars, int(count), torch.get_num_threads())

    def _sweep_by_count(self, route: Route, lr: float, gain: float, scaled: bool) -> None:
        """Run the compiled pass once for each number of steps that parameters have taken: the correction depends on it."""
        present = list(range(len(self.params))) if route.present is None else route.present
        counts = self.counts[present].numpy()
        for count in np.unique(counts):
            chosen = np.flatnonzero(counts == count)
            columns = self.columns.chosen([present[i] for i in chosen])
            some = array("q", [route.addresses[i] for i in chosen])
            self._sweep(columns, some, self._numbers(lr, gain, int(count) + 1), float(count), scaled)

    def _single(self, one: Single, scalars: Numbers, count: int, scaled: bool) -> None:
        """Step one parameter through dense copies, and write them back."""
        p, entry = self._local(self.params)[one.k], self.entries[one.k]
        kernel = self._kernel(scaled, self.averaged and one.rows is None)
        table = np.array([[0 if a is None else a.data_ptr()] for a in (*one.arrays, None)][: len(ROWS)], np.int64)
        factor = 2 if self.dtype.is_complex and self.stored not in REAL else 1
        sizes = np.array([one.gradient.numel() * factor], np.int64)
        columns = Columns(table, sizes, self.columns.numbers)
        columns.sweep(kernel, array("q", [one.gradient.data_ptr()]), scalars, count, torch.get_num_threads())
        targets = [p.detach(), *self._arrays(one.k)]
        for target, new in zip(targets, one.arrays, strict=False):
            if target is not None and new is not None and target is not new:
                target.copy_(new) if one.rows is None else one.rows.put(target, new)
        if self.averaged and one.rows is not None:
            keep = self.group["ema_decay"]
            entry["ema"].copy_(average(entry["ema"], p.detach(), keep, 1 - keep))

    def _numbers(self, lr: float, gain: float, step: int) -> Numbers:
        """Return the scalars of a step in the arithmetic's precision."""
        key = (lr, gain, self.group["ema_decay"], step if self.rule.bias_correction else 0)
        if self._scalars is None or self._scalars[0] != key:
            keep = self.group["ema_decay"] or 0.0
            numbers = (*self.rule.scalars(lr, step), gain, keep, 1 - keep)
            self._scalars = key, Numbers(np.array(numbers, self.real))
        return self._scalars[1]

    def _columns(self, route: Route) -> Columns:
        """Return the table of the parameters that the compiled pass takes."""
        if route.present is None:
            return self.columns
        if self._some is None or self._some[0] != route.present:
            self._some = route.present, self.columns.chosen(route.present)
        return self._some[1]


def fusible(p: Tensor, group: dict[str, Any]) -> str | None:
    """Return why a parameter cannot go through the compiled pass, or None if it can."""
    if p.device.type != "cpu":
        return f"it is on {p.device}"
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    if p.dtype == torch.float16:
        from rmsprop.kernels.elements import converts_float16  # loads Numba

        return None if converts_float16() else "this processor does not convert float16"
    return None
