"""A rival of the race as the optimizer that PyTorch's users know: `torch.optim`'s, and `rmsprop.torch.RMSprop`."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

import rmsprop.torch
from rmsprop.race.rivals import SGD, Adadelta, Adagrad, Adam, Momentum, Rival, RMSprop


def optimizer_for(rival: Rival, params: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Return the optimizer that a rival is, with its hyper-parameters.

    Args:
        rival: which.
        params: what it is to train.
        lr: learning rate, > 0.

    Raises:
        TypeError: the rival is none of this package.

    Example:
        >>> from rmsprop.race.rivals import rival
        >>> made = optimizer_for(rival("nesterov"), [nn.Parameter(torch.ones(2))], 0.1)
        >>> type(made).__name__, made.defaults["momentum"], made.defaults["nesterov"]
        ('SGD', 0.9, True)
    """
    match rival:
        case RMSprop(rule=rule):
            # A run that fails has to fail as the others do: by losses that are not finite.
            return rmsprop.torch.RMSprop(params, lr=lr, dialect=rule, on_nonfinite="propagate")
        case SGD():
            return torch.optim.SGD(params, lr=lr)
        case Momentum(momentum=momentum, nesterov=nesterov):
            return torch.optim.SGD(params, lr=lr, momentum=momentum, nesterov=nesterov)
        case Adagrad(eps=eps):
            return torch.optim.Adagrad(params, lr=lr, eps=eps)
        case Adadelta(decay=decay, eps=eps):
            return torch.optim.Adadelta(params, lr=lr, rho=decay, eps=eps)
        case Adam(momentum=momentum, decay=decay, eps=eps):
            return torch.optim.Adam(params, lr=lr, betas=(momentum, decay), eps=eps)
    raise TypeError(f"there is no optimizer of PyTorch for {rival!r}")
