"""The optimizer that Keras's users see: arguments, what it keeps of each variable, and its config."""

import warnings
from typing import Any

import keras

from rmsprop.dialects import dialect_names
from rmsprop.inherited import inherited
from rmsprop.keras import saved
from rmsprop.keras.options import KEYS, meant, rate, spread
from rmsprop.keras.stepping import BACKEND, COMPUTED, FLUSHED, bound, dense, scalars
from rmsprop.kernels.operands import Moved
from rmsprop.kernels.precision import check_precision
from rmsprop.rule import Rule

# What Keras calls the arrays of a rule, in the order in which it makes them, and where it keeps them.
SLOTS = {"v": "velocity", "b": "momentum", "m": "average_gradient"}


@keras.saving.register_keras_serializable(package="rmsprop")
class RMSprop(keras.optimizers.Optimizer):  # type: ignore[misc]
    """RMSprop in any dialect, in the place of `keras.optimizers.RMSprop`.

    v ← rho·v + (1 - rho)·g²,  b ← momentum·b + lr·g / √(v + epsilon),  p ← p - b

    With `dialect="tf1"`, "pytorch", "optax" or another of `rmsprop.dialect_names()` it is that optimizer: what is left out has the
    dialect's value, here those of Keras. It runs on the torch, JAX and TensorFlow backends. float16 and bfloat16 variables are
    computed, and have their state, in float32.

    Args:
        learning_rate: in units of the variables, ≥ 0: a number, a `keras.optimizers.schedules.LearningRateSchedule`, or a callable
            without arguments.
        rho: weight of the past in the means of g² and g, in [0, 1).
        momentum: weight of the past in the momentum buffer, in [0, 1).
        epsilon: added to the denominator, > 0.
        centered: divide by the standard deviation of g instead of its root mean square; the variance cannot turn negative.
        weight_decay: strength of the decay, ≥ 0, of all variables but those of `exclude_from_weight_decay`; None is the dialect's,
            which is none.
        clipnorm: clip each gradient's norm to this; as in Keras, like all arguments from here to `name`.
        clipvalue: clip each gradient's elements to this.
        global_clipnorm: clip the norm of all gradients together to this.
        use_ema: keep a moving average of the variables.
        ema_momentum: weight of the past in that average.
        ema_overwrite_frequency: after how many steps the variables are set to it.
        loss_scale_factor: what the loss is multiplied by, and the gradients divided by.
        gradient_accumulation_steps: of how many gradients a step takes the mean.
        name: of the optimizer.
        dialect: a name of `rmsprop.dialect_names()`, or an `rmsprop.Rule`.
        eps_place: "inside" the root, √(v + epsilon), or "outside", √v + epsilon.
        square_init: v before the first step, ≥ 0.
        centered_form: "variance" keeps v - m² by a recurrence that cannot turn negative; "difference" subtracts, as Keras does, and
            may give NaN.
        nesterov: step along momentum·b + the newest term instead of b.
        lr_in_momentum: the buffer gathers lr·g/denominator (True) or g/denominator (False).
        bias_correction: divide the means by 1 - rho^t.
        weight_decay_form: "decoupled_lr" takes lr·weight_decay·p off p before the step, "decoupled" takes off weight_decay·p,
            "coupled" adds weight_decay·p to g.
        maximize: ascend instead of descend.
        complex_form: kept for the sake of `rule`; variables are real.

    Raises:
        TypeError: an argument has the wrong type; from build: a variable is not of a floating dtype.
        ValueError: a value is not allowed; from build: or rounds to 0 or 1 in the arithmetic of the variables.

    Example:
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        >>> model.compile(RMSprop(keras.optimizers.schedules.CosineDecay(0.1, 100), dialect="tf1", momentum=0.9), loss="mse")
        >>> _ = model.fit(keras.ops.ones((4, 3)), keras.ops.ones((4, 1)), epochs=2, verbose=0)
        >>> model.optimizer.rule.square_init
        1.0

    Source: the interface is that of https://github.com/keras-team/keras, keras/src/optimizers/rmsprop.py; the rule is
    `rmsprop.rule.update`.
    """

    def __init__(
        self,
        learning_rate: Any = inherited(0.001),
        rho: float = inherited(0.9),
        momentum: float = inherited(0.0),
        epsilon: float = inherited(1e-7),
        centered: bool = inherited(False),
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        *,
        dialect: str | Rule = "keras",
        eps_place: str | None = None,
        square_init: float | None = None,
        centered_form: str | None = None,
        nesterov: bool | None = None,
        lr_in_momentum: bool | None = None,
        bias_correction: bool | None = None,
        weight_decay_form: str | None = None,
        maximize: bool | None = None,
        complex_form: str | None = None,
    ) -> None:
        """Check everything, and make the attributes that the rule is read from."""
        given = {key: value for key, value in locals().items() if key in KEYS.values()}
        rule = meant(dialect, given)
        super().__init__(
            learning_rate=rate(rule, learning_rate),
            weight_decay=rule.weight_decay or None,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )
        self._meant = rule
        for key, value in spread(rule).items():
            setattr(self, key, value)
        self._first_lr = 0.0 if callable(learning_rate) else rate(rule, learning_rate)
        self._making_state = False
        self.passed_through = False  # whether values are passed through, of which none may be changed in place
        self.plan: Any = None  # of the steps on PyTorch

    @property
    def rule(self) -> Rule:
        """The rule that the attributes mean now; those that need no other state may be set between steps, as in Keras.

        Raises:
            TypeError: one was set to a value of the wrong type.
            ValueError: one was set to a value that is not allowed, or that needs other state than there is.
        """
        kept = self._meant
        asked = {key: getattr(self, key) for key in KEYS.values()}
        if asked != spread(kept):
            rule = meant(kept, asked | {"weight_decay": self.weight_decay or 0.0})
            if self.built and _names(rule) != _names(kept):
                raise ValueError(
                    f"the optimizer keeps {_names(kept)} of each variable, and its attributes now need {_names(rule)}; "
                    "make a new optimizer with them"
                )
            self._meant = kept = rule
        return kept

    def rule_for(self, variable: Any) -> Rule:
        """Return the rule for one variable: without weight decay, if it was excluded from that.

        Args:
            variable: of Keras, or of TensorFlow.
        """
        rule = self.rule
        return rule if not rule.weight_decay or self._use_weight_decay(variable) else rule.replace(weight_decay=0.0)

    def build(self, variables: Any) -> None:
        """Make the state of the variables, unless it is there.

        Args:
            variables: all that will be trained.

        Raises:
            TypeError: one is not of a floating dtype.
            ValueError: a hyper-parameter rounds to 0 or 1, or overflows, in their arithmetic.
        """
        if self.built:
            return
        rule = self.rule
        for computed in sorted({_computed(v) for v in variables if not self._overwrite_variable_with_gradient(v)}):
            check_precision(rule, computed, self._first_lr, flushed=FLUSHED)
        super().build(variables)
        slots = {slot.argument: slot for slot in rule.slots}
        kept: dict[str, Any] = dict.fromkeys(SLOTS, ())
        self._making_state = True
        for argument, name in SLOTS.items():
            if argument in slots:
                initializer = keras.initializers.Constant(slots[argument].initial)
                name = "variance" if slots[argument].name == "variance" else name
                kept[argument] = self.add_optimizer_variables(variables, name, initializer=initializer)
        self._making_state = False
        self._velocities, self._momentums, self._average_gradients = kept["v"], kept["b"], kept["m"]

    def add_variable(self, shape: Any, initializer: Any = "zeros", dtype: Any = None, **options: Any) -> Any:
        """Add a variable to the optimizer, as in Keras; that of a rule's state has the precision of the arithmetic.

        Args:
            shape: its shape.
            initializer: its first value.
            dtype: its dtype.
            options: further ones of Keras's.
        """
        if self._making_state:
            dtype = COMPUTED[keras.backend.standardize_dtype(dtype)]
        return super().add_variable(shape, initializer=initializer, dtype=dtype, **options)

    def state_of(self, index: int) -> dict[str, Any]:
        """Return the state of a variable, by the arguments of `update`.

        Args:
            index: which of the variables that the optimizer was built for.
        """
        kept = {"v": self._velocities, "m": self._average_gradients, "b": self._momentums}
        return {argument: variables[index] for argument, variables in kept.items() if variables}

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Take one step with one variable.

        Args:
            gradient: of the variable's shape; where it is sparse, rows that do not occur have 0.
            variable: of Keras, or of TensorFlow.
            learning_rate: of this step.
        """
        rule, state = self.rule_for(variable), self.state_of(self._get_variable_index(variable))
        real = state["v"].dtype
        update = bound(rule.branches, real)
        held = [keras.ops.convert_to_tensor(state[argument]) if argument in state else None for argument in "vmb"]
        numbers = scalars(rule, learning_rate, self.iterations, real)
        # TensorFlow subtracts in place, but would round what it subtracts from a 16-bit variable.
        in_place = BACKEND == "tensorflow" and keras.backend.standardize_dtype(variable.dtype) == real
        # A variable that is read while it is subtracted from would be copied first.
        p = None if in_place and not rule.weight_decay else keras.ops.cast(variable, real)
        p, *new = update(Moved(p) if in_place else p, dense(gradient, state["v"]), *held, *numbers)
        if in_place:
            self.assign_sub(variable, p.off)
        else:
            self.assign(variable, p)
        for argument, value in zip("vmb", new, strict=True):
            if argument in state:
                self.assign(state[argument], value)

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        """Take one step with all variables; on PyTorch together, as Keras does."""
        if BACKEND == "torch":
            from rmsprop.keras.plan import step

            step(self, grads, trainable_variables, learning_rate)
        else:
            super()._backend_update_step(grads, trainable_variables, learning_rate)

    def stateless_apply(self, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        """Return new variables and new state, as in Keras, with nothing assigned.

        Args:
            optimizer_variables: values of `variables`.
            grads: gradients.
            trainable_variables: values of the variables that the optimizer was built for.
        """
        self.passed_through = True
        try:
            return super().stateless_apply(optimizer_variables, grads, trainable_variables)
        finally:
            self.passed_through = False

    def _apply_weight_decay(self, variables: Any) -> None:
        """Leave it to the rule, which needs no pass of its own for it."""

    def save_own_variables(self, store: Any) -> None:
        """Write the state, as Keras does; a mark beside it says where it holds a variance in place of a mean square.

        Args:
            store: a mapping of names to arrays.
        """
        super().save_own_variables(store)
        saved.mark(store, self.rule)

    def load_own_variables(self, store: Any) -> None:
        """Go on from a state that this class or `keras.optimizers.RMSprop` has saved, or refuse it with nothing changed.

        An optimizer that is not built loads nothing, and warns, as in Keras.

        Args:
            store: a mapping of names to arrays.

        Raises:
            ValueError: it is the state of another optimizer, or of another model; the message says what differs.
        """
        if not self.built:
            # As Keras does: weights that were trained elsewhere are often loaded before there is any state.
            warnings.warn(
                f"the state of optimizer {self.name!r} was not loaded, as it is not built; call "
                "optimizer.build(model.trainable_variables) before loading, to go on from it",
                stacklevel=2,
            )
            return
        for variable, value in zip(self.variables, saved.read(store, self), strict=True):
            variable.assign(value)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of an optimizer like this, plain values, the dialect's own among them."""
        rule = self.rule
        return {**super().get_config(), "dialect": rule.name, **spread(rule)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "RMSprop":
        """Return the optimizer of a config.

        Args:
            config: from `get_config`, or any of the arguments.
            custom_objects: what Keras may need to make a learning rate.
        """
        config = dict(config)
        # A rule of the user's own has a name that is none of a dialect; the config spells out all of its axes.
        if config.get("dialect") not in (None, *dialect_names()) and config.keys() >= set(KEYS.values()):
            config["dialect"] = Rule(name=config["dialect"])
        found: RMSprop = super().from_config(config, custom_objects)
        return found


def _computed(variable: Any) -> str:
    """Return the dtype in which a variable is computed, or refuse it."""
    kind = keras.backend.standardize_dtype(variable.dtype)
    if kind not in COMPUTED:
        raise TypeError(
            f"variable {variable.name!r} must be one of {', '.join(COMPUTED)}, got {kind}; "
            "train the parts of a complex one as two real variables, and set trainable=False for others"
        )
    return COMPUTED[kind]


def _names(rule: Rule) -> str:
    """Return the names of a rule's state, for a message."""
    return ", ".join(slot.name for slot in rule.slots)
