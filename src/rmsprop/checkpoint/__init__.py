"""Optimizer state in files that survive, and from one framework to another.

>>> import numpy as np, rmsprop
>>> w = np.ones(3)
>>> optimizer = rmsprop.RMSprop(w, lr=0.1, momentum=0.9)
>>> optimizer.step(w)
>>> state = capture(optimizer)
>>> state.groups[0].rule.momentum, state.names
(0.9, ('0',))
"""

from rmsprop.checkpoint.api import capture, convert, load, restore, save
from rmsprop.checkpoint.canonical import Group, Parameter, State
from rmsprop.checkpoint.errors import (
    CheckpointError,
    ConversionError,
    FileError,
    MissingExtraError,
    SaveError,
    UsageError,
)

__all__ = [
    "CheckpointError",
    "ConversionError",
    "FileError",
    "Group",
    "MissingExtraError",
    "Parameter",
    "SaveError",
    "State",
    "UsageError",
    "capture",
    "convert",
    "load",
    "restore",
    "save",
]
