"""Which optimizers and files there are, what each can say of a rule, and who reads and writes it.

A module that reads and writes some kinds has four functions, or those that apply:

    capture(source, kind, told) -> State     of an optimizer or what it calls its state; kind is None where it has to be found out
    restore(target, state) -> target         put a state into an optimizer, or into a copy of its state where that is a value
    read(path, kind, told) -> State          of a file
    write(path, state, kind) -> None         to a file, a state that `moving.moved` has carried to that kind

They read what they know and refuse the rest with an error of `errors`; after an error nothing has changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

from rmsprop.checkpoint.errors import ConversionError, UsageError
from rmsprop.dialects import dialect
from rmsprop.rule import AXES, Rule


class Kind(NamedTuple):
    """One optimizer whose state can be read or written.

    The values that `said` allows for an axis are its package's; None stands for any. Any other axis is as in the dialect.
    """

    name: str  # what --from and --to call it
    optimizer: str  # what messages call it
    module: str  # which module of this package reads and writes it
    dialect: str  # its dialect
    said: Mapping[str, tuple[Any, ...] | None]  # the axes that it has options for
    instead: str  # the kind of ours that takes any rule in the same place

    @property
    def host(self) -> Any:
        """The module that reads and writes it."""
        return import_module(f"rmsprop.checkpoint.{self.module}")


_ALL: dict[str, tuple[Any, ...] | None] = dict.fromkeys(AXES)


def _said(*axes: str, **some: tuple[Any, ...]) -> dict[str, tuple[Any, ...] | None]:
    """Return what an upstream has options for; each of them keeps the mean of g² and subtracts m² from it."""
    return {**dict.fromkeys(axes), **some, "centered_form": ("difference",)}


_PLAIN = ("decay", "eps", "momentum", "centered")
_KINDS = (
    Kind("rmsprop", "rmsprop.RMSprop", "numpy", "article", _ALL, "rmsprop"),
    Kind("rmsprop.torch", "rmsprop.torch.RMSprop", "torch", "pytorch", _ALL, "rmsprop.torch"),
    Kind("rmsprop.optax", "rmsprop.optax.rmsprop", "optax", "optax", _ALL, "rmsprop.optax"),
    Kind("rmsprop.keras", "rmsprop.keras.RMSprop", "keras", "keras", _ALL, "rmsprop.keras"),
    Kind("pytorch", "torch.optim.RMSprop", "torch", "pytorch", _said(*_PLAIN, "weight_decay", "maximize"), "rmsprop.torch"),
    Kind(
        "timm",
        "timm.optim.RMSpropTF",
        "torch",
        "timm",
        _said(*_PLAIN, "weight_decay", "lr_in_momentum", weight_decay_form=("coupled", "decoupled_lr")),
        "rmsprop.torch",
    ),
    Kind("sb3", "Stable-Baselines3's RMSpropTFLike", "torch", "sb3", _said(*_PLAIN, "weight_decay"), "rmsprop.torch"),
    Kind(
        "bitsandbytes",
        "bitsandbytes.optim.RMSprop",
        "torch",
        "bitsandbytes",
        _said("decay", "eps", "weight_decay"),
        "rmsprop.torch",
    ),
    Kind(
        "optax",
        "optax.rmsprop",
        "optax",
        "optax",
        _said(*_PLAIN, "eps_place", "square_init", "nesterov", "bias_correction"),
        "rmsprop.optax",
    ),
    Kind("keras", "keras.optimizers.RMSprop", "keras", "keras", _said(*_PLAIN, "weight_decay"), "rmsprop.keras"),
    Kind("tf-keras", "tf_keras.optimizers.RMSprop", "tensorflow", "keras", _said(*_PLAIN, "weight_decay"), "rmsprop.keras"),
    Kind("keras-legacy", "tf_keras.optimizers.legacy.RMSprop", "tensorflow", "keras-legacy", _said(*_PLAIN), "rmsprop.keras"),
    Kind("tf1", "tf.compat.v1.train.RMSPropOptimizer", "tensorflow", "tf1", _said(*_PLAIN), "rmsprop.keras"),
)
KINDS = {kind.name: kind for kind in _KINDS}


def kind_of(name: str) -> Kind:
    """Return the kind of that name, or refuse it.

    Example:
        >>> kind_of("tf1").optimizer
        'tf.compat.v1.train.RMSPropOptimizer'
    """
    if name not in KINDS:
        near = get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(KINDS)}"
        raise UsageError(f"unknown kind {name!r}; {hint}")
    return KINDS[name]


@dataclass(frozen=True)
class Told:
    """What a caller says of a run whose state does not hold it, as it was said to the optimizer's constructor.

    Args:
        dialect: the optimizer's dialect, a name or a `Rule`; None for that of its kind.
        axes: axes of `Rule`.
        lr: learning rate of the last step.
        step: steps taken.
        key: where a file holds several states, which one.
        names: of the parameters, in the host's order, where the state has none.
        allow_nan: whether arrays may hold NaN and infinity.
        unsaid: None to insist on what is needed; otherwise a list that is told what was not said, for a look at a state that nobody
            goes on from.
    """

    dialect: str | Rule | None = None
    axes: Mapping[str, Any] = field(default_factory=dict)
    lr: float | None = None
    step: int | None = None
    key: str | None = None
    names: Sequence[str] | None = None
    allow_nan: bool = False
    unsaid: list[str] | None = field(default=None, compare=False)

    def rule(self, kind: Kind) -> Rule:
        """Return the rule that a run of a kind follows, or refuse what was said of it."""
        if self.unsaid is not None:
            self.unsaid.append("rule")  # what was left out is the dialect's, and the run's may have been another
        try:
            rule = dialect(self.dialect or kind.dialect, **self.axes)
        except (TypeError, ValueError) as error:
            raise UsageError(str(error)) from None
        forms = kind.said["centered_form"]
        return rule.replace(centered_form=forms[0]) if rule.centered and forms else rule

    def rate(self, kind: Kind) -> float | None:
        """Return the learning rate, or ask for it."""
        if self.lr is None and self.unsaid is not None:
            self.unsaid.append("lr")
        elif self.lr is None:
            raise UsageError(
                f"a state of {kind.optimizer} holds no learning rate; say the one of its last step, as lr=0.01 or --lr 0.01"
            )
        return self.lr

    def count(self, kind: Kind) -> int:
        """Return the number of steps taken, or ask for it."""
        if self.step is None and self.unsaid is not None:
            self.unsaid.append("step")
        elif self.step is None:
            raise UsageError(f"this state of {kind.optimizer} does not count its steps; say them, as step=1000 or --step 1000")
        return self.step or 0

    def refuse_rule(self, what: str) -> None:
        """Refuse what was said of a run whose state says it itself."""
        said = [*self.axes, *(name for name in ("dialect", "lr", "step") if getattr(self, name) is not None)]
        self._refuse(what, said)

    def refuse(self, what: str, *held: str) -> None:
        """Refuse what was said of some axes, or of lr or step, where the state says them itself."""
        self._refuse(what, [name for name in held if name in self.axes or getattr(self, name, None) is not None])

    def _refuse(self, what: str, said: Sequence[str]) -> None:
        if said:
            raise UsageError(f"{what} holds {said[0]} itself; leave it out, and change it after the move")


def expressed(rule: Rule, kind: Kind, *, complex: bool, begun: bool) -> Rule:
    """Return a rule as an optimizer can state it, or refuse it.

    The two may differ in what state can be carried over exactly: whether the momentum buffer holds the learning rate, and in what
    form the variance is kept. A first value of v is state, and goes with it.

    Args:
        rule: the rule of the state.
        kind: where it is to go.
        complex: whether a parameter is complex.
        begun: whether a step has been taken.

    Raises:
        ConversionError: the optimizer has no option for an axis, and the rule needs it.
    """
    theirs = dialect(kind.dialect, **({"momentum": rule.momentum} if "momentum" in kind.said else {}))
    changed = {}
    for axis in AXES:
        mine = getattr(rule, axis)
        allowed = kind.said.get(axis, (getattr(theirs, axis),))
        if allowed is None or mine in allowed or idle(rule, axis, complex=complex, begun=begun):
            continue
        fixed = allowed[0]
        if axis not in ("lr_in_momentum", "centered_form"):
            raise ConversionError(
                f"{kind.optimizer} has {axis}={fixed!r} and no option for it, and this state's rule ({rule.name}) has {mine!r}; "
                f"{_WHY.get(axis, 'nothing there is equal to it')}; use {kind.instead!r}, which takes every rule"
            )
        changed[axis] = allowed[0]
    return rule.replace(**changed) if changed else rule


def idle(rule: Rule, axis: str, *, complex: bool, begun: bool) -> bool:
    """Return whether an axis makes no difference to the steps that follow.

    Args:
        rule: the rule.
        axis: the axis.
        complex: whether a parameter is complex.
        begun: whether a step has been taken.
    """
    return {
        "square_init": begun,
        "lr_in_momentum": not rule.momentum,
        "weight_decay_form": not rule.weight_decay,
        "centered_form": not rule.centered,
        "complex_form": not complex,
    }.get(axis, False)


_WHY = {
    "eps_place": "√(v + eps) and √v + eps agree at one v only, whatever eps is scaled to",
    "square_init": "v before the first step cannot be said there",
    "complex_form": "means of both parts and of the modulus do not give each other",
}
