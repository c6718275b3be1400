"""RMSprop for PyTorch: a drop-in for `torch.optim.RMSprop` that is every dialect, one fused pass on a CPU, and says what it does.

>>> import torch
>>> from rmsprop.torch import RMSprop
>>> w = torch.tensor([1.0, -2.0], requires_grad=True)
>>> optimizer = RMSprop([w], lr=0.1)
>>> for _ in range(100):
...     optimizer.zero_grad()
...     (w**2).sum().backward()
...     optimizer.step()
>>> bool((w.abs() < 0.1).all())
True
"""

try:
    import torch as _torch  # noqa: F401  # only to say what to do where it is missing
except ModuleNotFoundError as error:  # pragma: no cover
    raise ModuleNotFoundError("rmsprop.torch needs PyTorch; run: pip install 'rmsprop[torch]'") from error

from rmsprop.torch.optimizer import RMSprop

__all__ = ["RMSprop"]
