"""One optimizer of each framework over the same named parameters, behind one face: the upstream, and ours in its place."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import rmsprop
from rmsprop.checkpoint import State, capture, restore

Arrays = Mapping[str, np.ndarray]

SHAPES = {"dense/kernel": (3, 4), "dense/bias": (4,), "scale": ()}


class Numpy:
    """`rmsprop.RMSprop`; there is no upstream."""

    dialect = "tf1"

    def __init__(self, params: Arrays, lrs: tuple[float, ...], rule: rmsprop.Rule, *, ours: bool) -> None:
        self.params = {name: p.copy() for name, p in params.items()}
        self.optimizer = rmsprop.RMSprop(self.params, lambda t: lrs[t], rule)
        self.lrs = lrs

    def step(self, grads: Arrays) -> None:
        self.optimizer.step(dict(grads))

    def values(self) -> Arrays:
        return self.params

    def captured(self) -> State:
        state = capture(self.optimizer)  # its learning rate is a schedule's
        group = state.groups[0]
        lr = self.lrs[self.optimizer.steps - 1]
        return state.replace(groups=(type(group)(group.rule, lr, group.parameters),))

    def restored(self, state: State) -> None:
        restore(self.optimizer, state)


class Torch:
    """`torch.optim.RMSprop`, or `rmsprop.torch.RMSprop`."""

    dialect = "pytorch"

    def __init__(self, params: Arrays, lrs: tuple[float, ...], rule: rmsprop.Rule, *, ours: bool) -> None:
        import torch

        import rmsprop.torch

        self.params = {name: torch.nn.Parameter(torch.tensor(p)) for name, p in params.items()}
        if ours:
            self.optimizer: Any = rmsprop.torch.RMSprop(self.params.items(), lr=1.0, dialect=rule)
        else:
            told = {"alpha": rule.decay, "eps": rule.eps, "momentum": rule.momentum, "centered": rule.centered}
            self.optimizer = torch.optim.RMSprop(self.params.items(), lr=1.0, **told)
        self.lrs, self.taken = lrs, 0

    def step(self, grads: Arrays) -> None:
        import torch

        for name, p in self.params.items():
            p.grad = torch.tensor(grads[name])
        for group in self.optimizer.param_groups:
            group["lr"] = self.lrs[self.taken]
        self.optimizer.step()
        self.taken += 1

    def values(self) -> Arrays:
        return {name: p.detach().numpy() for name, p in self.params.items()}

    def captured(self) -> State:
        return capture(self.optimizer)

    def restored(self, state: State) -> None:
        restore(self.optimizer, state)
        self.taken = next(state.parameters).step


class Optax:
    """`optax.rmsprop`, or `rmsprop.optax.rmsprop`."""

    dialect = "optax"

    def __init__(self, params: Arrays, lrs: tuple[float, ...], rule: rmsprop.Rule, *, ours: bool) -> None:
        import jax
        import jax.numpy as jnp
        import optax

        import rmsprop.optax

        table = jnp.array(lrs)

        def rate(count: Any) -> Any:
            return table[count]

        self.axes = {"decay": rule.decay, "eps": rule.eps, "centered": rule.centered}
        self.axes |= {"momentum": rule.momentum} if rule.momentum else {}
        transformation = rmsprop.optax.rmsprop(rate, rule) if ours else optax.rmsprop(rate, **self.axes)
        self.params: Any = _nested({name: jnp.array(p) for name, p in params.items()})
        self.state = transformation.init(self.params)

        @jax.jit
        def step(params: Any, state: Any, grads: Any) -> Any:
            updates, state = transformation.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self._step, self.lrs, self.taken = step, lrs, 0

    def step(self, grads: Arrays) -> None:
        self.params, self.state = self._step(self.params, self.state, _nested(grads))
        self.taken += 1

    def values(self) -> Arrays:
        dense = self.params["dense"]
        return {"dense/kernel": dense["kernel"], "dense/bias": dense["bias"], "scale": self.params["scale"]}

    def captured(self) -> State:
        return capture(self.state, lr=self.lrs[self.taken - 1], **self.axes)

    def restored(self, state: State) -> None:
        self.state = restore(self.state, state)


class Keras:
    """`keras.optimizers.RMSprop`, or `rmsprop.keras.RMSprop`."""

    dialect = "keras"

    def __init__(self, params: Arrays, lrs: tuple[float, ...], rule: rmsprop.Rule, *, ours: bool) -> None:
        import keras

        import rmsprop.keras

        self.params = {}
        for name, p in params.items():
            scope, _, last = name.rpartition("/")
            with keras.name_scope(scope) if scope else keras.name_scope(""):
                self.params[name] = keras.Variable(p, name=last)
        if ours:
            self.optimizer: Any = rmsprop.keras.RMSprop(1.0, dialect=rule)
        else:
            self.optimizer = keras.optimizers.RMSprop(1.0, rule.decay, rule.momentum, rule.eps, rule.centered)
        self.optimizer.build(list(self.params.values()))
        self.lrs, self.taken = lrs, 0

    def step(self, grads: Arrays) -> None:
        import keras

        self.optimizer.learning_rate = self.lrs[self.taken]
        self.optimizer.apply([keras.ops.convert_to_tensor(grads[name]) for name in self.params])
        self.taken += 1

    def values(self) -> Arrays:
        import keras

        return {name: keras.ops.convert_to_numpy(p) for name, p in self.params.items()}

    def captured(self) -> State:
        return capture(self.optimizer)

    def restored(self, state: State) -> None:
        restore(self.optimizer, state)
        self.taken = next(state.parameters).step


FRAMEWORKS: dict[str, Callable[..., Any]] = {"torch": Torch, "optax": Optax, "keras": Keras, "numpy": Numpy}


def _nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "dense": {"kernel": arrays["dense/kernel"], "bias": arrays["dense/bias"]},
        "scale": arrays["scale"],
    }
