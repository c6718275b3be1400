"""Steps an optimizer of PyTorch's interface through a case; shared by the upstreams that are built on torch."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from cases import Case, Run

ARGUMENTS = {"decay": "alpha", "eps": "eps"}
SLOTS = {"v": "square_avg", "m": "grad_avg", "b": "momentum_buffer"}


def runner(make: Callable[..., torch.optim.Optimizer], slots: dict[str, str] = SLOTS, arguments: dict[str, str] = ARGUMENTS) -> Run:
    """Return a function that steps `make(params, **arguments)` through a case; its lr is set anew before each step."""
    torch.set_num_threads(1)

    def run(case: Case, p0: np.ndarray, grads: list[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        p = torch.nn.Parameter(torch.from_numpy(p0))
        told = {arguments.get(key, key): value for key, value in case.axes.items()} | case.told
        told.pop("weight_decay_form", None)
        optimizer = make([p], lr=case.lr[0], **told)
        for t, g in enumerate(grads):
            for group in optimizer.param_groups:
                group["lr"] = case.lr[t % len(case.lr)]
            p.grad = torch.from_numpy(g)
            optimizer.step()
            state: dict[str, Any] = optimizer.state[p]
            found = {ours: state[theirs] for ours, theirs in slots.items() if theirs in state}
            yield {"p": p.detach().numpy().copy()} | {key: value.numpy().copy() for key, value in found.items()}

    return run


def defaults(make: Callable[..., Any], **names: str) -> dict[str, Any]:
    """Return an upstream's default arguments under the names of Rule's axes; null where one is required."""
    found = inspect.signature(make).parameters
    empty = inspect.Parameter.empty
    return {ours: None if found[theirs].default is empty else found[theirs].default for ours, theirs in names.items()}
