"""Parameters on a GPU: one launch over all tensors of a group and dtype, on their own memory, without waiting for the device."""

import warnings
from array import array
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from rmsprop.kernels.columns import ROWS
from rmsprop.kernels.gpu import build, launch
from rmsprop.rule import Rule, average
from rmsprop.torch import shards
from rmsprop.torch.batch import Batch, Route, Single
from rmsprop.torch.state import Entry, counts_on_device, name, parts
from rmsprop.torch.uploads import Table, capturing

# Devices that Triton compiles for.
DEVICES = ("cuda", "xpu")


class Launched(Batch):
    """Some parameters of one group, dtype and device with their state; arguments as for `Batch`.

    Steps are counted on the host until a device has to know them, or decides whether one is taken; from then on there.
    """

    on_host = False

    def __init__(self, rule: Rule, group: dict[str, Any], params: list[Tensor], entries: list[Entry], loose: bool) -> None:
        """Lay out the table of addresses that the kernel reads."""
        self.capturable = counts_on_device(params[0], group)
        self.decided = self.capturable or any(entry["step"].device.type != "cpu" for entry in entries)
        self.device = params[0].device
        super().__init__(rule, group, params, entries, loose, self.device if self.decided else "cpu")
        self.number = self.device.index or 0
        self._argument = launch.argument()
        # A complex element is two real numbers here, for the modulus, too.
        self.reals = 2 if self.dtype.is_complex else 1
        self.memory = self.dtype.to_real()
        self._tables: dict[tuple[int, ...] | None, Table] = {}
        self._last: tuple[Route, Tensor] | None = None
        self.tune(rule)

    def _decide(self) -> None:
        """Let the device count steps from now on."""
        self.decided = True
        self._join(self.device)

    def tune(self, rule: Rule) -> None:
        """Take another rule of the same branches and state."""
        super().tune(rule)
        self._scalars: tuple[Any, list[float]] | None = None
        self._kernels: dict[tuple[bool, bool], launch.Kernel] = {}
        self._preparing: dict[build.Told, launch.Kernel] = {}

    def _kernel(self, scaled: bool, averaged: bool) -> launch.Kernel:
        """Return the kernel, with or without a factor of the gradients and an average of the parameters."""
        if (scaled, averaged) not in self._kernels:
            self._kernels[scaled, averaged] = build.sweep_for(
                build.Variant(
                    self.rule,
                    self.stored,
                    self.computed,
                    scaled,
                    averaged,
                    self.stochastic,
                    self.decided,
                    self.group["approximate"],
                )
            )
        return self._kernels[scaled, averaged]

    def squares(self, route: Route) -> Tensor:
        """Return the sum of the squares of all gradients, on the device."""
        total: Any = self._reduced(route, squares=True).sum()
        for one in route.singles:
            total = total + parts(one.gradient).double().square().sum()
        return shards.total(total, self.mesh, self.params[0]) if self.mesh is not None else total

    def beyond(self, route: Route, gain: float | Tensor, *, gradients: bool = True) -> Tensor:
        """Return whether a gradient is not finite, or so large that its square is not; or a parameter in its weight decay.

        Args:
            route: of the step.
            gain: what the gradients will be multiplied by.
            gradients: whether to look at the gradients, too.

        Returns:
            The answer, on the device.
        """
        found = torch.zeros((), dtype=torch.bool, device=self.device)
        if gradients:
            largest = self._reduced(route, squares=False)
            for one in route.singles:
                if one.gradient.numel():
                    size = parts(one.gradient).abs().nan_to_num(nan=float("inf"), posinf=float("inf")).max()
                    largest = torch.cat([largest, size.double().reshape(1)])
            found = ~(largest * gain <= self.limit).all()
        if self.parameter_limit < np.inf and not self.loose:
            found = found | ~(self._reduced(route, squares=False, row=0) <= self.parameter_limit).all()
        return shards.anywhere(found, self.mesh) if self.mesh is not None else found

    def advance(self, route: Route, lr: float | Tensor, gain: float | Tensor, *, scaled: bool, skip: Tensor | None = None) -> None:
        """Take one step.

        Args:
            route: of the step.
            lr: learning rate; a tensor is not read by the host.
            gain: what the gradients are multiplied by first.
            scaled: whether the step multiplies them at all.
            skip: whether to leave everything as it is, decided on the device.
        """
        every = route.present is None
        touched = [] if every else [*(route.present or ()), *(one.k for one in route.singles)]
        count = 0
        if not self.decided:
            told = any(isinstance(value, Tensor) for value in (lr, gain, skip))
            if self.rule.bias_correction or self.stochastic:
                counts = self.counts.numpy() if every else self.counts.numpy()[touched]
                count, most = int(counts.min()), int(counts.max())
                told = told or count != most
            if told:
                self._decide()
                self.tune(self.rule)
        with self._current():
            lr, gain, skip = self._there(lr), self._there(gain), None if skip is None else skip.to(self.device)
            if route.present is None or route.present:
                table = self._table_of(route.present)
                gradients = self._pointed(table, route)
                if self.capturable and capturing(self.device):
                    table.captured.append((lr, gain, skip))
                self._launch(table, gradients, lr, gain, skip, count, scaled=scaled, averaged=self.averaged)
            for one in route.singles:
                self._single(one, lr, gain, skip, count, scaled)
        self._last = None  # or it would keep the gradients
        if not self.decided:
            self.counts[... if every else touched] += 1.0
        increment_version(self.params if every else [self.params[k] for k in touched])

    def _launch(
        self,
        table: Table,
        gradients: Tensor,
        lr: float | Tensor,
        gain: float | Tensor,
        skip: Tensor | None,
        count: int,
        *,
        scaled: bool,
        averaged: bool,
    ) -> None:
        """Update the tensors of a table."""
        arguments = [self._argument(t) for t in (table.words, gradients, table.tiles, table.numbers, self.counts)]
        if self.decided:
            self._prepare(table, lr, gain, skip)
        scalars = self._numbers(lr, gain, count + 1)
        self._kernel(scaled, averaged)(self.number, table.programs, *arguments, table.tensors, count, *scalars)

    def _prepare(self, table: Table, lr: float | Tensor, gain: float | Tensor, skip: Tensor | None) -> None:
        """Let the device make the step's scalars, and count it."""
        lr_there, gain_there = lr if isinstance(lr, Tensor) else None, gain if isinstance(gain, Tensor) else None
        told = build.Told(
            self.computed,
            None if lr_there is None else name(lr_there.dtype),
            None if gain_there is None else name(gain_there.dtype),
            skip is not None,
        )
        if told not in self._preparing:
            self._preparing[told] = build.prepare_for(self.rule, told)
        scalars = self.rule.scalars(lr if lr_there is None else 1.0, 1)  # type: ignore[arg-type]  # a number
        self._preparing[told](
            self.number,
            -(table.tensors // -build.WIDTH),
            self._argument(table.words),
            self._argument(table.numbers),
            self._argument(self.counts),
            self._argument(table.numbers if lr_there is None else lr_there),
            self._argument(table.numbers if gain_there is None else gain_there),
            self._argument(table.numbers if skip is None else skip.view(torch.uint8)),
            table.tensors,
            scalars.inner,
            scalars.outer,
            scalars.weight_decay,
            scalars.decay,
            1.0 if gain_there is not None else gain,
        )

    def _single(self, one: Single, lr: float | Tensor, gain: float | Tensor, skip: Tensor | None, count: int, scaled: bool) -> None:
        """Step one parameter through dense copies, and write them back."""
        p, entry = self._local(self.params)[one.k], self.entries[one.k]
        if capturing(self.device):
            raise RuntimeError(
                f"a CUDA graph cannot capture step() for a parameter of shape {tuple(p.shape)} that has gaps in memory or a sparse "
                "gradient; make it contiguous, or pass fused=False"
            )
        arrays = (*one.arrays, *[None] * (len(ROWS) - len(one.arrays)))
        addresses = np.array([[0 if a is None else a.data_ptr()] for a in arrays], np.int64)
        table = Table(addresses, np.array([one.gradient.numel() * self.reals]), [one.k], self._real(), self.device)
        gradients = table.point(array("q", [one.gradient.data_ptr()]), [one.gradient], capturable=False)
        self._launch(table, gradients, lr, gain, skip, count, scaled=scaled, averaged=self.averaged and one.rows is None)
        for target, new in zip([p.detach(), *self._arrays(one.k)], one.arrays, strict=False):
            if target is not None and new is not None and target is not new:
                target.copy_(new) if one.rows is None else one.rows.put(target, new)
        if self.averaged and one.rows is not None:
            keep = self.group["ema_decay"]
            new = average(entry["ema"], p.detach(), keep, 1 - keep)
            entry["ema"].copy_(new if skip is None else torch.where(skip, entry["ema"], new))

    def _reduced(self, route: Route, *, squares: bool, row: int | None = None) -> Tensor:
        """Return the sum of squares or the largest magnitude of each tile, of the gradients or of a row of the table."""
        if route.present is not None and not route.present:
            return torch.zeros(0, dtype=torch.float64, device=self.device)
        with self._current():
            table = self._table_of(route.present)
            looked = self._pointed(table, route) if row is None else table.words[row]
            results = table.room() if row is None else torch.zeros_like(table.room())
            kernel = build.reduce_for(name(self.memory), squares=squares)
            arguments = [self._argument(t) for t in (table.words, looked, table.tiles, results)]
            kernel(self.number, table.programs, *arguments, table.tensors)
        return results

    def _pointed(self, table: Table, route: Route) -> Tensor:
        """Return the addresses of a step's gradients on the device, the same for all launches of the step."""
        if self._last is None or self._last[0] is not route:
            self._last = route, table.point(route.addresses, route.gradients, capturable=self.capturable)
        return self._last[1]

    def _table_of(self, present: list[int] | None) -> Table:
        """Return the table of the parameters that have gradients, None for all."""
        key = None if present is None else tuple(present)
        if key not in self._tables:
            arrays, sizes = self._table(self.reals)
            places = list(range(len(sizes))) if present is None else present
            if len(self._tables) > 8 and not any(table.captured for table in self._tables.values()):
                self._tables.clear()  # different parameters have gradients at each step
            chosen = np.ascontiguousarray(arrays[:, places]), sizes[places]
            self._tables[key] = Table(*chosen, places, self._real(), self.device)
        return self._tables[key]

    def _numbers(self, lr: float | Tensor, gain: float | Tensor, step: int) -> list[float]:
        """Return the scalars of a step in the arithmetic's precision; those that the device makes are not read."""
        lr, gain = 0.0 if isinstance(lr, Tensor) else lr, 1.0 if isinstance(gain, Tensor) else gain
        key = (lr, gain, self.group["ema_decay"], step if self.rule.bias_correction else 0)
        if self._scalars is None or self._scalars[0] != key:
            keep = self.group["ema_decay"] or 0.0
            self._scalars = key, np.array((*self.rule.scalars(lr, step), gain, keep, 1 - keep), self.real).tolist()
        return self._scalars[1]

    def _there(self, value: Any) -> Any:
        """Return a scalar that is a tensor as one number on the device, in a dtype that kernels read."""
        if not isinstance(value, Tensor):
            return value
        kind = value.dtype if value.dtype in (torch.float32, torch.float64) else torch.float64
        return value.detach().reshape(()).to(self.device, kind)

    def _real(self) -> torch.dtype:
        """Return the dtype of the arithmetic's real numbers."""
        kind: torch.dtype = getattr(torch, self.real)
        return kind

    def _current(self) -> AbstractContextManager[Any]:
        """Return what makes the parameters' device the current one."""
        module = getattr(torch, self.device.type)
        if self.device.type == "cpu" or module.current_device() == self.number:
            return nullcontext()
        found: AbstractContextManager[Any] = module.device(self.number)
        return found

    def kept(self) -> list[Any]:
        """Return what captured graphs read."""
        return [self.counts, self._tables] if any(table.captured for table in self._tables.values()) else []


def launchable(p: Tensor, group: dict[str, Any]) -> str | None:
    """Return why a parameter cannot go through the GPU's kernel, or None if it can."""
    if p.device.type not in (("cpu",) if launch.interpreted() else DEVICES):  # the interpreter reads the CPU's memory only
        return f"it is on {p.device}"
    reason = lacking(p.device.type)
    if reason is None:
        return None
    if not group["fused"]:
        _warn(f"{reason}. Until then parameters on {p.device.type} are stepped by PyTorch's own operations, which are slower")
    return reason


_warned: set[str] = set()


def _warn(message: str) -> None:
    """Say something once in a process."""
    if message not in _warned:
        _warned.add(message)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


def lacking(kind: str) -> str | None:
    """Return what is missing for kernels on a kind of device, and what helps, or None."""
    return launch.unavailable() or (None if kind == "cpu" else launch.broken(kind))
