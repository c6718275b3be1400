"""RMSprop over NumPy arrays, updated in place."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from rmsprop import state as _state
from rmsprop.dialects import dialect as _dialect
from rmsprop.kernels.group import Group, new_state
from rmsprop.kernels.precision import check_precision
from rmsprop.layout import Memory
from rmsprop.parameters import COMPUTED, Arrays, Parameters
from rmsprop.rule import Rule, Scalars, learning_rate

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
            "skip" the step and count it in `skipped` (either leaves all parameters and state as they were), or "propagate". It
            watches the gradients alone: a learning rate beyond a float16 parameter's range can still take the parameter there.
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
        if lr is None and rule.lr is None:
            raise ValueError(f"dialect {rule.name!r} has no default learning rate; pass lr, such as lr=0.001")
        self.on_nonfinite = on_nonfinite
        self.steps = 0
        self.skipped = 0
        self._parameters = Parameters(params)
        self._computed = [COMPUTED[p.dtype.name] for p in self._parameters.arrays]
        self._rule = rule
        self.lr = rule.lr if lr is None else lr
        self._scalars: tuple[float, Scalars] | None = None  # of the last learning rate
        fresh = self._fresh(rule)
        self._adopt(rule, {slot.name: [one[slot.name] for one in fresh] for slot in rule.slots})

    def step(self, grads: Any) -> None:
        """Update the parameters once.

        Not for two threads at once on one optimizer. A KeyboardInterrupt may leave some parameters updated and others not.

        Args:
            grads: gradients in the structure of the parameters, each of its parameter's shape; None leaves a parameter and its
                state alone.

        Raises:
            TypeError: a gradient is not an array, or of a dtype that cannot become the parameter's.
            ValueError: the structure or a shape differs, or lr(step) is not a learning rate.
            FloatingPointError: with on_nonfinite="raise", a gradient is not finite or its square overflows.

        Example:
            >>> import numpy as np
            >>> params = {"w": np.ones((2, 2)), "b": np.zeros(2)}
            >>> optimizer = RMSprop(params, lr=0.1, decay=0.75)
            >>> optimizer.step({"w": np.full((2, 2), 5.0), "b": None})
            >>> params["w"].round(6).tolist()
            [[0.8, 0.8], [0.8, 0.8]]
        """
        lr = self._lr_at(self.steps)
        ordered = self._parameters.ordered(grads)
        routes = [group.route([ordered[i] for i in group.indices], self._parameters, self._memory) for group in self._groups]
        if self.on_nonfinite != "propagate":
            for group, route in zip(self._groups, routes, strict=True):
                wrong = group.beyond(route)
                if wrong is not None:
                    if self.on_nonfinite == "raise":
                        raise FloatingPointError(self._complaint(group, wrong, route.grads[wrong]))
                    self.skipped += 1
                    return
        if self._scalars is None or self._scalars[0] != lr or self._rule.bias_correction:
            self._scalars = lr, self._rule.scalars(lr, self.steps + 1)
        for group, route in zip(self._groups, routes, strict=True):
            group.advance(route, self._scalars[1])
        self.steps += 1

    @property
    def on_nonfinite(self) -> OnNonfinite:
        """What to do about gradients that are not finite; may be set between steps."""
        return self._on_nonfinite

    @on_nonfinite.setter
    def on_nonfinite(self, policy: OnNonfinite) -> None:
        if policy not in get_args(OnNonfinite):
            raise ValueError(f"on_nonfinite must be one of {', '.join(map(repr, get_args(OnNonfinite)))}, got {policy!r}")
        self._on_nonfinite: OnNonfinite = policy

    @property
    def lr(self) -> float | Callable[[int], float]:
        """The learning rate, or the callable that gives it; may be set between steps."""
        return self._lr

    @lr.setter
    def lr(self, value: Any) -> None:
        checked = value if callable(value) else learning_rate(value)
        self._check_precision(self._rule, 0.0 if callable(value) else checked)
        self._lr: float | Callable[[int], float] = checked

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
        self._check_precision(rule, 0.0 if callable(self._lr) else self._lr)
        self._adopt_state(self._rule, rule, self._slots, self.steps)

    @property
    def state(self) -> dict[str, Any]:
        """The state arrays: slot name to what has the structure of the parameters. They are the optimizer's own, not copies."""
        return {name: self._parameters.structured(arrays) for name, arrays in self._slots.items()}

    def effective_lr(self) -> Any:
        """Return how far a unit gradient moves each element now, lr / (√v + eps), in the structure of the parameters.

        It is the rule's own step for g = 1 with its means held still, without momentum and weight decay.

        Returns:
            Arrays of the parameters' shapes, in the state's precision; for complex parameters in parts, one rate for each part.

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

        Example:
            >>> import numpy as np
            >>> sorted(RMSprop(np.ones(3)).state_dict()["state"])
            ['square_avg']
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

        The rule and the counts are taken from it, and the learning rate unless either is a callable. To change an axis from there
        on, set `rule` afterwards.

        Args:
            saved: what `state_dict` returned, for parameters of the same names, shapes and dtypes.

        Raises:
            TypeError: saved, or a part of it, has the wrong type.
            ValueError: it is not a state of this optimizer; the message says what differs.

        Example:
            >>> import numpy as np
            >>> first, second = RMSprop(np.ones(3), lr=0.5), RMSprop(np.ones(3))
            >>> second.load_state_dict(first.state_dict())
            >>> second.lr
            0.5
        """
        loaded = _state.load(saved)
        names, fresh = self._parameters.names, self._fresh(loaded.rule)
        template = _state.templates(loaded.rule, names, fresh)
        _state.check(loaded.slots, template, allow_nan=self.on_nonfinite == "propagate")
        lr = self._lr if callable(self._lr) or loaded.lr is None else loaded.lr
        self._check_precision(loaded.rule, 0.0 if callable(lr) else lr)
        held = {slot: [arrays[name] for name in names] for slot, arrays in loaded.slots.items()}
        self._adopt_state(loaded.rule, loaded.rule, held, loaded.steps)
        self._lr, self.steps, self.skipped = lr, loaded.steps, loaded.skipped

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle needs: all but the addresses of this object's arrays."""
        return {name: value for name, value in vars(self).items() if name not in ("_groups", "_memory")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a copy's arrays, and prepare the kernels for them."""
        vars(self).update(state)
        self._adopt_state(self._rule, self._rule, self._slots, self.steps)

    def __copy__(self) -> NoReturn:
        """Refuse a copy that would share the parameters and the state but not the count of steps."""
        raise TypeError("a shallow copy of an optimizer would share its state; use copy.deepcopy((params, optimizer))")

    def __repr__(self) -> str:
        """Return the class with what tells one optimizer from another."""
        total = sum(p.size for p in self._parameters.arrays)
        return f"RMSprop({len(self._parameters.names)} arrays, {total} elements, dialect={self._rule.name!r}, lr={self._lr!r})"

    def _adopt_state(self, old: Rule, new: Rule, slots: Mapping[str, Sequence[NDArray[Any]]], steps: int) -> None:
        """Take copies of the state that `old` left behind, as `new` reads it."""
        complex_ = any(p.dtype.kind == "c" for p in self._parameters.arrays)
        self._adopt(new, _state.adapted(slots, old, new, steps, self._fresh(new), complex_))

    def _adopt(self, rule: Rule, slots: dict[str, list[NDArray[Any]]]) -> None:
        """Take a rule and its state, once the kernels for them are prepared."""
        arrays = self._parameters.arrays
        compiled = sum(p.size for p in arrays) > SMALL and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")
        memory = Memory([*arrays, *(a for held in slots.values() for a in held)])
        groups = [
            Group(rule, self._parameters, [i for i, p in enumerate(arrays) if p.dtype == kind], slots, compiled)
            for kind in dict.fromkeys(p.dtype for p in arrays)
        ]
        self._rule, self._slots, self._memory, self._groups = rule, slots, memory, groups
        self._scalars = None

    def _fresh(self, rule: Rule) -> list[dict[str, NDArray[Any]]]:
        """Return the state that a rule starts from, for each parameter."""
        return [new_state(rule, p, kind) for p, kind in zip(self._parameters.arrays, self._computed, strict=True)]

    def _lr_at(self, step: int) -> float:
        """Return the learning rate of the step after `step` steps, checked."""
        if not callable(self._lr):
            return self._lr
        lr = learning_rate(self._lr(step))
        self._check_precision(self._rule, lr)
        return lr

    def _check_precision(self, rule: Rule, lr: float) -> None:
        """Refuse numbers that a parameter's arithmetic cannot hold."""
        for kind in dict.fromkeys(self._computed):
            check_precision(rule, kind, lr)

    def _complaint(self, group: Group, k: int, g: Any) -> str:
        """Return why the gradient of parameter k of a group was refused."""
        name, p = self._parameters.names[group.indices[k]], group.params[k]
        remedy = "nothing was changed; lower the learning rate or mend the loss, or pass on_nonfinite='skip'"
        for what, array, limit in (("gradient", g, group.limit), ("parameter", p, group.parameter_limit)):
            with np.errstate(over="ignore"):
                size = np.maximum(np.abs(array.real), np.abs(array.imag)).astype(np.float64)
            wrong = ~(size <= limit)
            if wrong.any():
                place = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), wrong.shape))
                value = array[place]
                subject = f"the gradient of {name!r}" if what == "gradient" else f"parameter {name!r} in its weight decay"
                why = f", whose square overflows {group.real}" if np.isfinite(value) else ""
                return f"{subject} is {value} at {place}{why}; {remedy}"
        raise AssertionError("a gradient was refused without a reason")
