"""Optimizers of PyTorch's world: `rmsprop.torch`, `torch.optim`, timm, Stable-Baselines3, bitsandbytes with 32-bit state.

All of them keep state under a parameter's index or name, and options in param groups; `kinds` knows their words, `tensors` their
numbers, `states` their state dicts, `files` and `opcodes` their files. What is theirs alone:

- A group's options beside the rule (`max_norm`, `initial_lr`, what its owner put there) go along; where a state has none, a
  target's own stay. How a target computes (foreach, fused, capturable, differentiable) stays its own.
- Parameters are known by "param_names" where a group has them, by the names of `get_optimizer_state_dict`, otherwise by index.
- The values of the parameters are no part of it.
"""

from rmsprop.checkpoint.errors import missing_extra

try:
    import torch as _torch  # noqa: F401  # only to say what to do where it is missing
except ModuleNotFoundError as error:  # pragma: no cover
    raise missing_extra("PyTorch", "'rmsprop[torch]'") from error

from rmsprop.checkpoint.torch.files import load_file
from rmsprop.checkpoint.torch.host import capture, read, restore, write

__all__ = ["capture", "load_file", "read", "restore", "write"]
