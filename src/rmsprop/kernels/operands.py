"""What `update` may be given in place of arrays and numbers, where a backend does better than its operators say."""

from typing import Any


class Moved:
    """A parameter as `update` may treat it, which keeps what is subtracted from it apart.

    A step is often a millionth of the parameter, so that p_new - p would have lost most of its digits; and some backends subtract
    in place. The rule multiplies p and subtracts from it; here the product is that of p itself, and the subtrahends add up by
    themselves.

    Args:
        p: the parameter; None will do where the rule does not multiply it.
        off: what has been taken off p so far; None for nothing.
    """

    __slots__ = ("off", "p")
    __array_ufunc__ = None  # a NumPy scalar leaves the operators to this class

    def __init__(self, p: Any, off: Any = None) -> None:
        self.p = p
        self.off = off

    def __rmul__(self, factor: Any) -> Any:
        """Return factor·p, for a p that has not moved yet."""
        assert self.off is None, "the rule multiplies the parameter after moving it; Moved must learn to"
        return factor * self.p

    def __sub__(self, step: Any) -> "Moved":
        """Return p, moved further."""
        return Moved(self.p, step if self.off is None else self.off + step)


class One:
    """The number 1, which multiplies without a pass over memory."""

    def __mul__(self, other: Any) -> Any:
        """Return 1·other."""
        return other

    def __truediv__(self, other: Any) -> Any:
        """Return 1 / other."""
        return 1.0 / other


class Rate:
    """A learning rate that multiplies the gradient before the denominator divides: lr·g / d where the rule says lr / d·g.

    It is the order of Keras and others. With a scalar lr it takes an operation less on lists of tensors, and some percent less time
    where a compiler fuses the operations.

    Args:
        lr: the learning rate, a number, a tensor of no dimension, or One.
        denominator: what it was divided by; None for nothing.
    """

    __slots__ = ("denominator", "lr")

    def __init__(self, lr: Any, denominator: Any = None) -> None:
        self.lr = lr
        self.denominator = denominator

    def __truediv__(self, denominator: Any) -> "Rate":
        """Return lr / denominator, to be multiplied."""
        return Rate(self.lr, denominator)

    def __mul__(self, g: Any) -> Any:
        """Return lr·g / denominator."""
        return self.lr * g / self.denominator
