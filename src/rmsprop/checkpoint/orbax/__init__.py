"""Orbax directories, read without Orbax and written by it."""

from rmsprop.checkpoint.orbax.directory import Directory, Place
from rmsprop.checkpoint.orbax.draft import write

__all__ = ["Directory", "Place", "write"]
