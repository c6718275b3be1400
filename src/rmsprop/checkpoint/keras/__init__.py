"""The optimizers of Keras 3, `keras.optimizers.RMSprop` and `rmsprop.keras.RMSprop`, on any backend, and Keras's files."""

from rmsprop.checkpoint.keras.config import arguments
from rmsprop.checkpoint.keras.files import read
from rmsprop.checkpoint.keras.live import capture, restore
from rmsprop.checkpoint.keras.write import write

__all__ = ["arguments", "capture", "read", "restore", "write"]
