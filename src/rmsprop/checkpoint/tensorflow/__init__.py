"""TensorFlow: the checkpoints of TF1, tf_keras and Keras 3, and the optimizers of tf_keras."""

from rmsprop.checkpoint.tensorflow.files import read, write
from rmsprop.checkpoint.tensorflow.live import capture, restore

__all__ = ["capture", "read", "restore", "write"]
