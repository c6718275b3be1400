"""Parameters anywhere: the rule on PyTorch's own operations, where a device, autograd or a compiler must see it.

Nothing here waits for a device: learning rates, scales and what decides about skipping a step may be tensors on it.
"""

import builtins
from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rmsprop.kernels.precision import floor, largest_gradient
from rmsprop.kernels.rounding import noise, scatter, seeded
from rmsprop.rule import Rule, average, bind, modulus_square, rebound, square
from rmsprop.torch.memory import fitting, still
from rmsprop.torch.sparse import Rows, densified
from rmsprop.torch.state import COMPUTED, REAL, Entry, in_parts, name, parts

# Where one launch over a list of tensors saves more than it costs.
ACCELERATORS = ("cuda", "xpu")
# What clip_grad_norm_ adds to the norm before it divides.
TINY = 1e-6


class Stack:
    """A list of tensors with the operators that `update` uses, each taken over all tensors in one launch.

    Args:
        tensors: of one device and dtype.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        """Keep the tensors."""
        self.tensors = list(tensors)

    def _by(self, operation: Callable[..., Any], other: Any) -> "Stack":
        """Return an operation of these and another list, a number or a tensor of one element."""
        return Stack(operation(self.tensors, other.tensors if isinstance(other, Stack) else other))

    def __add__(self, other: Any) -> "Stack":
        """Return the sums."""
        return self._by(torch._foreach_add, other)

    def __sub__(self, other: Any) -> "Stack":
        """Return the differences."""
        return self._by(torch._foreach_sub, other)

    def __mul__(self, other: Any) -> "Stack":
        """Return the products."""
        return self._by(torch._foreach_mul, other)

    def __truediv__(self, other: Any) -> "Stack":
        """Return the quotients."""
        return self._by(torch._foreach_div, other)

    __radd__, __rmul__ = __add__, __mul__

    def __rtruediv__(self, other: Any) -> "Stack":
        """Return a number over these."""
        return Stack(torch._foreach_mul(torch._foreach_reciprocal(self.tensors), other))

    def __neg__(self) -> "Stack":
        """Return these with the other sign."""
        return Stack(torch._foreach_neg(self.tensors))

    def sqrt(self) -> "Stack":
        """Return the roots."""
        return Stack(torch._foreach_sqrt(self.tensors))


@cache
def bound(rule: Rule, real: str, *, joint: bool = False, stacked: bool = False) -> Callable[..., tuple[Any, ...]]:
    """Return the rule bound to tensors, or to stacks of them.

    Args:
        rule: only the branches that it takes count; `Rule.branches`.
        real: dtype name of the arithmetic's real numbers.
        joint: whether operands are complex numbers as they are; otherwise they are real, or the parts of complex ones.
        stacked: whether the operands are stacks. Those are for accelerators, which are as fast on subnormal numbers as on others.
    """
    of = modulus_square if joint else square
    if stacked:
        return bind(rule, sqrt=Stack.sqrt, square=of)  # type: ignore[no-any-return]
    least = floor(real)

    def flush(z: Tensor) -> Tensor:
        if z.is_complex():
            return torch.view_as_complex(flush(torch.view_as_real(z)))
        return torch.where(z.abs() < least, torch.zeros_like(z), z)

    return bind(rule, sqrt=torch.sqrt, flush=flush, square=of, compile=_anonymous)  # type: ignore[no-any-return]


def _anonymous(function: Any) -> Any:
    """Return a bound function as `torch.compile` must find it: with a module's name it would look the globals up there, unbound."""
    function.__globals__.pop("__name__", None)
    function.__globals__["__builtins__"] = builtins
    return function


def coefficient(limit: float, norm: Any) -> Any:
    """Return what clip_grad_norm_ multiplies gradients of a norm by: 1 at most, and NaN if the norm is."""
    ratio = limit / (norm + TINY)
    if isinstance(ratio, Tensor):
        return torch.clamp(ratio, max=1.0)
    return 1.0 if ratio > 1.0 else ratio


def biases(decay: float, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what a start at 0 leaves to the means: before a step, after it, and before it as a divisor, 1 where there is none.

    Args:
        decay: weight of the past.
        step: steps taken, on any device.
    """
    past = decay ** step.double()
    prior, correction = 1 - past, 1 - past * decay
    return prior, correction, torch.where(prior == 0, 1.0, prior)


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
            prior, correction, divisor = biases(rule.decay, step)
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
