"""A step of all variables on PyTorch: in one compiled pass over a CPU's memory, or together on an accelerator."""

import os
from array import array
from collections.abc import Sequence
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from rmsprop.keras.stepping import COMPUTED, dense, scalars
from rmsprop.kernels.columns import ROWS, Columns, Numbers
from rmsprop.kernels.eager import ACCELERATORS, Stack, bound
from rmsprop.layout import Memory
from rmsprop.rule import Rule


class Sweep:
    """Some variables of one rule and dtype with their state, whose memory a compiled pass goes over.

    Args:
        rule: theirs.
        arrays: (p, v, m, b) of each, None for those that are not kept.
    """

    def __init__(self, rule: Rule, arrays: Sequence[Sequence[Tensor | None]]) -> None:
        """Lay out the table of addresses that the pass reads."""
        from rmsprop.kernels import cpu  # loads Numba

        self.rule, self.arrays = rule, arrays
        self.params = [_there(row[0]) for row in arrays]
        self.dtype = self.params[0].dtype
        stored = str(self.dtype).removeprefix("torch.")
        self.real = COMPUTED[stored]
        self.kernel = cpu.sweep_for(rule, stored, self.real)
        table = np.zeros((len(ROWS), len(arrays)), np.int64)
        for k, row in enumerate(arrays):
            table[: len(row), k] = [0 if a is None else a.data_ptr() for a in row]
        self.columns = Columns(table, np.array([p.numel() for p in self.params], np.int64), numbers=1)
        kept = {"p", *(slot.argument for slot in rule.slots)}
        assert all((a is not None) == (name in kept) for row in arrays for name, a in zip("pvmb", row, strict=True))
        self.held = [a for row in arrays for a in row if a is not None]
        self.places = [a.data_ptr() for a in self.held]
        self.memory = Memory.of((a.data_ptr(), a.data_ptr() + a.nbytes) for a in self.held if a.numel())
        self.numbers: tuple[Any, Numbers] | None = None

    def holds(self) -> bool:
        """Return whether the variables and their state are still where the table has them."""
        return [a.data_ptr() for a in self.held] == self.places

    def advance(self, grads: Sequence[Any], lr: float, steps: int) -> None:
        """Take one step.

        Args:
            grads: one for each variable.
            lr: learning rate.
            steps: taken so far.
        """
        fitted = [self._fitting(g, p) for g, p in zip(grads, self.params, strict=True)]
        key = (lr, steps if self.rule.bias_correction else 0)
        if self.numbers is None or self.numbers[0] != key:
            # No factor of the gradients, and no moving average.
            self.numbers = key, Numbers(np.array((*self.rule.scalars(lr, steps + 1), 1.0, 0.0, 0.0), self.real))
        addresses = array("q", [g.data_ptr() for g in fitted])
        self.columns.sweep(self.kernel, addresses, self.numbers[1], threads=torch.get_num_threads())
        increment_version(self.params)

    def _fitting(self, g: Any, p: Tensor) -> Any:
        """Return a gradient as the pass can read it, copied only where it must be."""
        if not (type(g) is Tensor and g.dtype == self.dtype and g.shape == p.shape and g.layout == torch.strided):
            g = dense(g, p).to(self.dtype)
        if g.device != p.device or g.is_neg() or not g.is_contiguous():
            g = g.to(p.device).resolve_neg().contiguous()
        at = g.data_ptr()
        # It would change under the step.
        return g.clone() if self.memory.meets(at, at + g.nbytes) else g


class Stacked:
    """Some variables of one rule, dtype and accelerator with their state, taken together in each operation.

    Args:
        rule: theirs.
        arrays: (p, v, m, b) of each, None for those that are not kept.
    """

    def __init__(self, rule: Rule, arrays: Sequence[Sequence[Tensor | None]]) -> None:
        """Bind the rule."""
        self.rule, self.arrays = rule, arrays
        self.params = [_there(row[0]) for row in arrays]
        self.real = str(_there(arrays[0][1]).dtype).removeprefix("torch.")
        self.update = bound(rule.branches, self.real, stacked=True)

    def holds(self) -> bool:
        """Return whether the variables are still there: nothing here depends on where."""
        return True

    def advance(self, grads: Sequence[Any], lr: Any, steps: Any) -> None:
        """Take one step.

        Args:
            grads: one for each variable.
            lr: learning rate, which may lie on the accelerator.
            steps: taken so far, the same.
        """
        kind = getattr(torch, self.real)
        gradients = [dense(g, row[1]) for g, row in zip(grads, self.arrays, strict=True)]
        columns = [None if column[0] is None else Stack(column) for column in zip(*self.arrays, strict=True)]
        p = Stack([p.to(kind) for p in self.params])
        new = self.update(p, Stack(gradients), *columns[1:], *scalars(self.rule, lr, steps, self.real))
        for old, stack in zip(columns, new, strict=True):
            if old is not None:
                torch._foreach_copy_(old.tensors, stack.tensors)


class Plan:
    """Which variables go together.

    Args:
        optimizer: whose variables they are.
        variables: of Keras.
    """

    def __init__(self, optimizer: Any, variables: Sequence[Any]) -> None:
        """Sort the variables."""
        self.rule, self.variables = optimizer.rule, list(variables)
        self.tensors = [v.value for v in variables]
        self.left: list[int] = []
        found: dict[Any, list[int]] = {}
        arrays: list[list[Tensor | None]] = []
        for i, variable in enumerate(variables):
            state = optimizer.state_of(optimizer._get_variable_index(variable))
            # Not detached: what shares the memory would not tell when the variable moves to other memory.
            arrays.append([self.tensors[i], *(state[a].value if a in state else None for a in "vmb")])
            rule = optimizer.rule_for(variable)
            way = _way(arrays[i], rule)
            if way is None:
                self.left.append(i)
            else:
                found.setdefault((way, rule, self.tensors[i].dtype, self.tensors[i].device), []).append(i)
        self.batches = [(way(rule, [arrays[i] for i in chosen]), chosen) for (way, rule, *_), chosen in found.items()]

    def holds(self, rule: Rule, variables: Sequence[Any]) -> bool:
        """Return whether everything is still as it was.

        Args:
            rule: the optimizer's.
            variables: of the step.
        """
        if rule is not self.rule or len(variables) != len(self.variables) or not all(map(is_, variables, self.variables)):
            return False
        if not all(v.value is tensor for v, tensor in zip(variables, self.tensors, strict=True)):
            return False
        return all(batch.holds() for batch, _ in self.batches)

    def advance(self, grads: Sequence[Any], lr: Any, steps: Any) -> list[int]:
        """Take one step.

        Args:
            grads: one for each variable.
            lr: learning rate.
            steps: taken so far.

        Returns:
            The indices of the variables that have to go one by one.
        """
        for batch, chosen in self.batches:
            here = [grads[i] for i in chosen]
            if isinstance(batch, Sweep):
                batch.advance(here, float(lr), int(steps) if self.rule.bias_correction else 0)
            else:
                batch.advance(here, lr, steps)
        return self.left


@torch.compiler.disable  # type: ignore[untyped-decorator]  # the compiled pass is in no need of another compiler
def step(optimizer: Any, grads: Sequence[Any], variables: Sequence[Any], lr: Any) -> None:
    """Take one step.

    Args:
        optimizer: whose step it is; its `plan` is kept up to date.
        grads: one for each variable.
        variables: of Keras.
        lr: learning rate.
    """
    with torch.no_grad():
        left: Sequence[int] = range(len(variables))
        if not optimizer.passed_through:
            if optimizer.plan is None or not optimizer.plan.holds(optimizer.rule, variables):
                optimizer.plan = Plan(optimizer, variables)
            left = optimizer.plan.advance(grads, lr, optimizer.iterations)
        for i in left:
            optimizer.update_step(grads[i], variables[i], lr)


def _way(arrays: Sequence[Tensor | None], rule: Rule) -> type[Sweep] | type[Stacked] | None:
    """Return what takes a variable with its state: the compiled pass, a list with others, or neither."""
    p, kept = _there(arrays[0]), [a for a in arrays if a is not None]
    if p.device.type in ACCELERATORS:
        return None if rule.bias_correction else Stacked  # its corrections are tensors, which lists cannot be divided by everywhere
    if p.device.type != "cpu" or not all(a.is_contiguous() for a in kept):
        return None
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return None
    if p.dtype == torch.float16:
        from rmsprop.kernels.elements import converts_float16  # loads Numba

        return Sweep if converts_float16() else None
    return Sweep


def _there(tensor: Tensor | None) -> Tensor:
    """Return a tensor that is always kept."""
    assert tensor is not None
    return tensor
