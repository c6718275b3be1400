"""How Keras and its relatives keep state: one list of variables, block after block, each with one array for every parameter."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from rmsprop.checkpoint.canonical import AVERAGE, Array, Group, Parameter
from rmsprop.checkpoint.errors import ConversionError
from rmsprop.rule import Rule
from rmsprop.state import axes_of, rule_from

T = TypeVar("T")

# Gradients that are gathered for a step yet to come.
PENDING = "gradient_accumulator"
_ORDER = ("v", "b", "m")


class Layout(NamedTuple):
    """Which blocks there are, behind the count of steps.

    Example:
        >>> layout = Layout(Rule(centered=True, centered_form="difference"), rate=True, averaged=False, accumulated=False)
        >>> layout.parted(["iteration", "learning_rate", "velocity a", "velocity b", "average a", "average b"])
        {'square_avg': ['velocity a', 'velocity b'], 'grad_avg': ['average a', 'average b']}
    """

    rule: Rule
    rate: bool  # whether the learning rate is a variable
    averaged: bool  # whether there is a moving average of the parameters
    accumulated: bool  # whether gradients are gathered over several batches

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks in their order, under our names."""
        slots = {slot.argument: slot.name for slot in self.rule.slots}
        before = [name for name, there in ((AVERAGE, self.averaged), (PENDING, self.accumulated)) if there]
        return (*before, *(slots[argument] for argument in _ORDER if argument in slots))

    def parted(self, variables: Sequence[T]) -> dict[str, list[T]]:
        """Return variables by their blocks.

        Args:
            variables: all of the optimizer's.

        Raises:
            ConversionError: there are too few or too many.
        """
        rest = list(variables[1 + self.rate :])
        count, left = divmod(len(rest), len(self.blocks))
        if left or len(variables) <= self.rate:
            raise ConversionError(
                f"an optimizer that keeps {', '.join(self.blocks)} of each parameter{' and lr' if self.rate else ''} has not "
                f"{len(variables)} variables; it is of another rule ({_switched(self.rule)})"
            )
        return {block: rest[k * count : (k + 1) * count] for k, block in enumerate(self.blocks)}


def fits(layout: Layout, shapes: Sequence[tuple[int, ...]]) -> bool:
    """Return whether variables of some shapes may be laid out so: every block has the same ones."""
    try:
        blocks = list(layout.parted(shapes).values())
    except ConversionError:
        return False
    return all(shape == () for shape in shapes[: 1 + layout.rate]) and all(block == blocks[0] for block in blocks)


def steps(count: int, every: int, pending: Sequence[Array], what: str) -> int:
    """Return how many steps were taken, from the number of batches.

    Args:
        count: batches.
        every: batches to a step.
        pending: the gradients gathered for the next one.
        what: whose they are, for messages.

    Raises:
        ConversionError: the last batches have not become a step yet.
    """
    if count < 0:
        raise ConversionError(f"{what} counts {count} steps; the state was changed")
    taken, left = divmod(count, every)
    if left or any(np.any(array) for array in pending):
        raise ConversionError(
            f"{what} has gathered the gradients of {left} of {every} batches for a step that is not taken yet, and no state of "
            f"RMSprop holds them; take it after a multiple of {every} batches"
        )
    return taken


def group(
    layout: Layout, lr: float | None, step: int, names: Sequence[str], blocks: Mapping[str, Sequence[Array]], options: Any = ()
) -> Group:
    """Return the state of parameters.

    Args:
        layout: how they were kept.
        lr: learning rate.
        step: steps taken.
        names: of the parameters.
        blocks: their arrays.
        options: what else the host keeps.
    """
    kept = [block for block in layout.blocks if block != PENDING]
    ours = [slot.name for slot in layout.rule.slots]
    kept.sort(key=lambda block: ours.index(block) if block in ours else len(ours))
    parameters = (Parameter(name, step, {block: blocks[block][i] for block in kept}) for i, name in enumerate(names))
    # A rule is what its axes say, as it will be when it comes back from a file; the default learning rate is not part of a run.
    return Group(rule_from(axes_of(layout.rule)), lr, tuple(parameters), dict(options))


def filled(layout: Layout, parameters: Sequence[Parameter], what: str) -> Iterator[Array]:
    """Yield what the variables of every block get, in their order; what no step has reached gets its first value.

    Args:
        layout: how they are to be kept.
        parameters: in order.
        what: where they go, for messages.

    Raises:
        ConversionError: a parameter lacks what has to be there.
    """
    first = {slot.name: slot.initial for slot in layout.rule.slots}
    for block in layout.blocks:
        for p in parameters:
            if block in p.slots:
                yield p.slots[block]
            elif p.shape is not None and (block == PENDING or p.step == 0):
                yield np.full(p.shape, first.get(block, 0.0), next(iter(p.slots.values())).dtype)
            elif block == AVERAGE:
                raise ConversionError(
                    f"{what} keeps a moving average of the parameters, and the state has none of {p.name!r}; make it with "
                    "use_ema=False"
                )
            else:
                raise ConversionError(
                    f"the state has no arrays for {p.name!r}, which no step has reached yet; leave it out on both sides"
                )


def one_count(parameters: Sequence[Parameter], what: str) -> int:
    """Return the steps taken with all parameters, or refuse several counts."""
    counts = {p.step for p in parameters}
    if len(counts) > 1:
        raise ConversionError(
            f"{what} counts steps once for all parameters, and this state has taken {min(counts)} to {max(counts)} with them; use "
            "rmsprop.torch, which counts each"
        )
    return counts.pop() if counts else 0


def _switched(rule: Rule) -> str:
    """Return what decides which arrays a rule keeps."""
    return f"momentum={rule.momentum:g}, centered={rule.centered}"
