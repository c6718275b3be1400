"""What an optimizer's groups amount to: which parameters go together, and through what. Kept from step to step while it holds."""

from operator import is_, itemgetter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rmsprop.kernels.gpu.launch import interpreted
from rmsprop.kernels.precision import check_precision
from rmsprop.rule import Rule
from rmsprop.torch import shards
from rmsprop.torch.addresses import CHANGED
from rmsprop.torch.batch import plain
from rmsprop.torch.fused import Fused, fusible
from rmsprop.torch.launched import Launched, launchable
from rmsprop.torch.memory import is_loose
from rmsprop.torch.options import EXTRAS, KEYS, check_extras, rule_of
from rmsprop.torch.state import COMPUTED, complete, counts_on_device, name
from rmsprop.torch.tensors import Tensors

_extras = itemgetter(*EXTRAS)
_options = itemgetter(*KEYS.values(), *EXTRAS)


def kernel_of(p: Tensor, group: dict[str, Any]) -> tuple[type[Fused | Launched] | None, str | None]:
    """Return the kind of batch whose kernel takes a parameter, or None and why there is no such kernel."""
    reason = plain(p, group)
    if reason is not None:
        return None, reason
    kind: type[Fused | Launched] = Fused if p.device.type == "cpu" and not interpreted() else Launched
    reason = fusible(p, group) if kind is Fused else launchable(p, group)
    return (kind, None) if reason is None else (None, reason)


class Section:
    """One group of an optimizer.

    Args:
        group: the param group.
        state: the optimizer's state, to which that of parameters with a gradient is added.
        every: whether to make the state of all parameters.
    """

    def __init__(self, group: dict[str, Any], state: Any, *, every: bool = False) -> None:
        """Sort the parameters into batches."""
        self.group = group
        self.params: list[Tensor] = list(group["params"])
        self._read()
        self.dormant: list[Tensor] = []
        found: dict[Any, list[Tensor]] = {}
        for p in self.params:
            if p.grad is None and not state.get(p) and not (every and p.requires_grad):
                self.dormant.append(p)
                continue
            complete(state[p], p, self.rule, averaged=group["ema_decay"] is not None, capturable=counts_on_device(p, group))
            kind, reason = kernel_of(p, group)
            if reason is not None and group["fused"]:
                raise ValueError(f"fused=True is not possible for a parameter of shape {tuple(p.shape)}: {reason}; pass fused=None")
            spread = (p.device_mesh, tuple(p.placements)) if shards.mesh_of(p) is not None else None  # type: ignore[attr-defined]
            way = type(p) if kind is None else is_loose(p, state[p])
            found.setdefault((kind, way, p.dtype, p.device, spread), []).append(p)
        self.batches: list[Fused | Launched | Tensors] = []
        for (kind, way, *_), params in found.items():
            entries = [state[p] for p in params]
            if kind is not None:
                self.batches.append(kind(self.rule, group, params, entries, loose=way))
            else:
                self.batches.append(Tensors(self.rule, group, params, entries))

    def _read(self) -> None:
        """Take the group's options, checked."""
        group = self.group
        check_extras(group)
        self.rule: Rule = rule_of(group)
        self.plain = group["max_norm"] is None and group["on_nonfinite"] == "propagate"
        self.gain: float | Tensor = 1.0  # what the last step multiplied gradients by
        self.kinds = {name(COMPUTED[p.dtype]) for p in self.params}
        self.largest_lr = -1.0
        self.lr()
        # Last, so that what was refused is read again.
        self.options, self.extras = _options(group), _extras(group)

    def lr(self) -> float | Tensor:
        """Return the learning rate of the next step, checked; a tensor stays one, unless it lies on the host anyway."""
        lr: Any = self.group["lr"]
        if isinstance(lr, Tensor):
            if lr.device.type != "cpu" or torch.compiler.is_compiling() or lr.requires_grad:
                return lr
            lr = lr.item()
        if not 0 <= lr <= self.largest_lr:  # the larger the lr, the harder to hold; smaller ones need no second look
            rate = float(lr) if isinstance(lr, int | float) and 0 <= lr < float("inf") else -1.0
            if rate < 0:
                raise ValueError(f"Invalid learning rate: {lr}; lr must be in [0, inf), and maximize=True ascends")
            for kind in self.kinds:
                check_precision(self.rule, kind, rate)
            self.largest_lr = rate
        return lr  # type: ignore[no-any-return]

    def holds(self, group: dict[str, Any]) -> bool:
        """Return whether the group is still what it was; rules of the same branches are taken over."""
        if group is not self.group or len(group["params"]) != len(self.params):
            return False
        if not all(map(is_, group["params"], self.params)):
            return False
        if self.dormant and any(p.grad is not None for p in self.dormant):
            return False
        if _options(group) != self.options:
            before, extras = self.rule, self.extras
            self._read()
            if extras != self.extras or (self.rule.branches, self.rule.slots) != (before.branches, before.slots):
                return False
            for batch in self.batches:
                batch.tune(self.rule)
        return all(batch.holds() for batch in self.batches)


class Work(NamedTuple):
    """A batch that takes part in a step."""

    section: Section
    batch: Any
    route: Any
    lr: float | Tensor


class Plan:
    """All groups of an optimizer.

    Args:
        groups: its param groups.
        state: its state.
        every: whether to make the state of all parameters that require gradients, before there are any.
        before: the plan before this one: what graphs that were captured with it read is kept.
    """

    def __init__(self, groups: list[dict[str, Any]], state: Any, *, every: bool = False, before: "Plan | None" = None) -> None:
        """Sort the parameters of all groups."""
        self.state = state
        self.kept: list[Any] = [] if before is None else before.captured()
        self.sections = [Section(group, state, every=every) for group in groups]
        self.entries = list(state.values())
        batches = [batch for section in self.sections for batch in section.batches]
        self.on_host = all(batch.on_host for batch in batches)

    def holds(self, groups: list[dict[str, Any]], state: Any) -> bool:
        """Return whether everything is still as it was."""
        if state is not self.state or len(state) != len(self.entries) or len(groups) != len(self.sections):
            return False
        if not all(map(is_, state.values(), self.entries)):
            return False
        return all(map(Section.holds, self.sections, groups))

    def captured(self) -> list[Any]:
        """Return what captured graphs read."""
        batches = (batch for section in self.sections for batch in section.batches)
        return [*self.kept, *(batch.kept() for batch in batches if isinstance(batch, Launched))]

    def plain(self) -> bool:
        """Return whether a step needs no look at all gradients together, and no device."""
        return self.on_host and all(section.plain for section in self.sections)

    def work(self) -> list[Work] | None:
        """Return what takes part in a step, or None if a tensor is no longer where it was when the plan was made."""
        found = []
        for section in self.sections:
            lr = section.lr()
            for batch in section.batches:
                route = batch.route()
                if route == CHANGED:
                    return None
                if route is not None:
                    found.append(Work(section, batch, route, lr))
        return found
