"""Optimizer state as a value, whatever framework it came from: rules, learning rates, counts and named arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from dataclasses import replace as _replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rmsprop.checkpoint.errors import ConversionError
from rmsprop.rule import Rule, learning_rate
from rmsprop.state import check_values

Array = NDArray[Any]

# The moving average of the parameter itself, which no rule asks for but a host may keep.
AVERAGE = "ema"
# The option of a group whose file keeps names but no order.
UNORDERED = "unordered"
DTYPES = ("float32", "float64", "complex64", "complex128")


@dataclass(frozen=True)
class Parameter:
    """The state of one parameter.

    Args:
        name: what the host calls the parameter; its index where it has no name.
        step: steps taken, ≥ 0.
        slots: name of each state array (`Rule.slots`, and perhaps "ema") to the array, all of the parameter's shape; empty where
            nothing has been kept yet.
    """

    name: str
    step: int
    slots: Mapping[str, Array] = field(repr=False)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The parameter's shape, or None where there is no array to tell."""
        return next((array.shape for array in self.slots.values()), None)

    @property
    def complex(self) -> bool:
        """Whether the parameter is complex, as far as its arrays tell."""
        return any(np.iscomplexobj(array) for array in self.slots.values())


@dataclass(frozen=True)
class Group:
    """Parameters with one rule and one learning rate.

    Args:
        rule: how they are stepped.
        lr: learning rate of the last step, or None where none is known.
        parameters: their state, in the host's order.
        options: what else the host keeps for the group: plain values that JSON can hold.
    """

    rule: Rule
    lr: float | None
    parameters: tuple[Parameter, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complex(self) -> bool:
        """Whether a parameter is complex."""
        return any(p.complex for p in self.parameters)


@dataclass(frozen=True)
class State:
    """The state of an optimizer.

    Args:
        groups: its groups of parameters; no name stands twice.
        skipped: steps left out because of gradients that were not finite.
        origin: which optimizer it was taken from.
        allow_nan: whether arrays may hold NaN and infinity.

    Raises:
        ConversionError: arrays differ from what their rule keeps, or hold what no step could have left behind.

    Example:
        >>> from rmsprop import Rule
        >>> one = Parameter("w", 3, {"square_avg": np.ones(2, np.float32)})
        >>> State((Group(Rule(), 0.01, (one,)),)).names
        ('w',)
    """

    groups: tuple[Group, ...]
    skipped: int = 0
    origin: str = ""
    allow_nan: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Check every array against its rule."""
        seen: set[str] = set()
        for group in self.groups:
            if group.lr is not None:
                _checked(learning_rate, group.lr)
            for p in group.parameters:
                if p.name in seen:
                    raise ConversionError(f"two parameters are called {p.name!r}; rename one of them")
                seen.add(p.name)
                _check(p, group.rule, self.allow_nan)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters, group after group."""
        return tuple(p.name for p in self.parameters)

    @property
    def parameters(self) -> Iterator[Parameter]:
        """The state of all parameters, group after group."""
        return (p for group in self.groups for p in group.parameters)

    @property
    def ordered(self) -> bool:
        """Whether the parameters are in the order of the model; some files keep names but no order."""
        return not any(UNORDERED in group.options and len(group.parameters) > 1 for group in self.groups)

    def replace(self, **fields: Any) -> "State":
        """Return the same state with some fields changed, and checked again."""
        return _replace(self, **fields)

    def renamed(self, table: Any) -> "State":
        r"""Return the state under other names, its arrays' axes put in another order where the table says so.

        Args:
            table: pairs of a regular expression that matches whole names and what takes their place, as a dict or a sequence; see
                `rmsprop.checkpoint.names`.

        Raises:
            UsageError: an expression is malformed or matches nothing.
            ConversionError: two parameters would have one name, or axes do not fit.

        Example:
            >>> from rmsprop import Rule
            >>> kernel = Parameter("dense/kernel", 3, {"square_avg": np.ones((2, 5), np.float32)})
            >>> moved = State((Group(Rule(), 0.01, (kernel,)),)).renamed({r"(.+)/kernel": r"\1.weight@1,0"})
            >>> moved.names, next(moved.parameters).shape
            (('dense.weight',), (5, 2))
        """
        from rmsprop.checkpoint.names import renamed

        return renamed(self, table)

    def arranged(self, names: Sequence[Sequence[str]], shapes: Mapping[str, tuple[int, ...]] | None = None) -> "State":
        """Return the state in groups of the given names, in their order.

        Names match by name; where none of them is known here, as when they are mere indices, by order.

        Args:
            names: of the parameters of each group.
            shapes: of the parameters whose shapes are to be checked.

        Raises:
            ConversionError: a parameter is missing or one too many, shapes differ, or a group would have two rules.
        """
        mine = self.names
        wanted = [name for group in names for name in group]
        if not set(mine) & set(wanted):
            if len(mine) != len(wanted):
                raise ConversionError(
                    f"the state has {len(mine)} parameters ({listed(mine)}) and here are {len(wanted)} ({listed(wanted)}); "
                    "no name is in both, so that they would have to match by order; map the names, as with --map"
                )
            if not self.ordered:
                raise ConversionError(
                    f"the state has {listed(mine)} and here are {listed(wanted)}; no name is in both, and the state's file keeps "
                    "no order to match them by; map the names, as with --map"
                )
            key = dict(zip(wanted, mine, strict=True))
        else:
            key = {name: name for name in wanted}
            missing, extra = [n for n in wanted if n not in mine], [n for n in mine if n not in key]
            if missing or extra:
                which = f"lacks {listed(missing)}" if missing else f"has {listed(extra)}, which this optimizer lacks"
                raise ConversionError(f"the state {which}; map the names, as with --map, or leave the parameter out on both sides")
        held = {p.name: (group, p) for group in self.groups for p in group.parameters}
        groups = []
        for number, group in enumerate(names):
            found = [held[key[name]] for name in group]
            for name, (_, p) in zip(group, found, strict=True):
                shape = (shapes or {}).get(name)
                if shape is not None and p.shape not in (None, shape):
                    raise ConversionError(
                        f"{p.name!r} has shape {p.shape} and {name!r} has {shape}; if the axes are in another order, say so in the "
                        r"map, as in '(.+)/kernel=\1.weight@1,0'"
                    )
            sources = [source for source, _ in found] or [self.groups[min(number, len(self.groups) - 1)]]
            said = [(source.rule, source.lr, dict(source.options)) for source in sources]
            if any(one != said[0] for one in said):
                raise ConversionError(
                    f"group {number} would have parameters of several rules, learning rates or options; part it as they are parted"
                )
            parameters = tuple(_replace(p, name=name) for name, (_, p) in zip(group, found, strict=True))
            options = {key: value for key, value in sources[0].options.items() if key != UNORDERED}
            groups.append(_replace(sources[0], parameters=parameters, options=options))
        return self.replace(groups=tuple(groups))


def listed(names: Sequence[str]) -> str:
    """Return names for a message, the first few of many."""
    shown = ", ".join(map(repr, names[:5]))
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown or "none"


def _check(p: Parameter, rule: Rule, allow_nan: bool) -> None:
    """Refuse arrays that are not those of a rule."""
    if isinstance(p.step, bool) or not isinstance(p.step, int) or not 0 <= p.step < 2**63:
        raise ConversionError(f"the step of {p.name!r} must be an integer of at least 0, got {p.step!r}")
    wanted = [slot.name for slot in rule.slots]
    kept = [name for name in p.slots if name != AVERAGE]
    if kept and sorted(kept) != sorted(wanted):
        raise ConversionError(
            f"{p.name!r} must have {', '.join(wanted)} under its rule ({_switched(rule)}), got {', '.join(kept)}; "
            "a slot that is missing cannot be made up"
        )
    for name, array in p.slots.items():
        what = f"{name!r} of parameter {p.name!r}"
        if array.shape != p.shape:
            raise ConversionError(f"{what} must have shape {p.shape} as its other arrays, got {array.shape}")
        if array.dtype.name not in DTYPES:
            raise ConversionError(f"{what} must be one of {', '.join(DTYPES)}, got {array.dtype}")
        _checked(check_values, what, name, array, allow_nan=allow_nan, otherwise="pass allow_nan=True")


def _checked(check: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Call a check, and say what it found in an error of this package."""
    try:
        check(*arguments, **options)
    except (TypeError, ValueError) as error:
        raise ConversionError(str(error)) from None


def _switched(rule: Rule) -> str:
    """Return what decides which arrays a rule keeps."""
    return f"centered={rule.centered}, momentum={rule.momentum:g}"
