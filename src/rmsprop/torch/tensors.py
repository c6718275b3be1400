"""Parameters anywhere: the rule on PyTorch's own operations, where a device, autograd or a compiler must see it.

Nothing here waits for a device: learning rates, scales and what decides about skipping a step may be tensors on it.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rmsprop.kernels.eager import ACCELERATORS, Stack, bound
from rmsprop.kernels.precision import biases, largest_gradient
from rmsprop.kernels.rounding import noise, scatter, seeded
from rmsprop.rule import Rule, average, rebound
from rmsprop.torch.memory import fitting, still
from rmsprop.torch.sparse import Rows, densified
from rmsprop.torch.state import COMPUTED, REAL, Entry, in_parts, name, parts

# What clip_grad_norm_ adds to the norm before it divides.
TINY = 1e-6


def coefficient(limit: float, norm: Any) -> Any:
    """Return what clip_grad_norm_ multiplies gradients of a norm by: 1 at most, and NaN if the norm is."""
    ratio = limit / (norm + TINY)
    if isinstance(ratio, Tensor):
        return torch.clamp(ratio, max=1.0)
    return 1.0 if ratio > 1.0 else ratio


class Route(NamedTuple):
    """What one step takes of a batch: parameters, their gradients, and the rows of those that are sparse."""

    present: list[int]
    gradients: list[Tensor]
    rows: list[Rows | None]


class Tensors:
    """Some parameters of one group, dtype and device with their state.

    Args:
        rule: the group's.
        group: the group's options.
        params: the parameters, each with complete state.
        entries: their state.
    """

    on_host = False

    def __init__(self, rule: Rule, group: dict[str, Any], params: list[Tensor], entries: list[Entry]) -> None:
        """Keep the parameters and their state."""
        self.params, self.entries, self.group = params, entries, group
        self.dtype = params[0].dtype
        computed = COMPUTED[self.dtype]
        self.computed, self.real = computed, REAL.get(computed, computed)
        self.in_parts = in_parts(self.dtype, rule)
        self.joint = self.dtype.is_complex and not self.in_parts
        self.averaged = group["ema_decay"] is not None
        self.stochastic = group["stochastic_rounding"] and self.dtype in (torch.float16, torch.bfloat16)
        foreach = group["foreach"]
        if foreach is None:
            foreach = params[0].device.type in ACCELERATORS and not torch.compiler.is_compiling()
        # Where each parameter has a number of its own in the arithmetic, or its modulus is taken, they go one by one.
        plain = type(params[0]) in (Tensor, torch.nn.Parameter) and not group["differentiable"]
        self.stacked = bool(foreach) and plain and not rule.bias_correction and not self.joint and len(params) > 1
        self._fetch = itemgetter(*(slot.name for slot in rule.slots), "step")
        self._held = [tensor for entry in entries for tensor in self._fetch(entry)]
        self.tune(rule)

    def tune(self, rule: Rule) -> None:
        """Take another rule of the same branches and state."""
        self.rule = rule
        self.limit = largest_gradient(rule, name(self.real))
        self.update = bound(rule.branches, name(self.real), joint=self.joint, stacked=self.stacked)

    def holds(self) -> bool:
        """Return whether the state is still the tensors that were found there."""
        return still(self._fetch, self.entries, self._held)

    def route(self) -> Route | None:
        """Find the gradients of a step; None if there are none."""
        route = Route([], [], [])
        for k, p in enumerate(self.params):
            g = p.grad
            if g is None:
                continue
            rows = None
            if g.layout != torch.strided:
                g = densified(g, p, self.group["sparse"])
                rows = Rows(g) if g.is_sparse else None
            route.present.append(k)
            route.gradients.append(g.values() if rows is not None else g if g.dtype == p.dtype else fitting(g, p))
            route.rows.append(rows)
        return route if route.present else None

    def squares(self, route: Route) -> Tensor:
        """Return the sum of the squares of all gradients, on their device."""
        norm = torch.nn.utils.get_total_norm([g.detach() for g in route.gradients])
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        return norm.to(torch.float64 if norm.device.type != "mps" else torch.float32) ** 2

    def beyond(self, route: Route, gain: float | Tensor, *, gradients: bool = True) -> Tensor:
        """Return whether a gradient is not finite, or so large that its square is not, on the device.

        Args:
            route: of the step.
            gain: what the gradients will be multiplied by.
            gradients: whether to look at the gradients.
        """
        if not gradients:
            return torch.zeros((), dtype=torch.bool, device=self.params[0].device)
        norm = torch.nn.utils.get_total_norm([parts(g.detach()) for g in route.gradients], norm_type=float("inf"))
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        return ~(norm.to(self.real) * gain <= self.limit)

    def advance(self, route: Route, lr: float | Tensor, gain: float | Tensor, *, scaled: bool, skip: Tensor | None = None) -> None:
        """Take one step.

        Args:
            route: of the step.
            lr: learning rate; a tensor is not read by the host.
            gain: what the gradients are multiplied by first.
            scaled: whether the step multiplies them at all.
            skip: whether to leave everything as it is, decided on the device.
        """
        if isinstance(lr, Tensor):
            lr = lr.reshape(()).to(self.params[0].device)
        taken = [self._operands(k, g, rows) for k, g, rows in zip(*route, strict=True)]
        if scaled:
            for operands in taken:
                operands[1] = operands[1] * gain
        targets, values = [], []
        for i, (k, rows, result) in enumerate(zip(route.present, route.rows, self._results(route, taken, lr), strict=True)):
            arrays = self._arrays(k)
            for argument, target, old, new in zip("pvmb", arrays, [taken[i][0], *taken[i][2:]], result, strict=True):
                if target is None:
                    continue
                if argument == "p" and self.stochastic:
                    new = _scattered(new, self.entries[k]["step"], i, self.dtype)
                if skip is not None:
                    new = torch.where(skip, old, new)
                if rows is None:
                    targets.append(parts(target) if self.in_parts else target)
                    values.append(new)
                else:
                    rows.put(target, torch.view_as_complex(new).to(target.dtype) if self.in_parts else new.to(target.dtype))
        if self.stacked:
            torch._foreach_copy_(targets, values)
        else:
            for target, value in zip(targets, values, strict=True):
                target.copy_(value)
        self._count(route, skip)

    def _results(self, route: Route, taken: list[list[Any]], lr: float | Tensor) -> list[Any]:
        """Return what the rule makes of the operands of each parameter."""
        steps = [self.entries[k]["step"] for k in route.present]
        if not self.stacked:
            return [self.update(*operands, *self._scalars(lr, step)) for operands, step in zip(taken, steps, strict=True)]
        stacks = [None if column[0] is None else Stack(column) for column in zip(*taken, strict=True)]
        columns = self.update(*stacks, *self._scalars(lr, steps[0]))
        return list(zip(*([None] * len(taken) if column is None else column.tensors for column in columns), strict=True))

    def _arrays(self, k: int) -> list[Tensor | None]:
        """Return p, v, m and b of a parameter, None for those that are not kept."""
        p, slots = self.params[k], {slot.argument: slot.name for slot in self.rule.slots}
        held = {argument: self.entries[k][slot] for argument, slot in slots.items()}
        return [p if self.group["differentiable"] else p.detach(), *(held.get(argument) for argument in "vmb")]  # type: ignore[call-overload]

    def _operands(self, k: int, g: Tensor, rows: Rows | None) -> list[Any]:
        """Return p, g, v, m and b of a parameter as the rule takes them."""
        p, *state = self._arrays(k)
        if not self.group["differentiable"]:
            g = g.detach()
        if rows is not None:
            p, *state = (None if a is None else rows.of(a) for a in (p, *state))
        arrays: list[Any] = [None if a is None else parts(a) if self.in_parts else a for a in (p, g, *state)]
        kind = self.real if self.in_parts else self.computed
        return [arrays[0].to(kind), arrays[1].to(kind), *arrays[2:]]

    def _scalars(self, lr: float | Tensor, step: Tensor) -> Sequence[Any]:
        """Return the scalar arguments of `update`: numbers where the host knows them, tensors where only the device does."""
        rule = self.rule
        if not rule.bias_correction:
            if not isinstance(lr, Tensor):
                return rule.scalars(lr, 1)
            correction: Any = 1.0
            prior = divisor = correction
        else:
            prior, correction, divisor = biases(rule.decay, step.double(), torch.where)
        return rule.arranged(
            lr, rule.decay, 1 - rule.decay, rule.eps, rule.momentum, rule.weight_decay, correction, prior, divisor, 1.0
        )

    def _count(self, route: Route, skip: Tensor | None) -> None:
        """Count the step, and average the parameters."""
        steps = [self.entries[k]["step"] for k in route.present]
        if skip is None:
            torch._foreach_add_(steps, 1.0)
        else:
            for step in steps:
                step.add_((~skip).to(step.device, step.dtype))
        if self.averaged:
            keep = self.group["ema_decay"]
            for k in route.present:
                e = self.entries[k]["ema"]
                new = average(e, self.params[k].detach().to(e.dtype), keep, 1 - keep)
                e.copy_(new if skip is None else torch.where(skip, e, new))


def _scattered(p: Tensor, step: Tensor, tensor: int, dtype: torch.dtype) -> Tensor:
    """Return float32 numbers that a 16-bit dtype holds, rounded up or down by chance: those that the compiled pass gives."""
    names = {
        "bits": lambda x: x.view(torch.int32),
        "number": lambda bits: bits.to(torch.int32).view(torch.float32),
        "wide": lambda x: x.to(torch.float64),
        "where": torch.where,
        "floor": torch.floor,
        "FLOAT16": dtype == torch.float16,
    }
    index = torch.arange(p.numel(), device=p.device).reshape(p.shape)
    seed = seeded(step.to(torch.int64).to(p.device), tensor)
    return rebound(scatter, names)(p.contiguous(), noise(seed, index))  # type: ignore[no-any-return]
