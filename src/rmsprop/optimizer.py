"""RMSprop over NumPy arrays, updated in place."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rmsprop import state as _state
from rmsprop.dialects import dialect as _dialect
from rmsprop.kernels.group import Group, new_state
from rmsprop.kernels.layout import Memory
from rmsprop.kernels.precision import check_precision
from rmsprop.parameters import COMPUTED, Arrays, Parameters
from rmsprop.rule import Rule, learning_rate

OnNonfinite = Literal["raise", "skip", "propagate"]

# Models up to this many numbers stay with NumPy: a step takes tens of microseconds there, loading a compiler a quarter of a second.
SMALL = 256


class RMSprop:
    """RMSprop in any dialect over one NumPy array, a list or a dict of arrays, updated in place.

    v ← decay·v + (1 - decay)·g²,  p ← p - lr / (√v + eps)·g

    Args:
        params: arrays of float16, float32, float64, complex64 or complex128, any shape and layout. float16 is computed, and has its
            state, in float32.
        lr: learning rate in units of the parameters, ≥ 0: a number, or a callable that is given the number of steps already taken.
            By default the dialect's own.
        dialect: a name of `dialect_names()`, or a `Rule`.
        on_nonfinite: what to do about a gradient that holds NaN or infinity or whose square overflows: "raise" FloatingPointError,
            "skip" the step and count it in `skipped` (either leaves all parameters and state as they were), or "propagate".
        axes: axes of `Rule` to change, such as decay, eps, momentum, centered or weight_decay.

    Raises:
        TypeError: an array or an option is of the wrong type.
        ValueError: a value is not allowed, an array is read-only, or arrays share memory.

    Example:
        >>> import numpy as np
        >>> w = np.array([1.0, -2.0])
        >>> optimizer = RMSprop(w, lr=0.1, momentum=0.5)
        >>> optimizer.step(2 * w)
        >>> w.round(6).tolist()
        [0.683772, -1.683772]

    Source: the rule is `rmsprop.rule.update`; the dialects and where they come from are in `rmsprop.dialects`.
    """

    def __init__(
        self,
        params: Arrays,
        lr: float | Callable[[int], float] | None = None,
        dialect: str | Rule = "article",
        *,
        on_nonfinite: OnNonfinite = "raise",
        **axes: Any,
    ) -> None:
        """Check everything, then make the state."""
        rule = _dialect(dialect, **axes)
        if on_nonfinite not in get_args(OnNonfinite):
            raise ValueError(f"on_nonfinite must be one of {', '.join(map(repr, get_args(OnNonfinite)))}, got {on_nonfinite!r}")
        if lr is None and rule.lr is None:
            raise ValueError(f"dialect {rule.name!r} has no default learning rate; pass lr, such as lr=0.001")
        self.on_nonfinite = on_nonfinite
        self.steps = 0
        self.skipped = 0
        self._parameters = Parameters(params)
        self._computed = [COMPUTED[p.dtype.name] for p in self._parameters.arrays]
        self._rule = rule
        self.lr = rule.lr if lr is None else lr
        fresh = [new_state(rule, p, kind) for p, kind in zip(self._parameters.arrays, self._computed, strict=True)]
        self._keep({slot.name: [one[slot.name] for one in fresh] for slot in rule.slots})

    def step(self, grads: Any) -> None:
        """Update the parameters once.

        Args:
            grads: gradients in the structure of the parameters, each of its parameter's shape; None leaves a parameter and its
                state alone.

        Raises:
            TypeError: a gradient is not an array, or of a dtype that cannot become the parameter's.
            ValueError: the structure or a shape differs, or lr(step) is not a learning rate.
            FloatingPointError: with on_nonfinite="raise", a gradient is not finite or its square overflows.
        """
        lr = self._lr_at(self.steps)
        ordered = self._parameters.ordered(grads)
        routes = [group.route([ordered[i] for i in group.indices], self._parameters, self._memory) for group in self._groups]
        if self.on_nonfinite != "propagate":
            for group, route in zip(self._groups, routes, strict=True):
                wrong = group.beyond(route)
                if wrong is not None:
                    if self.on_nonfinite == "raise":
                        raise FloatingPointError(self._complaint(group.indices[wrong], route.grads[wrong], group.limit))
                    self.skipped += 1
                    return
        scalars = self._rule.scalars(lr, self.steps + 1)
        for group, route in zip(self._groups, routes, strict=True):
            group.advance(route, scalars)
        self.steps += 1

    @property
    def lr(self) -> float | Callable[[int], float]:
        """The learning rate, or the callable that gives it; may be set between steps."""
        return self._lr

    @lr.setter
    def lr(self, value: Any) -> None:
        if callable(value):
            self._lr: float | Callable[[int], float] = value
            self._check_lr(0.0)
        else:
            self._lr = self._check_lr(value)

    @property
    def rule(self) -> Rule:
        """The dialect; set it, as in `optimizer.rule = optimizer.rule.replace(momentum=0.9)`, to change axes between steps.

        State that the new rule lacks is made: a momentum buffer of 0, a mean of 0 and a variance equal to v when centering starts.
        """
        return self._rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule must be a Rule, got {rule!r}; use rmsprop.dialect(name) or rule.replace(axis=value)")
        held = {name: dict(enumerate(arrays)) for name, arrays in self._slots.items()}
        state = _state.adapted(held, self._rule, rule, self.steps, self._fresh(rule))
        before, self._rule = self._rule, rule
        try:
            self._lr_at(self.steps)
        except ValueError:
            self._rule = before
            raise
        self._keep({name: list(arrays.values()) for name, arrays in state.items()})

    @property
    def state(self) -> dict[str, Any]:
        """The state arrays: slot name to what has the structure of the parameters. They are the optimizer's own, not copies."""
        return {name: self._parameters.structured(arrays) for name, arrays in self._slots.items()}

    def effective_lr(self) -> Any:
        """Return how far a unit gradient moves each element now, lr / (√v + eps), in the structure of the parameters.

        It is the rule's own step for g = 1 with its means held still, without momentum and weight decay.

        Example:
            >>> import numpy as np
            >>> optimizer = RMSprop(np.zeros(2), lr=0.1, decay=0.5)
            >>> optimizer.step(np.array([1.0, 100.0]))
            >>> optimizer.effective_lr().round(6).tolist()
            [0.141421, 0.001414]
        """
        return self._parameters.structured(_state.effective_lr(self._rule, self._lr_at(self.steps), self.steps, self._slots))

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that the next steps depend on, but for the parameters.

        Returns:
            A dict of plain values and arrays: "rule" (its axes), "lr" (None for a callable), "steps", "skipped", and "state": slot
            name to a dict of parameter name to array.
        """
        return _state.dump(
            self._rule,
            None if callable(self._lr) else self._lr,
            self.steps,
            self.skipped,
            {name: dict(zip(self._parameters.names, arrays, strict=True)) for name, arrays in self._slots.items()},
        )

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from a state_dict, bit for bit; or refuse it with nothing changed.

        The learning rate is taken from it, unless either is a callable; the rule stays this optimizer's, and state that it has
        beyond the saved rule's is made as by setting `rule`.

        Args:
            saved: what `state_dict` returned, for parameters of the same names, shapes and dtypes.

        Raises:
            TypeError: saved, or a part of it, has the wrong type.
            ValueError: it is not a state of this optimizer; the message says what differs.
        """
        loaded = _state.load(saved)
        names = self._parameters.names
        template = _state.templates(loaded.rule, names, self._fresh(loaded.rule))
        _state.check(loaded.slots, template, allow_nan=self.on_nonfinite == "propagate")
        held = {slot: {i: arrays[name] for i, name in enumerate(names)} for slot, arrays in loaded.slots.items()}
        state = _state.adapted(held, loaded.rule, self._rule, loaded.steps, self._fresh(self._rule))
        if not callable(self._lr) and loaded.lr is not None:
            self.lr = loaded.lr
        self.steps, self.skipped = loaded.steps, loaded.skipped
        self._keep({slot: list(arrays.values()) for slot, arrays in state.items()})

    def __repr__(self) -> str:
        """Return the class with what tells one optimizer from another."""
        total = sum(p.size for p in self._parameters.arrays)
        return f"RMSprop({len(self._parameters.names)} arrays, {total} elements, dialect={self._rule.name!r}, lr={self._lr!r})"

    def _keep(self, slots: dict[str, list[NDArray[Any]]]) -> None:
        """Take arrays as the state, and prepare the kernels for them."""
        self._slots = slots
        arrays = self._parameters.arrays
        compiled = sum(p.size for p in arrays) > SMALL
        self._memory = Memory([*arrays, *(a for held in slots.values() for a in held)])
        self._groups = [
            Group(self._rule, self._parameters, [i for i, p in enumerate(arrays) if p.dtype == kind], slots, compiled)
            for kind in dict.fromkeys(p.dtype for p in arrays)
        ]

    def _fresh(self, rule: Rule) -> list[dict[str, NDArray[Any]]]:
        """Return the state that a rule starts from, for each parameter."""
        return [new_state(rule, p, kind) for p, kind in zip(self._parameters.arrays, self._computed, strict=True)]

    def _lr_at(self, step: int) -> float:
        """Return the learning rate of the step after `step` steps, checked."""
        return self._check_lr(self._lr(step)) if callable(self._lr) else self._lr

    def _check_lr(self, value: Any) -> float:
        """Return a learning rate that every parameter's arithmetic can take, or refuse it."""
        lr = learning_rate(value)
        for kind in dict.fromkeys(self._computed):
            check_precision(self._rule, kind, lr)
        return lr

    def _complaint(self, index: int, g: Any, limit: float) -> str:
        """Return why a gradient was refused."""
        name = self._parameters.names[index]
        remedy = "nothing was changed; lower the learning rate or mend the loss, or pass on_nonfinite='skip'"
        size = np.maximum(np.abs(g.real), np.abs(g.imag)).astype(np.float64)
        wrong = ~(size <= limit)
        if not wrong.any():
            return f"the gradient of {name!r} with its weight decay is too large to be squared; {remedy}"
        place = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
        value = g[place]
        why = "" if not np.isfinite(value) else f", whose square overflows {COMPUTED[self._parameters.arrays[index].dtype.name]}"
        return f"the gradient of {name!r} is {value} at {place}{why}; {remedy}"
