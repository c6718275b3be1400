"""The optimizer under test, driven like an upstream."""

from typing import Any

import numpy as np
import torch

import rmsprop.torch
from rmsprop import rule as rules
from tests.upstream.upstreams import Arrays, Case

# For real numbers |m|² is m².
mean_square, variance = (
    rules.rebound(function, {"modulus_square": rules.square}) for function in (rules.mean_square, rules.variance)
)

# What an argument of the optimizer is called that sets an axis; the other axes need a Rule.
ARGUMENTS = {"decay": "alpha"} | {key: key for key in ("eps", "weight_decay", "momentum", "centered", "maximize", "nesterov")}


def arguments(case: Case, axes: dict[str, Any]) -> dict[str, Any]:
    """Return how a user asks for a case: by the dialect's name and arguments, and by a Rule where these do not reach."""
    told = dict(case.axes) | axes
    if told.get("weight_decay_form") in ("coupled", "decoupled_lr"):
        told["decoupled_weight_decay"] = told.pop("weight_decay_form") == "decoupled_lr"
    if set(told) <= {*ARGUMENTS, "decoupled_weight_decay"}:
        return {"dialect": case.dialect, **{ARGUMENTS.get(key, key): value for key, value in told.items()}}
    return {"dialect": rmsprop.dialect(case.dialect, **(dict(case.axes) | axes))}


class Ours:
    """One parameter and its optimizer, whose state can be read and set as v, m and b."""

    def __init__(self, case: Case, p: np.ndarray, **axes: Any) -> None:
        self.rule = rmsprop.dialect(case.dialect, **(dict(case.axes) | axes))
        self.tensor = torch.nn.Parameter(torch.from_numpy(p.copy()))
        self.p = self.tensor.detach().numpy()
        self.optimizer = rmsprop.torch.RMSprop([self.tensor], lr=0.01, fused=True, **arguments(case, axes))

    def step(self, g: np.ndarray, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.tensor.grad = torch.from_numpy(g)
        self.optimizer.step()

    def state(self, name: str) -> np.ndarray:
        array: np.ndarray = self.optimizer.state[self.tensor][name].numpy()
        return array

    def read(self, t: int) -> Arrays:
        """Return p, v, m and b after step t, counted from 1; where the variance is kept, v is worked out in double precision."""
        found = {slot.argument: self.state(slot.name) for slot in self.rule.slots}
        if self.rule.switches["VARIANCE"]:
            correction = self.rule.scalars(0.0, t).correction
            found["v"] = mean_square(found["v"].astype(np.float64), found["m"].astype(np.float64), correction)
        return {"p": self.p, **found}

    def write(self, theirs: Arrays, t: int) -> None:
        """Take p and the state that an upstream had after step t."""
        self.p[:] = theirs["p"]
        for slot in self.rule.slots:
            value = theirs[slot.argument]
            if slot.name == "variance":
                correction = self.rule.scalars(0.0, t).correction
                value = variance(value.astype(np.float64), theirs["m"].astype(np.float64), correction)
                # The upstream's own difference may be below 0 by rounding; such elements are not compared.
                np.maximum(value, 0, out=value)
            self.state(slot.name)[:] = value
