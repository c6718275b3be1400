"""The rule on PyTorch's operations: tensor by tensor, or over lists of tensors."""

import builtins
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from rmsprop.kernels.precision import floor
from rmsprop.rule import Rule, bind, modulus_square, square

# Where one launch over a list of tensors saves more than it costs.
ACCELERATORS = ("cuda", "xpu")


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
