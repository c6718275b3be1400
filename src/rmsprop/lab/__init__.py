"""The lab: a page that shows every step of RMSprop and its rivals, with the numbers in each formula.

>>> from rmsprop.lab import Setup, trace
>>> traced = trace(Setup.from_json({"steps": 5}))
>>> len(traced["runs"][0]["loss"])
6
"""

from rmsprop.lab.server import serve
from rmsprop.lab.setup import Setup
from rmsprop.lab.trace import trace

__all__ = ["Setup", "serve", "trace"]
