"""The rule of RMSprop, written once.

`update` is the whole optimizer for one element: plain arithmetic and a square root. Every backend runs this function and no other:
`bind` hands it the backend's square root and a `Rule`'s switches as constants, and the backend compiles or traces the copy.
"""

import math
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import replace as _replace
from typing import Any, Literal, NamedTuple, Self, get_args

EpsPlace = Literal["outside", "inside"]
CenteredForm = Literal["variance", "difference"]
WeightDecayForm = Literal["coupled", "decoupled", "decoupled_lr"]
ComplexForm = Literal["parts", "modulus"]

# What `update` reads besides its arguments: the primitives of a backend and the switches of a Rule. The values here are those of
# plain RMSprop on Python floats; `bind` replaces them in a copy of the function, where a compiler sees constants.
sqrt: Callable[[Any], Any] = math.sqrt
MAXIMIZE = COUPLED = DECOUPLED = CENTERED = VARIANCE = EPS_INSIDE = MOMENTUM = NESTEROV = BIAS_CORRECTION = False


def flush(z: Any) -> Any:
    """Return z; a backend whose arithmetic slows down on subnormal numbers returns 0 for them."""
    return z


def square(z: Any) -> Any:
    """Return z²: a complex parameter is taken part by part, as two real ones."""
    return z * z


def modulus_square(z: Any) -> Any:
    """Return |z|²: one mean for both parts of a complex parameter."""
    return z.real * z.real + z.imag * z.imag


def update(
    p: Any,  # parameter
    g: Any,  # gradient of the loss at p
    v: Any,  # mean of g²; with VARIANCE the variance of g, v - m²
    m: Any,  # mean of g; read with CENTERED
    b: Any,  # momentum buffer; read with MOMENTUM
    inner: Any,  # learning rate before the momentum buffer; one of inner and outer is 1
    outer: Any,  # learning rate after it
    decay: Any,  # weight of the past in both means
    fresh: Any,  # 1 - decay, rounded once
    eps: Any,  # keeps the denominator above 0
    momentum: Any,  # weight of the past in the buffer
    weight_decay: Any,  # of the gradient (COUPLED) or of the parameter (DECOUPLED, times lr where the form says so)
    correction: Any,  # 1 - decay^t; read with BIAS_CORRECTION, as are the next two
    unbias: Any,  # 1 / (1 - decay^(t-1)), and 1 at the first step, where the mean that it multiplies is 0
    carried: Any,  # (1 - decay^(t-1)) / (1 - decay^t)
) -> tuple[Any, Any, Any, Any]:
    """Take one step of RMSprop and return the new (p, v, m, b).

    In the plain case v ← decay·v + (1 - decay)·g² and p ← p - lr / (√v + eps)·g.
    """
    if MAXIMIZE:
        g = -g
    if COUPLED:
        g = g + weight_decay * p
    if DECOUPLED:
        p = p - weight_decay * p

    if VARIANCE:
        # v - m² by itself cancels and turns negative; its own recurrence is equal in exact arithmetic and a sum of squares.
        if BIAS_CORRECTION:
            v = flush(decay * v + decay * fresh * carried * square(g - unbias * m))
        else:
            v = flush(decay * v + decay * fresh * square(g - m))
    else:
        v = flush(decay * v + fresh * square(g))
    if CENTERED:
        m = flush(decay * m + fresh * g)

    spread = v
    if BIAS_CORRECTION:
        spread = v / correction
    if CENTERED and not VARIANCE:
        if BIAS_CORRECTION:
            spread = spread - square(m) / (correction * correction)
        else:
            spread = spread - square(m)
    if EPS_INSIDE:
        denominator = sqrt(spread + eps)
    else:
        denominator = sqrt(spread) + eps

    step = inner / denominator * g
    if MOMENTUM:
        b = flush(momentum * b + step)
        if NESTEROV:
            step = momentum * b + step
        else:
            step = b
    p = p - outer * step
    return p, v, m, b


def average(e: Any, p: Any, keep: Any, fresh: Any) -> Any:
    """Return the moving average of the parameters after a step, keep·e + fresh·p with fresh = 1 - keep."""
    return keep * e + fresh * p


def variance(v: Any, m: Any, correction: Any) -> Any:
    """Return what `update` keeps with VARIANCE, from the means of g² and g: v - |m|² / correction."""
    return v - modulus_square(m) / correction


def mean_square(s: Any, m: Any, correction: Any) -> Any:
    """Return the mean of g² from what `update` keeps with VARIANCE: s + |m|² / correction."""
    return s + modulus_square(m) / correction


class Scalars(NamedTuple):
    """The scalar arguments of `update`, in its order, in double precision."""

    inner: float
    outer: float
    decay: float
    fresh: float
    eps: float
    momentum: float
    weight_decay: float
    correction: float
    unbias: float
    carried: float


class Slot(NamedTuple):
    """One state array of a parameter: its argument in `update`, its name, its first value, and whether it is always real."""

    argument: Literal["v", "m", "b"]
    name: str
    initial: float
    real: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One dialect of RMSprop: every choice on which implementations differ, as a frozen value that checks itself.

    v ← decay·v + (1 - decay)·g²,  b ← momentum·b + lr·g / (√v + eps),  p ← p - b

    Args:
        decay: weight of the past in the means of g² and g, in [0, 1).
        eps: added to the denominator, > 0.
        eps_place: "outside" the root, √v + eps, or "inside", √(v + eps).
        square_init: v before the first step, ≥ 0; TensorFlow 1 starts from 1.
        centered: divide by the standard deviation of g instead of its root mean square.
        centered_form: "variance" keeps v - m² by a recurrence that cannot turn negative; "difference" subtracts, as most
            implementations do, and may give NaN.
        momentum: weight of the past in the momentum buffer, in [0, 1); 0 keeps no buffer.
        nesterov: step along momentum·b + the newest term instead of b; needs momentum > 0.
        lr_in_momentum: the buffer gathers lr·g/denominator (True) or g/denominator (False); they part when lr changes.
        bias_correction: divide the means by 1 - decay^t; needs square_init = 0.
        weight_decay: strength of the decay, ≥ 0.
        weight_decay_form: "coupled" adds weight_decay·p to g; "decoupled" takes weight_decay·p off p before the step;
            "decoupled_lr" takes lr·weight_decay·p off p.
        maximize: ascend instead of descend.
        complex_form: "parts" treats a complex parameter as two real ones; "modulus" keeps one mean of |g|².
        lr: the dialect's default learning rate, ≥ 0, or None where the caller must give one.
        name: what the dialect is called.
        source: where its values come from.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: a value or a combination is not allowed; the message says which are.

    Example:
        >>> rule = Rule(decay=0.9, eps=1e-10, eps_place="inside", square_init=1.0)
        >>> [slot.name for slot in rule.slots]
        ['square_avg']
        >>> [slot.name for slot in rule.replace(momentum=0.9, centered=True).slots]
        ['variance', 'grad_avg', 'momentum_buffer']

    Source: Tieleman and Hinton, Lecture 6e of "Neural Networks for Machine Learning" (2012); centering and momentum from
    Graves, "Generating Sequences With Recurrent Neural Networks", https://arxiv.org/abs/1308.0850, eq. 38-45.
    """

    decay: float = 0.9
    eps: float = 1e-8
    eps_place: EpsPlace = "outside"
    square_init: float = 0.0
    centered: bool = False
    centered_form: CenteredForm = "variance"
    momentum: float = 0.0
    nesterov: bool = False
    lr_in_momentum: bool = True
    bias_correction: bool = False
    weight_decay: float = 0.0
    weight_decay_form: WeightDecayForm = "coupled"
    maximize: bool = False
    complex_form: ComplexForm = "parts"
    lr: float | None = None
    name: str = field(default="custom", compare=False)
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Refuse values and combinations that no step can be taken with."""
        for name in _RANGES:
            object.__setattr__(self, name, checked(name, getattr(self, name)))
        if self.lr is not None:
            object.__setattr__(self, "lr", learning_rate(self.lr))
        for name in ("centered", "nesterov", "lr_in_momentum", "bias_correction", "maximize"):
            object.__setattr__(self, name, _switch(name, getattr(self, name)))
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {getattr(self, name)!r}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs momentum > 0, got momentum=0.0; there is no buffer to look ahead with")
        if self.bias_correction and self.square_init != 0:
            raise ValueError(
                f"bias_correction=True needs square_init=0, got {self.square_init!r}; it divides out the weight of a start at 0"
            )

    def replace(self, **axes: Any) -> Self:
        """Return the same rule with some axes, or its default learning rate, changed, and checked again.

        Args:
            axes: axes of `Rule`, or lr.

        Raises:
            TypeError: a keyword is neither.
            ValueError: a value is not allowed.

        Example:
            >>> Rule(momentum=0.9).replace(nesterov=True).switches["NESTEROV"]
            True
        """
        unknown = sorted(set(axes) - {*AXES, "lr"})
        if unknown:
            raise TypeError(f"unknown axis {unknown[0]!r}; a rule has {', '.join(AXES)}")
        return _replace(self, **axes)

    @property
    def branches(self) -> "Rule":
        """A rule that takes the same branches of `update`, equal for all rules that do, whatever their numbers."""
        on = self.switches
        return Rule(
            eps_place=self.eps_place,
            centered=self.centered,
            centered_form="variance" if on["VARIANCE"] or not self.centered else "difference",
            momentum=0.5 if on["MOMENTUM"] else 0.0,
            nesterov=self.nesterov,
            bias_correction=self.bias_correction,
            weight_decay=1.0 if on["COUPLED"] or on["DECOUPLED"] else 0.0,
            weight_decay_form="decoupled" if on["DECOUPLED"] else "coupled",
            maximize=self.maximize,
            complex_form=self.complex_form,
        )

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The state arrays that this rule keeps for each parameter, in `update`'s order."""
        variance = self.centered and self.centered_form == "variance"
        slots = [Slot("v", "variance" if variance else "square_avg", self.square_init, True)]
        if self.centered:
            slots.append(Slot("m", "grad_avg", 0.0, False))
        if self.momentum:
            slots.append(Slot("b", "momentum_buffer", 0.0, False))
        return tuple(slots)

    @property
    def switches(self) -> dict[str, bool]:
        """The branches of `update` that this rule takes, by the names that `update` reads."""
        return {
            "MAXIMIZE": self.maximize,
            "COUPLED": self.weight_decay > 0 and self.weight_decay_form == "coupled",
            "DECOUPLED": self.weight_decay > 0 and self.weight_decay_form != "coupled",
            "CENTERED": self.centered,
            "VARIANCE": self.centered and self.centered_form == "variance",
            "EPS_INSIDE": self.eps_place == "inside",
            "MOMENTUM": self.momentum > 0,
            "NESTEROV": self.nesterov,
            "BIAS_CORRECTION": self.bias_correction,
        }

    def scalars(self, lr: float, step: int) -> Scalars:
        """Return the scalar arguments of `update` for one step.

        Args:
            lr: learning rate of this step, ≥ 0.
            step: number of this step, counted from 1.

        Returns:
            The scalars in double precision; differences from 1 are taken here, before anything is rounded to the arithmetic's type.
        """
        past = self.decay ** (step - 1)
        prior, correction = (1 - past, 1 - past * self.decay) if self.bias_correction else (1.0, 1.0)
        return self.arranged(
            lr, self.decay, 1 - self.decay, self.eps, self.momentum, self.weight_decay, correction, prior, prior or 1.0, 1.0
        )

    def arranged(
        self,
        lr: Any,
        decay: Any,
        fresh: Any,
        eps: Any,
        momentum: Any,
        weight_decay: Any,
        correction: Any,
        prior: Any,
        divisor: Any,
        one: Any,
    ) -> Scalars:
        """Return hyper-parameters, numbers or symbols, as the scalar arguments of `update`.

        Args:
            lr: learning rate.
            decay: weight of the past.
            fresh: 1 - decay.
            eps: epsilon.
            momentum: weight of the past in the buffer.
            weight_decay: strength of the decay.
            correction: 1 - decay^t.
            prior: 1 - decay^(t-1).
            divisor: prior, or 1 where it is 0.
            one: the number 1.
        """
        outside = self.momentum > 0 and not self.lr_in_momentum
        return Scalars(
            inner=one if outside else lr,
            outer=lr if outside else one,
            decay=decay,
            fresh=fresh,
            eps=eps,
            momentum=momentum,
            weight_decay=lr * weight_decay if self.weight_decay_form == "decoupled_lr" else weight_decay,
            correction=correction,
            unbias=one / divisor,
            carried=prior / correction,
        )


AXES = tuple(name for name in Rule.__dataclass_fields__ if name not in ("lr", "name", "source"))

_RANGES = {
    "decay": (0.0, 1.0, "1 - decay weighs the new gradient"),
    "eps": (0.0, math.inf, "it keeps the denominator above 0: try 1e-8"),
    "square_init": (0.0, math.inf, "it is a mean of squares: try 0 or 1"),
    "momentum": (0.0, 1.0, "1 or more would never forget: try 0.9"),
    "weight_decay": (0.0, math.inf, "use maximize=True to ascend"),
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "eps_place": get_args(EpsPlace),
    "centered_form": get_args(CenteredForm),
    "weight_decay_form": get_args(WeightDecayForm),
    "complex_form": get_args(ComplexForm),
}


def checked(axis: str, value: Any, called: str | None = None) -> float:
    """Return the value of a numerical axis as a float, or refuse it.

    Args:
        axis: an axis of `Rule` that is a number.
        value: what it was given.
        called: what the host calls it, for the message.

    Raises:
        TypeError: it is not a number.
        ValueError: it is out of the axis's range.
    """
    low, high, why = _RANGES[axis]
    called = called or axis
    number = _number(called, value, low, high, why.replace(axis, called))
    if axis == "eps" and number == 0:
        raise ValueError(f"{called} must be greater than 0, got {value!r}; without it a zero gradient gives 0/0: try 1e-8")
    return number


def learning_rate(value: Any, called: str = "lr") -> float:
    """Return a learning rate as a float, or refuse it.

    Args:
        value: a number ≥ 0.
        called: what the host calls it, for the message.

    Raises:
        TypeError: it is not a number.
        ValueError: it is negative, infinite or NaN.
    """
    return _number(called, value, 0.0, math.inf, "use maximize=True to ascend")


def _number(name: str, value: Any, low: float, high: float, why: str) -> float:
    """Return value as a float in [low, high), or refuse it with the reason."""
    allowed = f"[{low:g}, {high:g})"
    kind = getattr(getattr(value, "dtype", None), "kind", "")  # of a NumPy scalar
    if isinstance(value, bool | str | bytes | complex) or kind in ("b", "c"):
        raise TypeError(f"{name} must be a number in {allowed}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a number in {allowed}, got {value!r}") from error
    if not low <= number < high:
        remedy = why if number < low or high < math.inf else "pass a finite number"
        raise ValueError(f"{name} must be in {allowed}, got {value!r}; {remedy}")
    return number


def _switch(name: str, value: Any) -> bool:
    """Return value as a bool, or refuse it; NumPy's bool is one too."""
    if isinstance(value, bool):
        return value
    if getattr(getattr(value, "dtype", None), "kind", "") == "b" and getattr(value, "ndim", 1) == 0:
        return bool(value)
    raise TypeError(f"{name} must be True or False, got {value!r}")


_SQUARES = {"parts": square, "modulus": modulus_square}


def bind(
    rule: Rule,
    *,
    sqrt: Callable[[Any], Any],
    flush: Callable[[Any], Any] = flush,
    square: Callable[[Any], Any] | None = None,
    compile: Callable[[Callable[..., Any]], Any] = lambda function: function,
    wrap: Callable[[bool], Any] = bool,
    function: Callable[..., Any] = update,
    **names: Any,
) -> Any:
    """Return `update` with a rule's switches as constants, running on a backend's primitives.

    Args:
        rule: whose branches to take.
        sqrt: the backend's square root.
        flush: the backend's replacement of subnormal numbers by 0; by default none.
        square: z² or |z|²; by default the one that the rule's `complex_form` asks for.
        compile: what turns a Python function into the backend's, such as `numba.njit`.
        wrap: what turns a switch into the backend's constant, such as `triton.language.constexpr`.
        function: `update`, or what a backend made of its source.
        names: further globals that the backend's compiler looks up.

    Returns:
        A function of `update`'s arguments.

    Example:
        >>> import math
        >>> step = bind(Rule(decay=0.5), sqrt=math.sqrt)
        >>> p, v, *_ = step(1.0, 2.0, 0.0, 0.0, 0.0, *Rule(decay=0.5).scalars(lr=0.1, step=1))
        >>> round(p, 6), v
        (0.858579, 2.0)
    """
    if square is None:
        square = compile(rebound(_SQUARES[rule.complex_form], names))
    switches = {name: wrap(on) for name, on in rule.switches.items()}
    return compile(rebound(function, {**names, **switches, "sqrt": sqrt, "flush": flush, "square": square}))


def rebound(function: Any, names: dict[str, Any]) -> Any:
    """Return a copy of a function that looks its globals up in `names`: the same code, other constants.

    Example:
        >>> rebound(square, {})(3)
        9
    """
    return types.FunctionType(function.__code__, {"__name__": function.__module__, **names}, function.__name__)
