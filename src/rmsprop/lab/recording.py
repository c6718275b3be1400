"""Numbers that note what is done with them: `rmsprop.rule.update` runs on them as on others, and its own lines are read off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from rmsprop.rule import Rule, Scalars, bind


class Operation(NamedTuple):
    """One operation of a run: its name, what went in, what came out."""

    name: str
    operands: tuple[Recorded, ...]
    result: Recorded


class Recorded:
    """A value, of arrays or of symbols, whose arithmetic is written down.

    Args:
        value: an array, a SymPy expression, or any other number.
        tape: where operations are written.
    """

    __slots__ = ("tape", "value")

    def __init__(self, value: Any, tape: list[Operation]) -> None:
        self.value = value
        self.tape = tape

    def note(self, name: str, value: Any, *others: Recorded) -> Recorded:
        """Return a value as the result of an operation on this one and others."""
        result = Recorded(value, self.tape)
        self.tape.append(Operation(name, (self, *others), result))
        return result

    def __neg__(self) -> Recorded:
        return self.note("negative", -self.value)

    def __add__(self, other: Recorded) -> Recorded:
        return self.note("add", self.value + other.value, other)

    def __sub__(self, other: Recorded) -> Recorded:
        return self.note("subtract", self.value - other.value, other)

    def __mul__(self, other: Recorded) -> Recorded:
        return self.note("multiply", self.value * other.value, other)

    def __truediv__(self, other: Recorded) -> Recorded:
        return self.note("divide", self.value / other.value, other)


def quantities(
    rule: Rule,
    arguments: Sequence[Any],
    *,
    sqrt: Callable[[Any], Any],
    flush: Callable[[Any], Any],
    square: Callable[[Any], Any],
) -> dict[str, Any]:
    """Return what a step of a rule works out, by name, in the order in which it is worked out.

    Args:
        rule: the dialect.
        arguments: those of `update`.
        sqrt: square root of a value.
        flush: what becomes of a value that goes into the state.
        square: z² of a value.

    Returns:
        "square": g², of the gradient with weight decay in it, or (g - m)² where the rule keeps the variance;
        "v_new", "m_new", "b_new": the state, where the rule keeps it;
        "denominator": what the learning rate is divided by;
        "rate": that quotient; 1 over the denominator where the learning rate comes after the momentum buffer;
        "decayed": the parameter after decoupled weight decay, where there is one;
        "change": what the step adds to the parameter;
        "p_new": the parameter after the step.

    Example:
        >>> import math
        >>> rule = Rule(decay=0.5)
        >>> step = [1.0, 2.0, 0.0, 0.0, 0.0, *rule.scalars(lr=0.1, step=1)]
        >>> found = quantities(rule, step, sqrt=math.sqrt, flush=lambda z: z, square=lambda z: z * z)
        >>> {name: round(value, 3) for name, value in found.items()}
        {'square': 4.0, 'v_new': 2.0, 'denominator': 1.414, 'rate': 0.071, 'change': -0.141, 'p_new': 0.859}
    """
    tape: list[Operation] = []
    leaves = [Recorded(value, tape) for value in arguments]
    step = bind(
        rule,
        sqrt=lambda z: z.note("sqrt", sqrt(z.value)),
        flush=lambda z: z.note("flush", flush(z.value)),
        square=lambda z: z.note("square", square(z.value)),
    )
    p = step(*leaves)[0]
    inner = leaves[5 + Scalars._fields.index("inner")]
    flushed = iter(operation.result for operation in tape if operation.name == "flush")
    state = {f"{slot.argument}_new": next(flushed).value for slot in rule.slots}
    division = next(operation for operation in tape if operation.name == "divide" and operation.operands[0] is inner)
    before, step_taken = next(operation for operation in tape if operation.result is p).operands
    found = {"square": next(operation.result for operation in tape if operation.name == "square").value}
    found |= {name: value for name, value in state.items() if name != "b_new"}
    found |= {"denominator": division.operands[1].value, "rate": division.result.value}
    found |= {name: value for name, value in state.items() if name == "b_new"}
    if before is not leaves[0]:
        found["decayed"] = before.value
    return found | {"change": -step_taken.value, "p_new": p.value}
