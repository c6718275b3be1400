"""States of `optax.rmsprop` and of `rmsprop.optax.rmsprop`, and of chains and wrappers around them.

A state of optax is a value: arrays and counts, and no hyper-parameters but those that `optax.inject_hyperparams` keeps. The others
have to be said, and go into the optimizer that goes on by `arguments`.
"""

from rmsprop.checkpoint.optax.host import arguments, capture, read, restore, write

__all__ = ["arguments", "capture", "read", "restore", "write"]
